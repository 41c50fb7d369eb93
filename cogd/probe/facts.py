"""What the quick way reads of a signed manifest and of a tensor file: plain forms only.

A manifest met its whole schema when it was installed (`cogd.bundle.manifest`). Here the parts are read that the proof
depends on; where one of them is not as expected, the ordinary way says what is wrong.
"""

from __future__ import annotations

import json
import sys
from array import array
from math import isfinite, prod

from cogd.probe.not_quick import NotQuick

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Json = Mapping[str, object]


class TensorFact:
    """Name and shape, without the batch axis, of an output."""

    __slots__ = ("name", "shape")

    def __init__(self, said: Json) -> None:
        self.name = text(said, "name")
        self.shape = whole_numbers(said, "shape")


class OutputFacts:
    """The parts of a manifest's `output` that a head looks at."""

    __slots__ = ("calibration", "confidence", "labels", "tensors", "trained_classes")

    def __init__(self, said: Json) -> None:
        self.tensors = [TensorFact(one) for one in objects(said, "tensors")]
        self.labels = texts(said, "labels")
        self.trained_classes = None if said["trained_classes"] is None else whole_numbers(said, "trained_classes")
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
            said = whole(json.loads(signed, object_pairs_hook=_no_key_twice))
            if said["format"] != "cogd.bundle/1":
                raise NotQuick("the manifest's format")
            self.id, self.version, self.head = text(said, "id"), text(said, "version"), text(said, "head")
            requires = whole(said["requires"])
            self.lowest_cogd, self.features = text(requires, "cogd"), texts(requires, "features")
            spec = whole(said["input"])
            self.layout, self.gain = text(spec, "layout"), text(spec, "gain")
            self.subcarriers, self.frames = whole_number(spec, "subcarriers"), whole_number(spec, "frames")
            self.normaliser = text_or_none(spec, "normaliser")
            self.output = OutputFacts(whole(said["output"]))
            self.variants = [
                (text(one, "backend"), text(one, "file"), text(one, "precision"), texts(one, "targets"))
                for one in objects(said, "variants")
            ]
            golden = whole(said["golden"])
            self.golden_file, self.tolerance = text(golden, "file"), whole(golden["tolerance"])
            self.files = [
                (text(one, "path"), whole_number(one, "size"), text(one, "sha256")) for one in objects(said, "files")
            ]
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
