"""Rewrites of an ONNX graph that change how fast it runs and not what it computes.

`two_dimensional` turns convolutions over time into two-dimensional ones of height 1. ONNX Runtime has blocked kernels
(NCHWc: https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html) for those only; a 1-D
convolution is done as im2col and a matrix product of as many columns as there are frames. `fold_normaliser` takes the
normaliser of the input into the graph.

Both know nothing of torch and of particular networks, and neither proves anything: `cogd.train.edge` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from cogd.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_ELEMENTWISE: Final = frozenset(
    {"Clip", "Elu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Relu", "Sigmoid", "Tanh"}
)
"""Operators of one tensor that work on any shape alike: their first input and their output have the same axes."""

_NEW_AXIS: Final = 2
"""`[batch, channels, time]` becomes `[batch, channels, 1, time]`: the width is what the kernels go along."""

_LEADING_OF_A_PAIR: Final = {"kernel_shape": [1], "strides": [1], "dilations": [1]}


def two_dimensional(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function with its 1-D convolutions as 2-D ones of height 1.

    The axis is put in once before the first of them and taken out after the last; what lies between, activations and
    the mean over time, is done on four axes. Convolutions whose weights the graph computes stay as they are, and so
    does a graph with inner graphs (`If`, `Loop`, `Scan`), as those may look at any tensor outside.

    Args:
        model: any ONNX model; it is not changed.

    Returns:
        The rewritten model; a copy of `model` where there is nothing to rewrite.
    """
    rewritten = onnx.ModelProto()
    rewritten.CopyFrom(model)
    if not _has_inner_graphs(rewritten.graph):
        _Lifting(rewritten.graph).run()
    return rewritten


def fold_normaliser(model: onnx.ModelProto, mean: NDArray[np.float32], std: NDArray[np.float32]) -> onnx.ModelProto:
    """A model of `csi` that computes what `model` does of `(csi - mean) / std`, row by row.

    The division goes into the weights of the convolutions that read the input, the subtraction becomes a node of its
    own: their padding is zero after the normaliser, so at the borders a mean inside their bias would be wrong.

    Args:
        model: its one input is `[batch, rows, columns]`; it is not changed.
        mean: float32 `[rows]`.
        std: float32 `[rows]`, positive.

    Raises:
        ModelError: there is more than one input, inner graphs, or something else than a 1-D convolution of one group
            with constant weights reads the input.
    """
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    graph = folded.graph
    if len(graph.input) != 1 or _has_inner_graphs(graph):
        raise ModelError("the normaliser can't go into the graph: it has several inputs, or graphs inside")
    names, weights, given = _Names(graph), _constants(graph), graph.input[0]
    readers = [node for node in graph.node if given.name in node.input]
    for node in readers:
        weight = weights.get(node.input[1]) if node.op_type == "Conv" else None
        if weight is None or list(weight.dims[1:2]) != [len(std)] or len(weight.dims) != 3:
            raise ModelError(f"the normaliser can't go into the graph: its input is read by {node.op_type} {node.name}")
    centred = names.new(f"{given.name}_centred")
    for node in readers:
        scaled = names.new(f"{node.input[1]}_scaled")
        values = numpy_helper.to_array(weights[node.input[1]]) / std[None, :, None]
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), scaled))
        node.input[0], node.input[1] = centred, scaled
    means = names.new(f"{given.name}_mean")
    graph.initializer.append(numpy_helper.from_array(mean[:, None].astype(np.float32), means))
    graph.node.insert(0, helper.make_node("Sub", [given.name, means], [centred], name=names.new("normalise")))
    _drop_unused_constants(graph)
    return folded


def without_metadata(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model without what the exporter noted of its own work.

    That holds the paths of source files: the same network would be another file from each checkout.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    graph = bare.graph
    for noted in (bare, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del noted.metadata_props[:]
        noted.ClearField("doc_string")
    return bare


class _Names:
    """Names that a graph does not use yet."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._taken = {name for node in graph.node for name in (node.name, *node.input, *node.output)}
        self._taken |= {item.name for item in (*graph.input, *graph.output, *graph.initializer)}

    def new(self, wish: str) -> str:
        """The wish, or the wish with a number."""
        name, number = wish, 1
        while name in self._taken:
            number += 1
            name = f"{wish}_{number}"
        self._taken.add(name)
        return name


class _Lifting:
    """One pass over a graph in its order: some tensors exist with four axes, some with three, some with both.

    `_lifted` maps a tensor to its twin of four axes. A node that can work on the twin does; for any other the tensor
    of three axes is made from it when it is first asked for.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._names = _Names(graph)
        self._weights = _constants(graph)
        self._lifted: dict[str, str] = {}
        self._flat = {item.name for item in graph.input} | set(self._weights)
        self._wide_weights: dict[str, str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._axis: str | None = None

    def run(self) -> None:
        """Rewrite the graph in place."""
        for node in list(self._graph.node):
            self._take(node)
        for output in self._graph.output:
            self._flatten(output.name)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        _drop_unused_constants(self._graph)
        known = {name for node in self._nodes for name in node.output}
        kept = [item for item in self._graph.value_info if item.name in known]
        del self._graph.value_info[:]
        self._graph.value_info.extend(kept)

    def _take(self, node: onnx.NodeProto) -> None:
        if node.op_type == "Conv" and self._is_flat_convolution(node):
            node.input[0] = self._lift(node.input[0])
            node.input[1] = self._widen(node.input[1])
            _widen_attributes(node)
            self._add_lifted(node)
        elif node.op_type in _ELEMENTWISE and node.input[0] in self._lifted:
            node.input[0] = self._lifted[node.input[0]]
            self._add_lifted(node)
        elif node.op_type == "ReduceMean" and node.input[0] in self._lifted and self._over_time(node):
            self._take_mean(node)
        else:
            for name in node.input:
                self._flatten(name)
            self._nodes.append(node)
            self._flat.update(node.output)

    def _take_mean(self, node: onnx.NodeProto) -> None:
        """The mean over time is the global average: of four axes, and with a blocked kernel."""
        source, (result,) = self._lifted[node.input[0]], node.output
        keep = _attributes(node).get("keepdims", 1)
        average = helper.make_node("GlobalAveragePool", [source], [result], name=node.name)
        if keep:
            self._add_lifted(average)
            return
        average.output[0] = self._names.new(f"{result}_2d")
        flat = helper.make_node("Flatten", [average.output[0]], [result], name=self._names.new(f"{node.name}_flat"))
        self._nodes += [average, flat]
        self._flat.add(result)

    def _is_flat_convolution(self, node: onnx.NodeProto) -> bool:
        weight = self._weights.get(node.input[1])
        return weight is not None and len(weight.dims) == 3 and node.domain in {"", "ai.onnx"}

    def _over_time(self, node: onnx.NodeProto) -> bool:
        """Whether a ReduceMean takes exactly the last of three axes away."""
        attributes = _attributes(node)
        axes = attributes.get("axes")  # an attribute before opset 18, an input since
        if len(node.input) > 1 and node.input[1] in self._weights:
            axes = numpy_helper.to_array(self._weights[node.input[1]]).tolist()
        return axes in ([2], [-1])

    def _add_lifted(self, node: onnx.NodeProto) -> None:
        """Add a node that works on four axes; its output's name stays for the tensor of three."""
        (name,) = node.output
        node.output[0] = self._lifted[name] = self._names.new(f"{name}_2d")
        self._nodes.append(node)

    def _lift(self, name: str) -> str:
        if name not in self._lifted:
            self._lifted[name] = self._names.new(f"{name}_2d")
            self._move("Unsqueeze", name, self._lifted[name])
        return self._lifted[name]

    def _flatten(self, name: str) -> None:
        if name in self._lifted and name not in self._flat:
            self._move("Squeeze", self._lifted[name], name)
            self._flat.add(name)

    def _move(self, kind: str, source: str, target: str) -> None:
        if self._axis is None:
            self._axis = self._names.new("axis_2d")
            self._graph.initializer.append(numpy_helper.from_array(np.asarray([_NEW_AXIS]), self._axis))
        node = helper.make_node(kind, [source, self._axis], [target], name=self._names.new(f"{kind.lower()}_{source}"))
        self._nodes.append(node)

    def _widen(self, name: str) -> str:
        """The weights `[out, in, taps]` as `[out, in, 1, taps]`, under a name of their own."""
        if name not in self._wide_weights:
            wide = self._wide_weights[name] = self._names.new(f"{name}_2d")
            values = np.expand_dims(numpy_helper.to_array(self._weights[name]), _NEW_AXIS)
            self._graph.initializer.append(numpy_helper.from_array(values, wide))
        return self._wide_weights[name]


def _widen_attributes(node: onnx.NodeProto) -> None:
    """Sizes along one axis become sizes along two, of which the first does nothing."""
    for attribute in node.attribute:
        if attribute.name in _LEADING_OF_A_PAIR:
            attribute.ints[:] = [*_LEADING_OF_A_PAIR[attribute.name], *attribute.ints]
        elif attribute.name == "pads":
            before, after = attribute.ints
            attribute.ints[:] = [0, before, 0, after]


def _attributes(node: onnx.NodeProto) -> dict[str, object]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """The tensors that no caller can replace."""
    given = {item.name for item in graph.input}
    return {tensor.name: tensor for tensor in graph.initializer if tensor.name not in given}


def _has_inner_graphs(graph: onnx.GraphProto) -> bool:
    return any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute)


def _used(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.input
    for output in graph.output:
        yield output.name


def _drop_unused_constants(graph: onnx.GraphProto) -> None:
    """Weights that no node reads any more would only make the file larger."""
    used = set(_used(graph))
    used |= {item.name for item in graph.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
