"""Proof on the device: what a bundle's variants do here, before anything is put into place."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np

from cogd.bundle.record import VariantProof
from cogd.errors import PluginError
from cogd.runtime.app import fitting_variants, golden_windows, load_app, load_variant
from cogd.runtime.guard import plugin_border

if TYPE_CHECKING:
    from collections.abc import Callable

    from cogd.bundle.verify import VerifiedBundle
    from cogd.runtime.app import LoadedVariant

RUNS: Final = 100
"""Inferences that are timed, after as many that are not (caches, clock speed); fewer where they take long."""

_WARM_S: Final = 1.0
_TIMED_S: Final = 3.0
"""What those that are not timed and those that are may take; at least one of each is run."""


def prove(bundle: VerifiedBundle, clock_s: Callable[[], float] = time.perf_counter) -> list[VariantProof]:
    """Load every variant that this device would use, and measure it.

    Returns:
        One proof a variant, in the publisher's order; the daemon runs the first.

    Raises:
        ArchitectureError: no variant is made for this device.
        PluginError: none of their backends is installed here.
        BundleError: a variant whose backend is installed can't be loaded or does not reproduce the golden pair.
    """
    load_app(bundle)  # the head and the input as well
    proofs: list[VariantProof] = []
    for variant in fitting_variants(bundle.manifest):
        try:
            loaded = load_variant(bundle, variant)
        except PluginError:
            continue  # a backend that is not here is not used here; load_app has seen that one is
        proofs.append(_measure(bundle, loaded, clock_s))
    return proofs


def _measure(bundle: VerifiedBundle, loaded: LoadedVariant, clock_s: Callable[[], float]) -> VariantProof:
    window = golden_windows(bundle)[:1]

    def run_for(limit_s: float) -> list[float]:
        times_ms: list[float] = []
        while len(times_ms) < RUNS and sum(times_ms) < limit_s * 1e3:
            start_s = clock_s()
            loaded.session.run(loaded.model_input.prepare(window))
            times_ms.append((clock_s() - start_s) * 1e3)
        return times_ms

    with plugin_border(bundle.manifest.id, f"the backend {loaded.variant.backend}"):
        run_for(_WARM_S)
        times_ms = run_for(_TIMED_S)
    p50, p90 = np.percentile(times_ms, [50, 90])
    return VariantProof(
        backend=loaded.variant.backend,
        file=loaded.variant.file,
        precision=loaded.variant.precision,
        golden_error=loaded.golden_error,
        golden_tolerance=loaded.golden_tolerance,
        latency_p50_ms=round(float(p50), 4),
        latency_p90_ms=round(float(p90), 4),
        runs=len(times_ms),
    )
