"""An app: a verified bundle with its backend, input and head, proven on its golden pair before it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

import numpy as np
import safetensors
import safetensors.numpy

from cogd.backends.base import ModelShape
from cogd.csi.input import input_shape, model_input, window_spec
from cogd.device import device_targets
from cogd.errors import (
    ArchitectureError,
    CogdError,
    GoldenError,
    ManifestError,
    ModelError,
)
from cogd.events import AppInfo
from cogd.heads.registry import head_class
from cogd.plugins import load_plugin
from cogd.runtime.guard import plugin_border

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cogd.backends.base import Backend, Session
    from cogd.bundle.manifest import Manifest, Variant
    from cogd.bundle.verify import VerifiedBundle
    from cogd.csi.model_input import ModelInput
    from cogd.csi.window import WindowSpec
    from cogd.heads.base import Head

Outputs: TypeAlias = "Mapping[str, NDArray[np.float32]]"
"""What a model gives for a batch, by name, `[batch, ...]`."""

MAX_BATCH = 64
"""The most windows that are run at once."""


class Reproduced(NamedTuple):
    """What the golden input gave: the largest difference from the expected output, and how long the model took."""

    error: float
    took_ms: float


@dataclass(frozen=True, eq=False)
class LoadedVariant:
    """A variant that has reproduced the golden pair.

    Attributes:
        variant: which.
        golden_error: largest difference from the golden pair's output.
        golden_tolerance: the largest that is allowed.
        golden_ms: how long the model took for the golden input.
        model_input: makes the model's input of windows.
        session: runs the model.
    """

    variant: Variant
    golden_error: float
    golden_tolerance: float
    golden_ms: float
    model_input: ModelInput
    session: Session


@dataclass(frozen=True, eq=False, kw_only=True)
class App:
    """An app that can run.

    Attributes:
        bundle: what it is made from.
        backend: name of the backend that runs it.
        window: the windows it wants; a key that the engine does not look into.
        head: turns outputs into events.
        golden_error: largest difference from the golden pair's output.
        golden_tolerance: the largest that is allowed.
        model_input: makes the model's input of windows.
        session: runs the model.
        min_confidence: events whose confidence is lower are not emitted.
        golden_ms: how long the model took for the golden input; None where that was not measured.
    """

    bundle: VerifiedBundle
    backend: str
    window: WindowSpec
    head: Head
    golden_error: float
    golden_tolerance: float
    model_input: ModelInput
    session: Session
    min_confidence: float = 0.0
    golden_ms: float | None = None

    @property
    def id(self) -> str:
        """The app's id."""
        return self.bundle.manifest.id

    def info(self) -> AppInfo:
        """What `run.started` says of it."""
        manifest = self.bundle.manifest
        return AppInfo(
            id=manifest.id,
            version=manifest.version,
            digest=self.bundle.digest,
            head=manifest.head,
            backend=self.backend,
            key_ids=list(self.bundle.key_ids),
        )

    @property
    def only_computes(self) -> bool:
        """Whether `infer` can't hang: see `cogd.backends.base.Session`."""
        return self.session.only_computes

    def reproduce(self) -> Reproduced:
        """Run the golden input once more; called by the same thread as `infer`.

        Raises:
            ManifestError: the bundle holds no golden pair that fits it. Any other exception is the backend's own.
        """
        return _reproduce(self.bundle, self.session, self.model_input)

    def infer(self, windows: Sequence[NDArray[np.float32]] | NDArray[np.float32]) -> Outputs:
        """Outputs by name of windows `[1..64, *input shape]`; called by one thread at a time.

        Raises:
            ModelError: the backend did not deliver what the manifest says. Any other exception is the backend's own.
        """
        outputs = self.session.run(self.model_input.prepare(windows, self.session.buffer(len(windows))))
        for tensor in self.bundle.manifest.output.tensors:
            shape = (len(windows), *tensor.shape)
            if tensor.name not in outputs or outputs[tensor.name].shape != shape:
                raise ModelError(f"the backend {self.backend} did not deliver {tensor.name} of {shape}")
        return outputs


def load_app(bundle: VerifiedBundle, min_confidence: float = 0.0) -> App:
    """Load a bundle with the first of its variants for this device that reproduces the golden pair.

    Raises:
        BundleError: the bundle contradicts itself or no variant can be run; with one variant, its own error.
        PluginError: the head, or every backend, is not installed.
    """
    manifest = bundle.manifest
    window = window_spec(manifest.input)
    output = manifest.output
    with plugin_border(manifest.id, f"the head {manifest.head}"):
        head = head_class(manifest.head)(output, _tensors(bundle, output.calibration) if output.calibration else {})
    failures: list[CogdError] = []
    for variant in fitting_variants(manifest):
        try:
            loaded = load_variant(bundle, variant)
        except CogdError as failure:
            failures.append(failure)
            continue
        return App(
            bundle=bundle,
            backend=variant.backend,
            window=window,
            head=head,
            golden_error=loaded.golden_error,
            golden_tolerance=loaded.golden_tolerance,
            model_input=loaded.model_input,
            session=loaded.session,
            min_confidence=min_confidence,
            golden_ms=loaded.golden_ms,
        )
    if len(failures) == 1:
        raise failures[0]
    raise ModelError(f"{manifest.id}: no variant can be run: " + "; ".join(str(failure) for failure in failures))


def fitting_variants(manifest: Manifest, targets: frozenset[str] | None = None) -> list[Variant]:
    """The variants that are made for this device, in the publisher's order.

    Raises:
        ArchitectureError: there are none.
    """
    here = device_targets() if targets is None else targets
    fitting = [variant for variant in manifest.variants if not variant.targets or here & set(variant.targets)]
    if not fitting:
        wanted = sorted({target for variant in manifest.variants for target in variant.targets})
        raise ArchitectureError(
            f"{manifest.id} {manifest.version} is for {', '.join(wanted)}; this device is {', '.join(sorted(here))}"
        )
    return fitting


def load_variant(bundle: VerifiedBundle, variant: Variant) -> LoadedVariant:
    """Load one variant and see that it reproduces the golden pair.

    Raises:
        BundleError: it can't be loaded, does not reproduce it, or its backend raised anything else.
        PluginError: its backend is not installed.
    """
    manifest = bundle.manifest
    prepared_by = _model_input(bundle)
    tolerance = manifest.golden.tolerance[variant.precision]
    with plugin_border(manifest.id, f"the backend {variant.backend}"):
        session = _load_session(bundle, variant)
        reproduced = _reproduce(bundle, session, prepared_by)
    check_reproduced(manifest.id, variant.backend, reproduced.error, tolerance)
    return LoadedVariant(variant, reproduced.error, tolerance, reproduced.took_ms, prepared_by, session)


def check_reproduced(app_id: str, backend: str, error: float, tolerance: float) -> None:
    """See that a difference from the golden output is within the tolerance.

    Raises:
        GoldenError: it is not.
    """
    if not error <= tolerance:  # a NaN is a mismatch too
        raise GoldenError(f"{app_id}: {backend} is off its golden output by {error:.3g}, more than {tolerance:g}")


def golden_windows(bundle: VerifiedBundle) -> NDArray[np.float32]:
    """The golden pair's input, `[1..64, *input shape]`.

    Raises:
        ManifestError: the bundle holds none that fits its manifest.
    """
    manifest = bundle.manifest
    windows = _tensors(bundle, manifest.golden.file).get("window")
    shape = input_shape(manifest.input)
    if windows is None or windows.shape[1:] != shape or not 1 <= len(windows) <= MAX_BATCH:
        raise ManifestError(f"{manifest.golden.file} must hold `window`, 1 to {MAX_BATCH} of {shape}")
    return windows


def _load_session(bundle: VerifiedBundle, variant: Variant) -> Session:
    backend = cast("Backend", load_plugin("cogd.backends", variant.backend)())
    spec, output = bundle.manifest.input, bundle.manifest.output
    shape = ModelShape(
        input_shape=input_shape(spec),
        outputs={tensor.name: tuple(tensor.shape) for tensor in output.tensors},
        max_batch=MAX_BATCH,
    )
    return backend.load(bundle.file(variant.file), shape)


def _model_input(bundle: VerifiedBundle) -> ModelInput:
    spec = bundle.manifest.input
    return model_input(spec, None if spec.normaliser is None else _tensors(bundle, spec.normaliser))


def _reproduce(bundle: VerifiedBundle, session: Session, model_input: ModelInput) -> Reproduced:
    """Run the golden windows in one batch."""
    manifest = bundle.manifest
    golden = _tensors(bundle, manifest.golden.file)
    windows = golden_windows(bundle)
    prepared = model_input.prepare(windows)
    started_s = time.perf_counter()
    outputs = session.run(prepared)
    took_ms = (time.perf_counter() - started_s) * 1e3
    worst = 0.0
    for tensor in manifest.output.tensors:
        expected = golden.get(tensor.name)
        if expected is None or expected.shape != (len(windows), *tensor.shape):
            raise ManifestError(f"{manifest.golden.file} lacks the expected {tensor.name}")
        output = outputs.get(tensor.name)
        if output is None or output.shape != expected.shape:
            raise ModelError(f"{manifest.id}: the backend did not deliver {tensor.name} of {expected.shape}")
        difference = float(np.abs(output - expected).max())
        worst = difference if np.isnan(difference) else max(worst, difference)
    return Reproduced(worst, took_ms)


def _tensors(bundle: VerifiedBundle, path: str) -> dict[str, NDArray[np.float32]]:
    """The float32 tensors of a safetensors file in a bundle."""
    try:
        tensors = safetensors.numpy.load(bundle.file(path))
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ManifestError(f"{path} is not a safetensors file: {error}") from error
    for name, tensor in tensors.items():
        if tensor.dtype != np.float32 or not np.isfinite(tensor).all():
            raise ManifestError(f"{path}: {name} must be finite float32")
    return tensors
