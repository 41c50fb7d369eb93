"""From a run directory to a signed bundle."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

import cogd
from cogd.bundle.archive import read_archive
from cogd.bundle.features import CELL_MEDIAN
from cogd.bundle.layout import is_app_id
from cogd.bundle.manifest import FileEntry, Golden, Manifest, Requires, Variant
from cogd.bundle.semver import precedence
from cogd.bundle.trust import TrustStore
from cogd.bundle.utc import Utc, unix_s
from cogd.bundle.verify import pack, verify_bundle
from cogd.errors import ConfigError, TrainError
from cogd.runtime.app import load_app
from cogd.train import rundir
from cogd.train.export import check_self_contained
from cogd.train.metrics.figure import verdict
from cogd.train.report.text import confidence_said

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cogd.bundle.keys import PrivateKey
    from cogd.bundle.manifest import Metric
    from cogd.train.rundir import Description

CARD = "MODEL_CARD.md"
MINIMAL_COGD = "0.1.0"
"""The first cogd that knows this format, the intervals of its metrics included: no release is without them."""


@dataclass(frozen=True)
class Naming:
    """How a bundle is called: its app's id and its version (semver), and until when it may be installed (UTC).

    People type these three, so what is wrong with one is said in words and not as the pattern that the manifest has.

    Raises:
        ConfigError: one of them is none.
    """

    app_id: str
    version: str
    expires: str | None = None

    def __post_init__(self) -> None:
        if not is_app_id(self.app_id):
            raise ConfigError(
                f"{self.app_id!r} is no app's id", hint="--id: 2 to 32 of a-z, 0-9 and -, such as pose-home"
            )
        try:
            precedence(self.version)
        except ValueError as error:
            raise ConfigError(
                f"{self.version!r} is no version",
                hint="--version: three numbers such as 1.0.0, without leading zeros; before a release 1.0.0-rc.1",
            ) from error
        try:
            unix_s("1970-01-01T00:00:00Z" if self.expires is None else msgspec.convert(self.expires, Utc))
        except ValueError as error:  # msgspec's is one
            raise ConfigError(
                f"{self.expires!r} is no time", hint="--expires: in UTC, such as 2027-01-31T00:00:00Z"
            ) from error


def package(model: Path, naming: Naming, keys: Sequence[PrivateKey]) -> bytes:
    """The signed bundle of a model file and of what lies beside it.

    Raises:
        ModelError: the model is not one self-contained ONNX file of opset 18.
        TrainError: something beside it is missing.
        BundleError: the parts contradict each other, or the model does not reproduce the golden pair.
    """
    model_bytes = _read(model)
    check_self_contained(model_bytes, model.name)
    folder = model.parent
    description = rundir.read_description(folder)
    files = {
        rundir.MODEL: model_bytes,
        rundir.GOLDEN: _read(folder / rundir.GOLDEN),
        CARD: model_card(description, naming).encode(),
    }
    for name in (description.input.normaliser, description.output.calibration):
        if name is not None:
            files[name] = _read(folder / name)
    features = [CELL_MEDIAN] if description.input.columns == "cell_median" else []
    manifest = Manifest(
        format="cogd.bundle/1",
        id=naming.app_id,
        version=naming.version,
        created=_created().strftime("%Y-%m-%dT%H:%M:%SZ"),
        expires=naming.expires,
        requires=Requires(cogd=f">={MINIMAL_COGD}", features=features),
        head=description.head,
        input=description.input,
        output=description.output,
        variants=[Variant(backend="ort", file=rundir.MODEL, precision="fp32", targets=[])],
        golden=Golden(file=rundir.GOLDEN, tolerance=description.golden_tolerance),
        files=_NO_FILES_YET,
        provenance=description.provenance,
    )
    archive = pack(manifest, files, keys)
    trust = TrustStore.of(*(key.public for key in keys))
    load_app(verify_bundle(read_archive(archive), trust))  # what no backend here can run must not be signed
    return archive


_NO_FILES_YET: list[FileEntry] = []


def model_card(description: Description, naming: Naming) -> str:
    """The model card: what it is, figures beside their baselines, data, limits."""
    spec, provenance = description.input, description.provenance
    lines = [
        f"# {description.title}: {naming.app_id} {naming.version}",
        "",
        (
            f"Head `{description.head}`. Input: {spec.subcarriers} subcarriers (rule `{spec.tones}`) x {spec.frames} "
            f"frames, layout `{spec.layout}`, gain `{spec.gain}`, nominal {spec.rate_hz:g} Hz, gaps from "
            f"{spec.min_gap_s:g} to {spec.max_gap_s:g} s."
        ),
        "",
        f"Confidence: {confidence_said(description.output)}.",
        "",
        "## Figures",
        "",
    ]
    if provenance.metrics:
        for part in dict.fromkeys(m.split for m in provenance.metrics):
            lines += [
                f"On {part}",
                "",
                "| figure | value | interval | baseline | compared | n |",
                "|---|---|---|---|---|---|",
            ]
            lines += [
                f"| {m.name} | {m.value:.4f} | {_interval(m)} | {m.baseline_value:.4f} ({m.baseline_name}) | "
                f"{verdict(m)} | {m.n} |"
                for m in provenance.metrics
                if m.split == part
            ]
            lines.append("")
        lines += [f"* interval: {text}" for text in dict.fromkeys(m.interval for m in provenance.metrics) if text]
        lines += [f"* `{name}`: {text}" for name, text in {m.name: m.definition for m in provenance.metrics}.items()]
    else:
        lines.append("None was measured by this project.")
    lines += ["", "## Data", ""]
    lines += [
        f"* {d.name}; licence {d.licence}" + (f"; sha256 {d.sha256}" if d.sha256 else "") for d in provenance.data
    ]
    lines += ["", "## Limits", "", *(f"* {limit}" for limit in provenance.limits)]
    lines += ["", f"Made by {provenance.trainer}; packed by cogd-train {cogd.__version__}.", ""]
    return "\n".join(lines)


def _interval(metric: Metric) -> str:
    return "not known" if metric.low is None or metric.high is None else f"{metric.low:.4f} to {metric.high:.4f}"


def _created() -> datetime:
    """Now, or the time of reproducible builds (https://reproducible-builds.org/specs/source-date-epoch/)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return datetime.now(UTC)
    try:
        return datetime.fromtimestamp(int(epoch), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise TrainError(f"SOURCE_DATE_EPOCH is {epoch!r}, not unix seconds") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrainError(
            f"{path} can't be read: {error.strerror}", hint="give the model.onnx of a run directory"
        ) from error
