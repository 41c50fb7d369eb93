"""The rewrites against ONNX's own reference evaluator, which shares no code with ONNX Runtime."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from cogd.errors import ModelError
from cogd.train.graph import fold_normaliser, two_dimensional, without_metadata

pytestmark = pytest.mark.train

CHANNELS, FRAMES = 4, 11


def model(nodes, constants, outputs, channels=CHANNELS) -> onnx.ModelProto:
    """A model of `x [batch, channels, 11]`; outputs by name with their rank."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", channels, FRAMES])
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank) for name, rank in outputs.items()]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], results, tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def weights(outputs, inputs=CHANNELS, taps=3, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(outputs, inputs, taps)).astype(np.float32)


def windows(batch, channels=CHANNELS, seed=1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(batch, channels, FRAMES)).astype(np.float32)


def operators(made: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in made.graph.node]


def assert_same(one: onnx.ModelProto, other: onnx.ModelProto, first=lambda x: x) -> None:
    """`other` computes of x what `one` does of first(x), and is valid ONNX with the same inputs and outputs."""
    onnx.checker.check_model(other, full_check=True)
    assert list(other.graph.input) == list(one.graph.input)
    assert list(other.graph.output) == list(one.graph.output)
    channels = one.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    for batch in (1, 3):
        x = windows(batch, channels)
        expected = ReferenceEvaluator(one).run(None, {"x": first(x)})
        for values, wanted in zip(ReferenceEvaluator(other).run(None, {"x": x}), expected, strict=True):
            assert values.shape == wanted.shape
            np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-4)


def chain() -> onnx.ModelProto:
    """Two convolutions, the mean over time and a linear layer."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[4, 4], dilations=[4]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("ReduceMean", ["r2", "axes"], ["m"], keepdims=0),
        helper.make_node("Gemm", ["m", "w3"], ["y"]),
    ]
    linear = np.random.default_rng(9).normal(size=(6, 2)).astype(np.float32)
    constants = {"w1": weights(5), "b1": np.ones(5, np.float32), "w2": weights(6, 5), "axes": [2], "w3": linear}
    return model(nodes, constants, {"y": 2})


def test_a_chain_is_lifted_once_and_comes_down_at_the_mean():
    rewritten = two_dimensional(chain())

    assert operators(rewritten) == ["Unsqueeze", "Conv", "Relu", "Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]
    assert_same(chain(), rewritten)
    assert {tuple(t.dims) for t in rewritten.graph.initializer} == {(5, 4, 1, 3), (5,), (6, 5, 1, 3), (1,), (6, 2)}


def test_the_rewrite_is_the_same_to_the_byte_and_leaves_what_it_was_given():
    made = chain()
    before = made.SerializeToString()

    assert two_dimensional(made).SerializeToString() == two_dimensional(made).SerializeToString()
    assert made.SerializeToString() == before


def test_a_rewritten_model_has_nothing_left_to_rewrite():
    once = two_dimensional(chain())

    assert two_dimensional(once) == once


@settings(max_examples=40, deadline=None)
@given(
    taps=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    pads=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    groups=st.sampled_from([1, 2, 4]),
    bias=st.booleans(),
    spelled_out=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_convolution_is_the_same_in_two_dimensions(taps, stride, dilation, pads, groups, bias, spelled_out, seed):
    attributes = {"strides": [stride], "dilations": [dilation], "pads": list(pads), "group": groups}
    if spelled_out:
        attributes["kernel_shape"] = [taps]
    constants = {"w": weights(8, CHANNELS // groups, taps, seed)}
    if bias:
        constants["b"] = np.arange(8, dtype=np.float32)
    if FRAMES + sum(pads) < dilation * (taps - 1) + 1:
        return
    made = model([helper.make_node("Conv", ["x", *constants], ["y"], **attributes)], constants, {"y": 3})

    rewritten = two_dimensional(made)

    assert operators(rewritten) == ["Unsqueeze", "Conv", "Squeeze"]
    assert_same(made, rewritten)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_padding_that_is_left_to_the_runtime_is_too(auto_pad):
    node = helper.make_node("Conv", ["x", "w"], ["y"], auto_pad=auto_pad, kernel_shape=[3], strides=[2])
    made = model([node], {"w": weights(3)}, {"y": 3})

    assert_same(made, two_dimensional(made))


def test_a_tensor_that_others_read_comes_down_once_for_all_of_them():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1]),
        helper.make_node("Add", ["c", "x"], ["s"]),
        helper.make_node("Mul", ["c", "s"], ["y"]),
        helper.make_node("Relu", ["c"], ["z"]),
    ]
    made = model(nodes, {"w": weights(4)}, {"y": 3, "c": 3, "z": 3})

    rewritten = two_dimensional(made)

    assert operators(rewritten).count("Squeeze") == 2  # c and z
    assert_same(made, rewritten)


def test_weights_that_two_convolutions_share_are_held_once():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1]),
        helper.make_node("Conv", ["c", "w"], ["y"], pads=[1, 1]),
    ]
    made = model(nodes, {"w": weights(4)}, {"y": 3})

    rewritten = two_dimensional(made)

    assert [list(t.dims) for t in rewritten.graph.initializer if len(t.dims) > 1] == [[4, 4, 1, 3]]
    assert_same(made, rewritten)


@pytest.mark.parametrize(("axes", "keepdims"), [([2], 1), ([-1], 0), ([1], 0), ([1, 2], 0), ([0, 2], 1)])
def test_a_mean_is_the_global_average_only_over_time(axes, keepdims):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("ReduceMean", ["c", "axes"], ["y"], keepdims=keepdims),
    ]
    made = model(nodes, {"w": weights(6), "axes": axes}, {"y": 3 if keepdims else 3 - len(axes)})

    rewritten = two_dimensional(made)

    assert ("GlobalAveragePool" in operators(rewritten)) == (axes in ([2], [-1]))
    assert_same(made, rewritten)


def test_names_that_are_taken_already_are_not_taken_again():
    nodes = [
        helper.make_node("Relu", ["x"], ["x_2d"]),
        helper.make_node("Conv", ["x_2d", "w"], ["c"], name="squeeze_c_2d"),
        helper.make_node("Conv", ["x", "w"], ["axis_2d"]),
        helper.make_node("Add", ["c", "axis_2d"], ["y"]),
    ]
    made = model(nodes, {"w": weights(3)}, {"y": 3})

    assert_same(made, two_dimensional(made))


def without_convolutions() -> onnx.ModelProto:
    return model([helper.make_node("Relu", ["x"], ["y"])], {}, {"y": 3})


def with_computed_weights() -> onnx.ModelProto:
    nodes = [helper.make_node("Relu", ["w"], ["v"]), helper.make_node("Conv", ["x", "v"], ["y"])]
    return model(nodes, {"w": weights(3)}, {"y": 3})


def with_a_branch() -> onnx.ModelProto:
    def branch(name):
        result = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node("Relu", ["c"], [name])], name, [], [result])

    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("If", ["yes"], ["y"], then_branch=branch("a"), else_branch=branch("b")),
    ]
    return model(nodes, {"w": weights(3), "yes": True}, {"y": 3})


@pytest.mark.parametrize("make", [without_convolutions, with_computed_weights, with_a_branch])
def test_what_can_not_be_rewritten_is_left_alone(make):
    assert two_dimensional(make()) == make()


MEAN, STD = np.linspace(-3, 4, CHANNELS).astype(np.float32), np.linspace(0.1, 2, CHANNELS).astype(np.float32)


def normalised(x: np.ndarray) -> np.ndarray:
    return ((x.astype(np.float64) - MEAN[:, None]) / STD[:, None]).astype(np.float32)


@pytest.mark.parametrize("lift", [two_dimensional, lambda made: made], ids=["lifted", "flat"])
def test_a_normaliser_inside_the_graph_is_the_one_outside_at_the_borders_too(lift):
    folded = lift(fold_normaliser(chain(), MEAN, STD))

    assert operators(folded)[0] == "Sub"
    assert_same(chain(), folded, normalised)


def test_the_oracle_would_see_a_mean_that_went_into_the_bias():
    """A padded border is zero after the normaliser. That is what makes the subtraction a node of its own."""
    made, wrong = chain(), chain()
    tensors = {tensor.name: tensor for tensor in wrong.graph.initializer}
    scaled = numpy_helper.to_array(tensors["w1"]) / STD[None, :, None]
    bias = numpy_helper.to_array(tensors["b1"]) - (scaled * MEAN[None, :, None]).sum(axis=(1, 2))
    tensors["w1"].CopyFrom(numpy_helper.from_array(scaled.astype(np.float32), "w1"))
    tensors["b1"].CopyFrom(numpy_helper.from_array(bias.astype(np.float32), "b1"))

    with pytest.raises(AssertionError):
        assert_same(made, wrong, normalised)


def test_a_normaliser_goes_into_every_convolution_that_reads_the_input():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1]),
        helper.make_node("Conv", ["x", "v"], ["b"], pads=[1, 1]),
        helper.make_node("Conv", ["a", "w"], ["c"], pads=[1, 1]),  # shares weights, but not the input
        helper.make_node("Sum", ["a", "b", "c"], ["y"]),
    ]
    made = model(nodes, {"w": weights(4), "v": weights(4, seed=5)}, {"y": 3})

    assert_same(made, fold_normaliser(made, MEAN, STD), normalised)


@pytest.mark.parametrize(
    "make",
    [
        without_convolutions,
        with_computed_weights,
        with_a_branch,
        lambda: two_dimensional(chain()),
        lambda: model([helper.make_node("Conv", ["x", "w"], ["y"], group=2)], {"w": weights(4, 2)}, {"y": 3}),
    ],
    ids=["activation", "computed weights", "branch", "two dimensions", "groups"],
)
def test_a_normaliser_that_has_no_place_is_refused(make):
    with pytest.raises(ModelError, match="the normaliser can't go into the graph"):
        fold_normaliser(make(), MEAN, STD)


def test_metadata_go_and_nothing_else():
    made = chain()
    noted = onnx.ModelProto()
    noted.CopyFrom(made)
    noted.graph.doc_string = "of /home/somebody"
    for item in (noted, noted.graph, noted.graph.node[0], noted.graph.input[0], noted.graph.initializer[0]):
        entry = item.metadata_props.add()
        entry.key, entry.value = "stack", "/home/somebody/nets.py"

    assert without_metadata(noted) == made
