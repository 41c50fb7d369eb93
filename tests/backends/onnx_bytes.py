"""Small ONNX models, written byte by byte: the tests that run one need neither onnx nor torch.

Wire format: https://protobuf.dev/programming-guides/encoding; field numbers: onnx/onnx.proto.
"""

from __future__ import annotations

import numpy as np

FLOAT, DOUBLE = 1, 11
_INT, _TENSOR, _GRAPH = 2, 4, 5


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | str | bytes) -> bytes:
    """One field: a number as a varint, anything else with its length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str, values: np.ndarray) -> bytes:
    values = np.ascontiguousarray(values, np.float32)
    return (
        b"".join(field(1, size) for size in values.shape)
        + field(2, FLOAT)
        + field(8, name)
        + field(9, values.tobytes())
    )


def external_tensor(name: str, shape: tuple[int, ...], location: str) -> bytes:
    """A tensor whose values are in the file `location`."""
    entries = {"location": location, "offset": "0", "length": str(4 * int(np.prod(shape)))}
    return (
        b"".join(field(1, size) for size in shape)
        + field(2, FLOAT)
        + field(8, name)
        + b"".join(field(13, field(1, key) + field(2, value)) for key, value in entries.items())
        + field(14, 1)
    )


def node(op: str, inputs: tuple[str, ...], output: str, *attributes: bytes) -> bytes:
    return (
        b"".join(field(1, name) for name in inputs)
        + field(2, output)
        + field(4, op)
        + b"".join(field(5, attribute) for attribute in attributes)
    )


def int_attribute(name: str, value: int) -> bytes:
    return field(1, name) + field(3, value) + field(20, _INT)


def tensor_attribute(name: str, value: bytes) -> bytes:
    return field(1, name) + field(5, value) + field(20, _TENSOR)


def graph_attribute(name: str, value: bytes) -> bytes:
    return field(1, name) + field(6, value) + field(20, _GRAPH)


def value_info(name: str, shape: tuple[int | str, ...], element: int = FLOAT) -> bytes:
    dimensions = b"".join(field(1, field(1 if isinstance(size, int) else 2, size)) for size in shape)
    return field(1, name) + field(2, field(1, field(1, element) + field(2, dimensions)))


def graph(nodes: list[bytes], tensors: list[bytes], inputs: list[bytes], outputs: list[bytes]) -> bytes:
    parts = ((1, nodes), (5, tensors), (11, inputs), (12, outputs))
    return field(2, "tiny") + b"".join(field(number, item) for number, items in parts for item in items)


def model(graph_bytes: bytes) -> bytes:
    """A model of opset 18."""
    return field(1, 9) + field(8, field(1, "") + field(2, 18)) + field(7, graph_bytes)


def linear_model(
    weights: dict[str, np.ndarray],
    input_shape: tuple[int, ...],
    *,
    sigmoid: bool = False,
    batch: str | int = "batch",
    outside: str | None = None,
) -> bytes:
    """`output = flatten(input) @ weight` for each output by name, through a sigmoid if asked for.

    Args:
        weights: `[inputs, outputs]`.
        input_shape: without the batch axis.
        sigmoid: whether to end with one.
        batch: size of the batch axis, or its name.
        outside: file where the weights are said to be, instead of in the model.
    """
    nodes = [node("Flatten", ("csi",), "flat", int_attribute("axis", 1))]
    tensors, outputs = [], []
    for name, weight in weights.items():
        stored = tensor(f"w_{name}", weight) if outside is None else external_tensor(f"w_{name}", weight.shape, outside)
        tensors.append(stored)
        nodes.append(node("MatMul", ("flat", f"w_{name}"), f"l_{name}" if sigmoid else name))
        if sigmoid:
            nodes.append(node("Sigmoid", (f"l_{name}",), name))
        outputs.append(value_info(name, (batch, weight.shape[1])))
    return model(graph(nodes, tensors, [value_info("csi", (batch, *input_shape))], outputs))
