"""Check an ONNX file before ONNX Runtime sees it: a walk over the protobuf wire format.

ONNX Runtime reads a tensor's external file from the current directory, but only signed bytes may run, and a signature
covers the model file alone. The format is https://protobuf.dev/programming-guides/encoding, the field numbers are those
of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

from cogd.errors import ModelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Final

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_DEPTH = 100  # protobuf's own limit

_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a TensorProto

_INNER: Final[Mapping[str, Mapping[int, str]]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Training": {1: "Graph", 2: "Graph"},
}
"""The messages on the way from a model to its tensors, by field number."""


def check_self_contained(model: bytes) -> None:
    """See that no tensor of an ONNX model lies outside of its bytes.

    Raises:
        ModelError: one does, or the bytes are not a protobuf message.
    """
    for kind, message in _messages(model):
        if kind == "Tensor":
            for number, value in fields(message):
                if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
                    raise ModelError("the model is not self-contained: it wants weights from another file")


def _messages(model: bytes) -> Iterator[tuple[str, memoryview]]:
    """Every message on the way to the tensors: its kind and its bytes."""
    waiting = [("Model", memoryview(model), 0)]
    while waiting:
        kind, message, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise ModelError("the model is not ONNX: it is nested too deeply")
        yield kind, message
        for number, value in fields(message) if kind != "Tensor" else ():
            if (inner := _INNER[kind].get(number)) is not None and isinstance(value, memoryview):
                waiting.append((inner, value, depth + 1))


def fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Number and value of each field; fixed-size values are bytes too."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag >= 1 << 32:  # parsers differ in what they make of it
            raise ModelError("the model is not ONNX: it has a field number out of range")
        wire_type = tag & 7
        if wire_type == _VARINT:
            number, at = _varint(message, at)
            yield tag >> 3, number
            continue
        if wire_type == _BYTES:
            size, at = _varint(message, at)
        elif wire_type in {_FIXED64, _FIXED32}:
            size = 8 if wire_type == _FIXED64 else 4
        else:
            raise ModelError(f"the model is not ONNX: it has a field of the wire type {wire_type}")
        if size > len(message) - at:
            raise ModelError("the model is not ONNX: it is cut off")
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The variable-length number at `at`, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at == len(message):
            raise ModelError("the model is not ONNX: it is cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ModelError("the model is not ONNX: it has a number of more than ten bytes")
