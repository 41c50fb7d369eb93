"""The signed manifest, `bundle.json`: its types, its schema and the checks that a schema can't say.

Reading is strict: one UTF-8 JSON object, no unknown key, no key twice, every number finite and in its range, every
file that is named anywhere is among `files`. Writing is deterministic.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Final, Literal, NoReturn, get_args

import msgspec
from msgspec import Meta

from cogd.bundle.features import CELL_MEDIAN, KNOWN_FEATURES
from cogd.bundle.members import (
    APPLIANCE_NAMES,
    CARD_NAME,
    ENVELOPE_NAME,
    MANIFEST_NAME,
    MAX_BUNDLE_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_MEMBERS,
    is_safe_name,
)
from cogd.bundle.semver import MAX_LENGTH, SEMVER, is_at_least
from cogd.bundle.utc import Utc, unix_s, utc_text
from cogd.csi.input_rules import MISLABELLED_FRAMES, MISLABELLED_LAYOUT, SUBCARRIERS
from cogd.errors import ExpiredError, FeatureError, ManifestError, RequirementError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

MAX_TOLERANCE: Final = 0.1

Layout = Literal["subcarrier_major", "time_major_mislabelled_56x20"]
Tones = Literal["ht56", "first56"]
Gain = Literal["none", "window_rms"]
Columns = Literal["frames", "cell_median"]
Precision = Literal["fp32", "fp16", "int8"]
Confidence = Literal["none", "platt"]
Better = Literal["higher", "lower"]

# `\A` and `\Z`, because `$` would let a final newline pass.
_Id = Annotated[str, Meta(pattern=r"\A[a-z0-9-]{2,32}\Z")]
_Semver = Annotated[str, Meta(pattern=rf"\A{SEMVER}\Z", max_length=MAX_LENGTH)]
_MinimalVersion = Annotated[str, Meta(pattern=rf"\A>={SEMVER}\Z", max_length=MAX_LENGTH + 2)]
_Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z", max_length=64)]
_Token = Annotated[str, Meta(pattern=r"\A[!-~]{1,64}\Z")]
# Printable text of any script: no control characters but tab and newline, so that a terminal can show it.
_PRINTABLE = r"\A[^\x00-\x08\x0b-\x1f\x7f-\x9f]*\Z"
_Text = Annotated[str, Meta(pattern=_PRINTABLE, min_length=1, max_length=4000)]
_Note = Annotated[str, Meta(pattern=_PRINTABLE, max_length=4000)]
_Count = Annotated[int, Meta(ge=0, le=1 << 53)]
_Size = Annotated[int, Meta(ge=0, le=MAX_BUNDLE_BYTES)]
_Dimension = Annotated[int, Meta(ge=1, le=1 << 16)]


class Requires(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the bundle needs of the daemon: the lowest cogd version as `>=0.1.0`, and named features."""

    cogd: _MinimalVersion
    features: Annotated[list[_Id], Meta(max_length=64)]


class InputSpec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag="csi",
):
    """The model's input of the kind `csi`, `[batch, subcarriers, frames]`, and how it is made.

    `kind` names the kind of input and is written first; where a manifest has no such key, the kind is `csi`.

    Attributes:
        layout: `subcarrier_major` is that; `time_major_mislabelled_56x20` is [56, 20] filled in time order.
        tones: the rule that picks the active subcarriers out of a frame's bins.
        subcarriers: 1 to 512.
        frames: 2 to 1024, the columns of a window.
        rate_hz: nominal frame rate; of `cell_median` the rate of the columns.
        min_gap_s: frames that are closer together than this are one too many.
        max_gap_s: a window with a longer gap than this is not complete.
        gain: how the receiver's gain is taken out.
        normaliser: file with the normaliser's tensors.
        columns: what a column is: `frames`, a frame; or `cell_median`, the median over the frames of 1 / `rate_hz`,
            each divided by its root mean square (`cogd.csi.cells`). The key is absent where it is `frames`.
    """

    layout: Layout
    tones: Tones
    subcarriers: Annotated[int, Meta(ge=1, le=512)]
    frames: Annotated[int, Meta(ge=2, le=1024)]
    rate_hz: Annotated[float, Meta(gt=0, le=1000)]
    min_gap_s: Annotated[float, Meta(ge=0, le=60)]
    max_gap_s: Annotated[float, Meta(gt=0, le=60)]
    gain: Gain
    normaliser: str | None
    columns: Columns = "frames"


class Tensor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One output tensor; `shape` is without the batch axis."""

    name: _Text
    shape: Annotated[list[_Dimension], Meta(max_length=7)]


class OutputSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model's outputs and what they mean.

    Attributes:
        tensors: in the order in which the model gives them.
        labels: a name for each class or keypoint.
        trained_classes: ascending indices of the labels that the training data held; None: there are no classes.
        confidence: how a calibrated confidence is made, or `none`: then there is no confidence.
        calibration: file with the calibration's tensors; given exactly when `confidence` is not `none`.
        confidence_note: what the confidence is the probability of.
    """

    tensors: Annotated[list[Tensor], Meta(min_length=1, max_length=16)]
    labels: Annotated[list[_Text], Meta(max_length=1024)]
    trained_classes: Annotated[list[_Count], Meta(min_length=1, max_length=1024)] | None
    confidence: Confidence
    calibration: str | None
    confidence_note: _Note


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model file: the backend that runs it, its precision, and the targets it was made for (none: any)."""

    backend: _Id
    file: str
    precision: Precision
    targets: Annotated[list[_Token], Meta(max_length=64)]


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The golden pair's file, and the largest deviation allowed by precision: above 0, at most 0.1."""

    file: str
    tolerance: dict[str, Annotated[float, Meta(gt=0, le=MAX_TOLERANCE)]]


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the bundle: flat name, bytes, lower-case hex SHA-256."""

    path: str
    size: _Size
    sha256: _Sha256


class DataSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Data that the model was made from; `sha256` is None where there is no one file, as with a simulation."""

    name: _Text
    sha256: _Sha256 | None
    licence: _Text


class Metric(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A measured figure, its exact definition, its split and sample count, and the trivial baseline's figure.

    Attributes:
        better: which values are better; None: not said, so nobody can tell whether it beats its baseline.
        low, high: the interval that the figure is known to; None: not measured. An interval need not hold the value:
            some figures are biased, and their resamples with them.
        interval: what interval that is and how it was made; given exactly when `low` and `high` are.
    """

    name: _Text
    definition: _Text
    split: _Text
    value: float
    baseline_name: _Text
    baseline_value: float
    n: _Count
    better: Better | None = None
    low: float | None = None
    high: float | None = None
    interval: _Text | None = None


class Provenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the model comes from, how good it is, and its limits in plain words."""

    trainer: _Text
    data: Annotated[list[DataSource], Meta(max_length=256)]
    metrics: Annotated[list[Metric], Meta(max_length=256)]
    limits: Annotated[list[_Text], Meta(max_length=256)]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`bundle.json`. Only what `parse_manifest` returned is known to be consistent.

    `expires` may be absent: from that time on the bundle may not be installed. So may `kind` and `columns` of the
    input, and the last four of a metric. All other keys are there.
    """

    format: Literal["cogd.bundle/1"]
    id: _Id
    version: _Semver
    created: Utc
    expires: Utc | None = None
    requires: Requires
    head: _Id
    input: InputSpec
    output: OutputSpec
    variants: Annotated[list[Variant], Meta(min_length=1, max_length=64)]
    golden: Golden
    files: Annotated[list[FileEntry], Meta(min_length=1, max_length=MAX_MEMBERS - 2)]
    provenance: Provenance


def parse_manifest(raw: bytes) -> Manifest:
    """The manifest in the JSON text `raw`, checked in every respect but the files' content.

    Raises:
        ManifestError: there is anything wrong with it; the message names the key. Nothing else, whatever the bytes.
    """
    if len(raw) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"{MANIFEST_NAME}: has {len(raw)} bytes, more than {MAX_MANIFEST_BYTES}")
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
        # msgspec takes the last of two equal keys. It has refused deep nesting and odd numbers before this line.
        json.loads(raw.decode(), object_pairs_hook=_refuse_duplicates)
    except (ValueError, RecursionError) as error:  # ValueErrors: what msgspec, json and UTF-8 decoding raise
        if isinstance(error, msgspec.ValidationError) and str(error).endswith("`$.input.kind`"):
            hint = "update cogd: a later version may know this kind of input"
            raise ManifestError(f"input.kind: {error}; this cogd knows `csi`", hint=hint) from error
        raise ManifestError(f"{MANIFEST_NAME}: {str(error)[:300]}") from error
    _check_times(manifest)
    _check_files(manifest.files)
    _check_input(manifest.input, manifest.requires.features)
    _check_output(manifest.output)
    _check_variants(manifest.variants, manifest.golden)
    _check_references(manifest)
    _check_metrics(manifest.provenance.metrics)
    _check_distinct("requires.features", manifest.requires.features)
    return manifest


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as JSON: keys in the order of the types, indented by 2, with a final newline.

    It is not checked: `parse_manifest` of the result does that.

    Raises:
        ManifestError: it holds what JSON can't, such as a NumPy number.
    """
    try:
        compact = msgspec.json.encode(manifest, order="deterministic")
    except (TypeError, ValueError, OverflowError) as error:
        raise ManifestError(f"{MANIFEST_NAME}: {error}") from error
    return msgspec.json.format(compact, indent=2) + b"\n"


def check_requirements(manifest: Manifest, cogd_version: str, features: frozenset[str] = KNOWN_FEATURES) -> None:
    """See that a cogd of `cogd_version` with `features` can run the bundle.

    Raises:
        RequirementError: this one is too old; the message says what is needed. Also when a version is not a semver.
        FeatureError: it needs a feature that is not among `features`.
    """
    needed = manifest.requires.cogd.removeprefix(">=")
    try:
        too_old = not is_at_least(cogd_version, needed)
    except ValueError as error:
        raise RequirementError(f"{manifest.id}: the versions can't be compared: {error}") from error
    if too_old:
        raise RequirementError(f"{manifest.id} {manifest.version} needs cogd >={needed}, this is {cogd_version}")
    if lacking := sorted(set(manifest.requires.features) - features):
        raise FeatureError(f"{manifest.id} {manifest.version} needs features unknown here: {', '.join(lacking)}")


def check_expiry(manifest: Manifest, now_unix_s: float) -> None:
    """See that the bundle may still be installed.

    For installing alone. What is installed is loaded without it: a device whose clock is wrong after a power cut, or
    which nobody visits for a year, must go on running what it runs. An expiry ends the *offer* of a bundle, so that
    nobody can go on offering an old one in the place of its successor; what must not run any more is revoked.

    Raises:
        ExpiredError: it has expired; or, which an expiry can't be told from, the clock is wrong: it shows a time
            before the bundle was made.
    """
    if manifest.expires is None:
        return
    name, now = f"{manifest.id} {manifest.version}", utc_text(now_unix_s)
    if now_unix_s >= unix_s(manifest.expires):
        raise ExpiredError(f"{name}: expired at {manifest.expires}; it is {now}")
    if now_unix_s < unix_s(manifest.created):
        raise ExpiredError(
            f"{name}: expires at {manifest.expires}, and nobody can tell whether it has: the clock shows {now}, but it "
            f"was made at {manifest.created}",
            hint="set the clock: `timedatectl`",
        )


def _fail(key: str, problem: str) -> NoReturn:
    raise ManifestError(f"{MANIFEST_NAME}: {problem} - at `$.{key}`")  # worded as msgspec does


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> None:
    keys: set[str] = set()
    for key, _ in pairs:
        if key in keys:
            raise ManifestError(f"{MANIFEST_NAME}: the key `{key[:100]}` is there twice")
        keys.add(key)


def _check_distinct(key: str, values: Iterable[Hashable]) -> None:
    seen: set[Hashable] = set()
    for index, value in enumerate(values):
        if value in seen:
            _fail(f"{key}[{index}]", f"{value!r} is there twice")
        seen.add(value)


def _check_times(manifest: Manifest) -> None:
    created_s = _time("created", manifest.created)
    if manifest.expires is not None and _time("expires", manifest.expires) <= created_s:
        _fail("expires", f"{manifest.expires} is not later than created, {manifest.created}")


def _time(key: str, text: str) -> float:
    try:
        return unix_s(text)
    except ValueError:
        _fail(key, f"there is no such time as {text}")


def _check_files(files: list[FileEntry]) -> None:
    reserved = {name.lower() for name in (MANIFEST_NAME, ENVELOPE_NAME, *APPLIANCE_NAMES)}
    for index, entry in enumerate(files):
        if not is_safe_name(entry.path):
            _fail(f"files[{index}].path", f"{entry.path[:100]!r} is not a plain file name")
        if entry.path.lower() in reserved:
            _fail(f"files[{index}].path", f"the name {entry.path} is reserved")
    _check_distinct("files", [entry.path.lower() for entry in files])
    if sum(entry.size for entry in files) > MAX_BUNDLE_BYTES:
        _fail("files", f"they are larger than {MAX_BUNDLE_BYTES} bytes together")


def _check_input(spec: InputSpec, features: list[str]) -> None:
    if spec.max_gap_s <= spec.min_gap_s:
        _fail("input.max_gap_s", "not greater than min_gap_s")
    if spec.layout == MISLABELLED_LAYOUT and (spec.subcarriers, spec.frames) != (SUBCARRIERS, MISLABELLED_FRAMES):
        _fail("input.layout", f"{spec.layout} means {SUBCARRIERS} subcarriers and {MISLABELLED_FRAMES} frames")
    if (spec.columns == "cell_median") != (CELL_MEDIAN in features):
        _fail("input.columns", f"{spec.columns!r} with the features {features}: {CELL_MEDIAN!r} names `cell_median`")
    if spec.columns == "cell_median":
        if spec.min_gap_s != 0:
            _fail("input.min_gap_s", "not 0: a cell takes in every frame")
        if spec.gain != "none":
            _fail("input.gain", "not `none`: every frame of a cell is normalised by itself")
        if 1 / spec.rate_hz > spec.max_gap_s:
            _fail("input.rate_hz", "a cell of 1 / rate_hz is longer than max_gap_s")


def _check_output(spec: OutputSpec) -> None:
    _check_distinct("output.tensors", [tensor.name for tensor in spec.tensors])
    _check_distinct("output.labels", spec.labels)
    if (spec.calibration is None) != (spec.confidence == "none"):
        _fail("output.calibration", f"confidence {spec.confidence!r} with calibration {spec.calibration!r}")
    if (classes := spec.trained_classes) is not None:
        if classes != sorted(set(classes)):
            _fail("output.trained_classes", "not in ascending order")
        if classes[-1] >= len(spec.labels):
            _fail("output.trained_classes", f"class {classes[-1]} has no label")


def _check_variants(variants: list[Variant], golden: Golden) -> None:
    _check_distinct("variants", [(variant.backend, variant.file) for variant in variants])
    for precision in golden.tolerance:
        if precision not in get_args(Precision):
            _fail("golden.tolerance", f"{precision[:100]!r} is not a precision")
    for index, variant in enumerate(variants):
        if variant.precision not in golden.tolerance:
            _fail("golden.tolerance", f"none for the {variant.precision} of variants[{index}]")


def _check_references(manifest: Manifest) -> None:
    files = {entry.path for entry in manifest.files}
    if CARD_NAME not in files:
        _fail("files", f"{CARD_NAME} is missing")
    references = {
        "input.normaliser": manifest.input.normaliser,
        "output.calibration": manifest.output.calibration,
        "golden.file": manifest.golden.file,
    } | {f"variants[{index}].file": variant.file for index, variant in enumerate(manifest.variants)}
    for key, path in references.items():
        if path is not None and path not in files:
            _fail(key, f"{path[:100]!r} is not among the files")


def _check_metrics(metrics: list[Metric]) -> None:
    for index, metric in enumerate(metrics):
        given = {metric.low is None, metric.high is None, metric.interval is None}
        if len(given) > 1:
            _fail(f"provenance.metrics[{index}]", "low, high and interval are given together or not at all")
        if metric.low is not None and metric.high is not None and metric.low > metric.high:
            _fail(f"provenance.metrics[{index}].low", f"{metric.low:g} is above high, {metric.high:g}")
