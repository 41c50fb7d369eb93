"""What the quick way reads of a signed manifest and of a tensor file: plain forms only.

A manifest met its whole schema when it was installed (`cogd.bundle.manifest`). Here its keys are counted, and the parts
are read that decide what runs and how; where one of them is not as expected, the ordinary way says what is wrong. What
provenance says, and how long texts are, is not looked at again.
"""

from __future__ import annotations

import json
import sys
from array import array
from math import isfinite, prod

from cogd.bundle.features import CELL_MEDIAN
from cogd.bundle.members import is_safe_name
from cogd.bundle.semver import precedence
from cogd.probe.not_quick import NotQuick

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Json = Mapping[str, object]


_KEYS = (
    "created", "files", "format", "golden", "head", "id", "input", "output", "provenance", "requires", "variants",
    "version",
)  # fmt: skip


class TensorFact:
    """Name and shape, without the batch axis, of an output."""

    __slots__ = ("name", "shape")

    def __init__(self, said: Json) -> None:
        exactly(said, "name", "shape")
        self.name = text(said, "name")
        self.shape = whole_numbers(said, "shape")


class OutputFacts:
    """The parts of a manifest's `output` that a head looks at."""

    __slots__ = ("calibration", "confidence", "labels", "tensors", "trained_classes")

    def __init__(self, said: Json) -> None:
        exactly(said, "calibration", "confidence", "confidence_note", "labels", "tensors", "trained_classes")
        self.tensors = [TensorFact(one) for one in objects(said, "tensors")]
        self.labels = distinct(texts(said, "labels"))
        self.trained_classes = None if said["trained_classes"] is None else whole_numbers(said, "trained_classes")
        if any(index >= len(self.labels) for index in self.trained_classes or ()):
            raise NotQuick("a trained class has no label")
        self.confidence = text(said, "confidence")
        self.calibration = text_or_none(said, "calibration")


class Facts:
    """The parts of a manifest that the proof depends on."""

    __slots__ = (
        "features", "files", "frames", "gain", "golden_file", "head", "id", "layout", "lowest_cogd", "normaliser",
        "output", "subcarriers", "tolerance", "variants", "version",
    )  # fmt: skip

    def __init__(self, signed: bytes) -> None:
        """Read a manifest whose signature was verified.

        Raises:
            NotQuick: it is not in a plain form.
        """
        try:
            said = whole(json.loads(signed.decode(), object_pairs_hook=_no_key_twice))
            exactly(said, *_KEYS, *({"expires"} & said.keys()))
            if said["format"] != "cogd.bundle/1" or not _is_time(said["created"]):
                raise NotQuick("the manifest's format")
            if "expires" in said and not _is_time(said["expires"]):
                raise NotQuick("the manifest's expiry")
            exactly(whole(said["provenance"]), "data", "limits", "metrics", "trainer")
            self.id, self.version, self.head = text(said, "id"), text(said, "version"), text(said, "head")
            precedence(self.version)
            requires = whole(said["requires"])
            exactly(requires, "cogd", "features")
            self.lowest_cogd, self.features = text(requires, "cogd"), texts(requires, "features")
            spec = whole(said["input"])
            _check_input(spec, self.features)
            self.layout, self.gain = text(spec, "layout"), text(spec, "gain")
            self.subcarriers, self.frames = whole_number(spec, "subcarriers"), whole_number(spec, "frames")
            self.normaliser = text_or_none(spec, "normaliser")
            self.output = OutputFacts(whole(said["output"]))
            self.variants = [
                (text(one, "backend"), text(one, "file"), text(one, "precision"), texts(one, "targets"))
                for one in objects(said, "variants")
            ]
            for one in objects(said, "variants"):
                exactly(one, "backend", "file", "precision", "targets")
            golden = whole(said["golden"])
            exactly(golden, "file", "tolerance")
            self.golden_file, self.tolerance = text(golden, "file"), whole(golden["tolerance"])
            if not all(isinstance(value, float) and 0 < value <= 0.1 for value in self.tolerance.values()):
                raise NotQuick("a golden tolerance")
            for one in objects(said, "files"):
                exactly(one, "path", "sha256", "size")
            self.files = [
                (text(one, "path"), whole_number(one, "size"), text(one, "sha256")) for one in objects(said, "files")
            ]
            if not all(is_safe_name(name) for name in distinct([name.lower() for name, _, _ in self.files])):
                raise NotQuick("a file's name")
        except (KeyError, ValueError, RecursionError) as error:
            raise NotQuick(f"the manifest: {type(error).__name__} {error}") from None


class Tensor:
    """A tensor of a file: float32 values in row-major order, all finite."""

    __slots__ = ("shape", "values")

    def __init__(self, shape: list[int], values: array[float]) -> None:
        self.shape, self.values = shape, values


def read_tensors(path: str, data: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file (https://github.com/huggingface/safetensors, "Format").

    Raises:
        NotQuick: it is not in a plain form, or holds something else than finite float32.
    """
    if sys.byteorder != "little":
        raise NotQuick("this device is not little-endian")
    try:
        end = 8 + int.from_bytes(data[:8], "little")
        header = whole(json.loads(data[8:end], object_pairs_hook=_no_key_twice))
        tensors: dict[str, Tensor] = {}
        spans: list[tuple[int, int]] = []
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            said = whole(entry)
            first, last = whole_numbers(said, "data_offsets")
            shape = whole_numbers(said, "shape")
            values = array("f", data[end + first : end + last])
            if said["dtype"] != "F32" or len(values) != prod(shape) or len(values) * 4 != last - first:
                raise NotQuick(f"{path}: the tensor {name}")
            if not all(map(isfinite, values)):
                raise NotQuick(f"{path}: {name} is not finite")
            tensors[name] = Tensor(shape, values)
            spans.append((first, last))
    except (KeyError, ValueError, RecursionError) as error:
        raise NotQuick(f"{path}: {type(error).__name__} {error}") from None
    spans.sort()
    if [0, *(last for _, last in spans)] != [*(first for first, _ in spans), len(data) - end]:
        raise NotQuick(f"{path}: its tensors do not fill it")
    return tensors


def exactly(said: Json, *keys: str) -> None:
    """See that an object has these keys and no others."""
    if said.keys() != {*keys}:
        raise NotQuick(f"keys that are missing or not known: {', '.join(sorted(said.keys() ^ {*keys}))}")


def distinct(values: list[str]) -> list[str]:
    """The same values, of which none is there twice."""
    if len({*values}) != len(values):
        raise NotQuick("something is there twice")
    return values


_INPUT_KEYS = (
    "frames", "gain", "layout", "max_gap_s", "min_gap_s", "normaliser", "rate_hz", "subcarriers", "tones",
)  # fmt: skip


def _check_input(spec: Json, features: list[str]) -> None:
    """What the proof does not depend on, but what the daemon makes windows by."""
    exactly(spec, *_INPUT_KEYS, *({"columns", "kind"} & spec.keys()))
    if spec.get("kind", "csi") != "csi":
        raise NotQuick("the kind of input")
    rate_hz, min_gap_s, max_gap_s = (_fraction(spec, key) for key in ("rate_hz", "min_gap_s", "max_gap_s"))
    if not 0 < rate_hz <= 1000 or not 0 <= min_gap_s < max_gap_s <= 60:
        raise NotQuick("the input's rate or gaps")
    if text(spec, "tones") not in {"ht56", "first56"}:
        raise NotQuick("the input's tones")
    in_cells = "columns" in spec
    if in_cells != (CELL_MEDIAN in features) or (in_cells and spec["columns"] != "cell_median"):
        raise NotQuick(f"the input's columns, or the features {features}")
    if in_cells and (min_gap_s or 1 / rate_hz > max_gap_s or spec["gain"] != "none"):
        raise NotQuick("the input's cells")


def _fraction(said: Json, key: str) -> float:
    value = said[key]
    if not isinstance(value, float):
        raise NotQuick(f"{key} is no number with a point, as cogd writes it")
    return value


def _is_time(value: object) -> bool:
    return isinstance(value, str) and len(value) == 20 and value[10] == "T" and value[19] == "Z"


def _no_key_twice(pairs: list[tuple[str, object]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotQuick("a key is there twice")
    return found


def whole(value: object) -> Json:
    """An object of JSON."""
    if not isinstance(value, dict):
        raise NotQuick("a part that is no object")
    return value


def objects(said: Json, key: str) -> list[Json]:
    """A list of objects."""
    return [whole(one) for one in _list(said, key)]


def text(said: Json, key: str) -> str:
    """A text that is not empty."""
    value = said[key]
    if not isinstance(value, str) or not value:
        raise NotQuick(f"{key} is no text")
    return value


def text_or_none(said: Json, key: str) -> str | None:
    """A text, or nothing."""
    return None if said[key] is None else text(said, key)


def texts(said: Json, key: str) -> list[str]:
    """A list of texts."""
    return [text({key: one}, key) for one in _list(said, key)]


def whole_number(said: Json, key: str) -> int:
    """A number from 0."""
    value = said[key]
    if type(value) is not int or value < 0:
        raise NotQuick(f"{key} is no whole number")
    return value


def whole_numbers(said: Json, key: str) -> list[int]:
    """A list of numbers from 0."""
    return [whole_number({key: one}, key) for one in _list(said, key)]


def _list(said: Json, key: str) -> list[object]:
    value = said[key]
    if not isinstance(value, list):
        raise NotQuick(f"{key} is no list")
    return value
