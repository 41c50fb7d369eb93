"""Decide whether an ONNX model provably only computes, for a time and in memory that its shapes bound.

The shape of every intermediate tensor is inferred at a fixed batch, for an allow-list of operators whose output shapes
follow from their input shapes and constants alone (https://onnx.ai/onnx/operators/). Anything else is not provable:
another operator or domain, control flow, functions, a shape that depends on values. Standard library only, so that
`cogd health` can ask as well.
"""

from __future__ import annotations

import struct
from math import prod

from cogd.backends.onnx_file import fields
from cogd.errors import ModelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Shape = tuple[int, ...]

MAX_TENSOR_BYTES = 64 << 20
"""All intermediate tensors of the largest batch together: the packaged models need at most a quarter of it, and a Pi
has 4 GiB for everything."""

MAX_MULTIPLY_ADDS = 1 << 30
"""Of the largest batch: about 0.3 s on one core of a Pi 5, below the time limit of an inference. The packaged models
need a sixth of it."""

_ELEMENT_BYTES = 8  # the largest element type of an allowed operator
_MAX_NODES = 4096
_MAX_RANK = 8
_MAX_CONSTANTS = 64  # integers of a constant that a shape may depend on
_INT64 = 7


class NotProvableError(Exception):
    """The model is not one that provably only computes; the text says why."""


def unbounded_reason(model: bytes, input_shape: Sequence[int], batch: int) -> str | None:
    """Return why a model does not provably only compute, or None where it does.

    Args:
        model: an ONNX file.
        input_shape: of its only input, without the batch axis.
        batch: the largest batch.
    """
    try:
        _Graph(model).infer((batch, *input_shape))
    except NotProvableError as error:
        return str(error)
    except (ModelError, ValueError, IndexError, UnicodeDecodeError, struct.error) as error:
        return f"the model can't be analysed: {error}"
    return None


def inferred_shapes(model: bytes, input_shape: Sequence[int], batch: int) -> dict[str, Shape]:
    """Return the shape of every tensor by name.

    Raises:
        NotProvableError: as `unbounded_reason`.
        ModelError: the bytes are not an ONNX file.
    """
    graph = _Graph(model)
    graph.infer((batch, *input_shape))
    return graph.shapes


class _Node:
    """One operator of the graph; attributes are decoded when they are asked for."""

    def __init__(self, message: memoryview) -> None:
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.kind = self.domain = ""
        self._attributes: dict[str, memoryview] = {}
        for number, value in fields(message):
            if number == 1:
                self.inputs.append(_text(value))
            elif number == 2:
                self.outputs.append(_text(value))
            elif number == 4:
                self.kind = _text(value)
            elif number == 7:
                self.domain = _text(value)
            elif number == 5 and isinstance(value, memoryview):
                self._attributes[_name(value)] = value

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        if name not in self._attributes:
            return default
        return next((_signed(value) for number, value in fields(self._attributes[name]) if number == 3), 0)

    def integers(self, name: str) -> list[int] | None:
        """Return a list of integers; None where there is no such attribute."""
        if name not in self._attributes:
            return None
        return list(_integers(self._attributes[name], 8))

    def text(self, name: str, default: str) -> str:
        """Return a text."""
        if name not in self._attributes:
            return default
        return next((_text(value) for number, value in fields(self._attributes[name]) if number == 4), "")

    def tensor(self, name: str) -> memoryview | None:
        """Return a tensor's message."""
        found = (value for number, value in fields(self._attributes.get(name, memoryview(b""))) if number == 5)
        return next((value for value in found if isinstance(value, memoryview)), None)

    def has(self, name: str) -> bool:
        """Return whether there is such an attribute."""
        return name in self._attributes


class _Graph:
    """A model's graph, and the shapes that are known of it."""

    def __init__(self, model: bytes) -> None:
        self.shapes: dict[str, Shape] = {}
        self.constants: dict[str, list[int]] = {}
        self.nodes: list[_Node] = []
        self._inputs: list[str] = []
        self._elements = self.multiply_adds = 0
        for number, value in fields(_only_graph(model)):
            if not isinstance(value, memoryview):
                continue
            if number == 1:
                self.nodes.append(_Node(value))
            elif number == 5:
                self._constant("", value)
            elif number == 11:
                self._inputs.append(_name(value))
            elif number == 15:
                raise NotProvableError("the model has sparse tensors")
        if len(self.nodes) > _MAX_NODES:
            raise NotProvableError(f"the model has more than {_MAX_NODES} operators")

    def infer(self, input_shape: Shape) -> None:
        """Infer every shape, and see that the sums are within the bounds."""
        wanted = [name for name in self._inputs if name not in self.shapes]
        if len(wanted) != 1:
            raise NotProvableError(f"the model has {len(wanted)} inputs")
        self.shapes[wanted[0]] = input_shape
        for node in self.nodes:
            rule = _RULES.get(node.kind) if node.domain in {"", "ai.onnx"} else None
            if rule is None:
                name = f"{node.domain}.{node.kind}" if node.domain else node.kind
                raise NotProvableError(f"the operator {name} is not among those of which this can be known")
            if missing := [name for name in node.inputs if name and name not in self.shapes]:
                raise NotProvableError(f"the operator {node.kind} reads {missing[0]!r} before it is written")
            outputs = rule(self, node)
            for name, shape in zip(node.outputs, outputs, strict=False):
                self._add(node.kind, name, shape)
            if any(name and name not in self.shapes for name in node.outputs):
                raise NotProvableError(f"the operator {node.kind} has outputs that are not analysed")

    def shape(self, node: _Node, index: int) -> Shape:
        """Return the shape of an input that must be there."""
        if index >= len(node.inputs) or not node.inputs[index]:
            raise NotProvableError(f"the operator {node.kind} lacks an input")
        return self.shapes[node.inputs[index]]

    def values(self, node: _Node, index: int) -> list[int] | None:
        """Return the integers of a constant input; None where the input is left out."""
        if index >= len(node.inputs) or not node.inputs[index]:
            return None
        if node.inputs[index] not in self.constants:
            raise NotProvableError(f"the shape of {node.kind} depends on values that are computed")
        return self.constants[node.inputs[index]]

    def work(self, amount: int) -> None:
        """Count multiply-adds."""
        self.multiply_adds += amount
        if self.multiply_adds > MAX_MULTIPLY_ADDS:
            raise NotProvableError(f"a batch needs more than {MAX_MULTIPLY_ADDS} multiply-adds")

    def _add(self, kind: str, name: str, shape: Shape) -> None:
        if not name:
            return
        if name in self.shapes:
            raise NotProvableError(f"the tensor {name!r} is written twice")
        if len(shape) > _MAX_RANK or any(size <= 0 for size in shape):
            raise NotProvableError(f"the operator {kind} makes a tensor of {shape}")
        elements = prod(shape)
        self._elements += elements
        if self._elements * _ELEMENT_BYTES > MAX_TENSOR_BYTES:
            raise NotProvableError(f"its tensors need more than {MAX_TENSOR_BYTES >> 20} MiB at the largest batch")
        self.work(elements)
        self.shapes[name] = shape

    def _constant(self, name: str, tensor: memoryview) -> Shape:
        """Note a constant tensor's shape, and its values where it holds a few integers."""
        dimensions = tuple(_integers(tensor, 1))
        kind, raw = 0, b""
        for number, value in fields(tensor):
            if number == 2 and isinstance(value, int):
                kind = value
            elif number == 8:
                name = name or _text(value)
            elif number == 9 and isinstance(value, memoryview):
                raw = bytes(value)
        if kind == _INT64 and prod(dimensions) <= _MAX_CONSTANTS:
            found = list(struct.unpack(f"<{len(raw) // 8}q", raw)) if raw else list(_integers(tensor, 7))
            if len(found) == prod(dimensions):
                self.constants[name] = found
        if any(size < 0 for size in dimensions):
            raise NotProvableError(f"the constant {name!r} has a size below 0")
        self.shapes[name] = dimensions
        return dimensions

    def add_constant(self, node: _Node) -> list[Shape]:
        """Note the value of a `Constant` operator."""
        tensor = node.tensor("value")
        if tensor is None or len(node.outputs) != 1:
            raise NotProvableError("a Constant without a tensor")
        self._constant(node.outputs[0], tensor)
        return []


def _only_graph(model: bytes) -> memoryview:
    """The model's graph, where it has one and nothing beside it that runs."""
    graphs = []
    for number, value in fields(memoryview(model)):
        if number == 7 and isinstance(value, memoryview):
            graphs.append(value)
        elif number in {20, 25}:
            raise NotProvableError("the model has functions or training graphs")
    if len(graphs) != 1:
        raise NotProvableError("the model has no graph, or several")
    return graphs[0]


def _text(value: memoryview | int) -> str:
    if isinstance(value, int):
        raise ModelError("the model is not ONNX: a text is a number")
    return bytes(value).decode()


def _name(message: memoryview) -> str:
    """The name of an attribute or a graph's input: its first field."""
    name = next((value for number, value in fields(message) if number == 1), None)
    if name is None:
        raise ModelError("the model is not ONNX: something has no name")
    return _text(name)


def _signed(value: memoryview | int) -> int:
    if not isinstance(value, int):
        raise ModelError("the model is not ONNX: a number is a text")
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def _integers(message: memoryview, wanted: int) -> Iterator[int]:
    """A repeated integer field, packed or not."""
    for number, value in fields(message):
        if number != wanted:
            continue
        if isinstance(value, int):
            yield _signed(value)
            continue
        # A packed field is a run of varints: read as the fields of a message that has them one by one.
        at = 0
        while at < len(value):
            result = shift = 0
            while True:
                byte = value[at]
                at += 1
                result |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80 or shift >= 70:
                    break
            yield _signed(result)


def _same(graph: _Graph, node: _Node) -> list[Shape]:
    """One output of the first input's shape."""
    return [graph.shape(node, 0)]


def _broadcast_shapes(kind: str, shapes: Sequence[Shape]) -> Shape:
    """NumPy's broadcasting (https://github.com/onnx/onnx/blob/main/docs/Broadcasting.md)."""
    rank = max(len(shape) for shape in shapes)
    result = []
    for axis in range(rank):
        sizes = {1 if axis < rank - len(shape) else shape[axis - rank + len(shape)] for shape in shapes} - {1}
        if len(sizes) > 1:
            raise NotProvableError(f"the inputs of {kind} do not fit together")
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def _broadcast(graph: _Graph, node: _Node) -> list[Shape]:
    return [_broadcast_shapes(node.kind, [graph.shape(node, index) for index in range(len(node.inputs))])]


def _matmul(graph: _Graph, node: _Node) -> list[Shape]:
    left, right = graph.shape(node, 0), graph.shape(node, 1)
    if len(left) < 2 or len(right) < 2 or left[-1] != right[-2]:
        raise NotProvableError("the inputs of MatMul do not fit together, or have one axis")
    shape = (*_broadcast_shapes(node.kind, [left[:-2], right[:-2]]), left[-2], right[-1])
    graph.work(prod(shape) * left[-1])
    return [shape]


def _gemm(graph: _Graph, node: _Node) -> list[Shape]:
    left, right = graph.shape(node, 0), graph.shape(node, 1)
    if len(left) != 2 or len(right) != 2:
        raise NotProvableError("the inputs of Gemm are not matrices")
    left = left[::-1] if node.integer("transA", 0) else left
    right = right[::-1] if node.integer("transB", 0) else right
    if left[1] != right[0]:
        raise NotProvableError("the inputs of Gemm do not fit together")
    graph.work(left[0] * left[1] * right[1])
    return [(left[0], right[1])]


def _window(graph: _Graph, node: _Node, kernel: Sequence[int]) -> Shape:
    """The spatial output sizes of a convolution or a pool."""
    spatial = graph.shape(node, 0)[2:]
    rank = len(spatial)
    strides, dilations = node.integers("strides") or [1] * rank, node.integers("dilations") or [1] * rank
    pads = node.integers("pads") or [0] * (2 * rank)
    if node.text("auto_pad", "NOTSET") not in {"NOTSET", "VALID"} or node.integer("ceil_mode", 0):
        raise NotProvableError(f"{node.kind} with automatic padding or rounding up")
    lists = (kernel, strides, dilations)
    if rank == 0 or any(len(each) != rank for each in lists) or len(pads) != 2 * rank:
        raise NotProvableError(f"{node.kind} with other numbers of axes")
    if any(value < 1 for each in lists for value in each) or any(pad < 0 for pad in pads):
        raise NotProvableError(f"{node.kind} with sizes below 1")
    return tuple(
        (spatial[axis] + pads[axis] + pads[axis + rank] - (dilations[axis] * (kernel[axis] - 1) + 1)) // strides[axis]
        + 1
        for axis in range(rank)
    )


def _conv(graph: _Graph, node: _Node) -> list[Shape]:
    batch, channels, *_ = graph.shape(node, 0)
    weight = graph.shape(node, 1)
    group = node.integer("group", 1)
    if group < 1 or weight[1] * group != channels or weight[0] % group:
        raise NotProvableError("the inputs of Conv do not fit together")
    shape = (batch, weight[0], *_window(graph, node, weight[2:]))
    graph.work(max(0, prod(shape)) * prod(weight[1:]))
    return [shape]


def _pool(graph: _Graph, node: _Node) -> list[Shape]:
    batch, channels, *_ = graph.shape(node, 0)
    kernel = node.integers("kernel_shape") or []
    if len(node.outputs) != 1:
        raise NotProvableError(f"{node.kind} with several outputs")
    shape = (batch, channels, *_window(graph, node, kernel))
    graph.work(max(0, prod(shape)) * prod(kernel))
    return [shape]


def _global_pool(graph: _Graph, node: _Node) -> list[Shape]:
    shape = graph.shape(node, 0)
    graph.work(prod(shape))
    return [(*shape[:2], *(1 for _ in shape[2:]))]


def _axes(rank: int, axes: Sequence[int], kind: str) -> list[int]:
    """Axes counted from the front, each once."""
    found = sorted({axis + rank if axis < 0 else axis for axis in axes})
    if len(found) != len(axes) or any(not 0 <= axis < rank for axis in found):
        raise NotProvableError(f"{kind} over axes that are not there")
    return found


def _reduce(graph: _Graph, node: _Node) -> list[Shape]:
    shape = graph.shape(node, 0)
    given = node.integers("axes") if node.has("axes") else graph.values(node, 1)
    if not given and node.integer("noop_with_empty_axes", 0):
        return [shape]
    axes = _axes(len(shape), given or range(len(shape)), node.kind)
    graph.work(prod(shape))
    if node.integer("keepdims", 1):
        return [tuple(1 if axis in axes else size for axis, size in enumerate(shape))]
    return [tuple(size for axis, size in enumerate(shape) if axis not in axes)]


def _flatten(graph: _Graph, node: _Node) -> list[Shape]:
    shape, axis = graph.shape(node, 0), node.integer("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return [(prod(shape[:axis]), prod(shape[axis:]))]


def _reshape(graph: _Graph, node: _Node) -> list[Shape]:
    shape, wanted = graph.shape(node, 0), graph.values(node, 1)
    if wanted is None or (0 in wanted and node.integer("allowzero", 0)) or wanted.count(-1) > 1:
        raise NotProvableError("Reshape to a shape that is not known")
    sizes = [shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    if -1 in sizes:
        sizes[sizes.index(-1)] = prod(shape) // max(1, prod(size for size in sizes if size != -1))
    if prod(sizes) != prod(shape):
        raise NotProvableError("Reshape to another number of elements")
    return [tuple(sizes)]


def _transpose(graph: _Graph, node: _Node) -> list[Shape]:
    shape = graph.shape(node, 0)
    order = node.integers("perm") or list(range(len(shape)))[::-1]
    if sorted(order) != list(range(len(shape))):
        raise NotProvableError("Transpose by an order that is none")
    return [tuple(shape[axis] for axis in order)]


def _concat(graph: _Graph, node: _Node) -> list[Shape]:
    shapes = [graph.shape(node, index) for index in range(len(node.inputs))]
    (axis,) = _axes(len(shapes[0]), [node.integer("axis", 0)], node.kind)
    if len({shape[:axis] + shape[axis + 1 :] for shape in shapes}) != 1:
        raise NotProvableError("the inputs of Concat do not fit together")
    return [(*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])]


def _slice(graph: _Graph, node: _Node) -> list[Shape]:
    shape = list(graph.shape(node, 0))
    starts, ends = graph.values(node, 1), graph.values(node, 2)
    if starts is None or ends is None:
        raise NotProvableError("Slice without bounds")
    axes = graph.values(node, 3)
    steps = graph.values(node, 4) or [1] * len(starts)
    chosen = list(range(len(starts))) if axes is None else axes
    if not len(starts) == len(ends) == len(steps) == len(chosen) or 0 in steps:
        raise NotProvableError("Slice with other numbers of bounds")
    for axis, start, end, step in zip(chosen, starts, ends, steps, strict=True):
        (place,) = _axes(len(shape), [axis], node.kind)
        shape[place] = len(
            range(*slice(start, end if step > 0 or end >= -shape[place] else None, step).indices(shape[place]))
        )
    return [tuple(shape)]


def _unsqueeze(graph: _Graph, node: _Node) -> list[Shape]:
    shape = graph.shape(node, 0)
    given = node.integers("axes") if node.has("axes") else graph.values(node, 1)
    axes = _axes(len(shape) + len(given or ()), given or [], node.kind)
    left = iter(shape)
    return [tuple(1 if axis in axes else next(left) for axis in range(len(shape) + len(axes)))]


def _squeeze(graph: _Graph, node: _Node) -> list[Shape]:
    shape = graph.shape(node, 0)
    given = node.integers("axes") if node.has("axes") else graph.values(node, 1)
    if given is None:
        raise NotProvableError("Squeeze of axes that are not named")
    axes = _axes(len(shape), given, node.kind)
    if any(shape[axis] != 1 for axis in axes):
        raise NotProvableError("Squeeze of an axis that is longer than 1")
    return [tuple(size for axis, size in enumerate(shape) if axis not in axes)]


def _normalise(graph: _Graph, node: _Node) -> list[Shape]:
    """A normalisation that keeps the shape; its other outputs are not analysed."""
    graph.work(4 * prod(graph.shape(node, 0)))
    return [graph.shape(node, 0)]


_SAME = (
    "Abs", "Cast", "Ceil", "Clip", "Cos", "DequantizeLinear", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid",
    "HardSwish", "Identity", "LeakyRelu", "Log", "LogSoftmax", "Neg", "Not", "QuantizeLinear", "Reciprocal", "Relu",
    "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softmax", "Softplus", "Softsign", "Sqrt", "Tanh",
)  # fmt: skip
_BROADCAST = (
    "Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mul",
    "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor",
)  # fmt: skip
_REDUCE = ("ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare")

_RULES: dict[str, Callable[[_Graph, _Node], list[Shape]]] = {
    **dict.fromkeys(_SAME, _same),
    **dict.fromkeys(_BROADCAST, _broadcast),
    **dict.fromkeys(_REDUCE, _reduce),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization", "LayerNormalization"), _normalise),
    **dict.fromkeys(("AveragePool", "MaxPool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global_pool),
    "Concat": _concat,
    "Constant": _Graph.add_constant,
    "Conv": _conv,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""The operators of which the output shape is known."""
