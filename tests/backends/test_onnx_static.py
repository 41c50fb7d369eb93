"""Which models provably only compute: shapes against those of ONNX and ONNX Runtime, and what is not provable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogd import demo
from cogd.backends import onnx_static
from cogd.backends.onnx_static import inferred_shapes, unbounded_reason
from cogd.bundle.archive import read_archive

onnx = pytest.importorskip("onnx", reason="the extra `train` is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

pytestmark = pytest.mark.train

BATCH = 3


def model(nodes, shape, constants=None, output="y", opset=18):
    """A model of float32 `[batch, *shape]` named x; constants are initialisers."""
    made = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
            [helper.make_empty_tensor_value_info(output)],
            [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=9,
    )
    return made.SerializeToString()


def ints(*values):
    return np.asarray(values, dtype=np.int64)


def floats(*shape):
    return np.ones(shape, dtype=np.float32)


CASES = {
    "conv": (
        [helper.make_node("Conv", ["x", "w"], ["y"], strides=[2], pads=[1, 2], dilations=[2])],
        (4, 20),
        {"w": floats(6, 4, 3)},
    ),
    "grouped conv": (
        [helper.make_node("Conv", ["x", "w"], ["y"], group=2, kernel_shape=[3, 1])],
        (4, 9, 5),
        {"w": floats(6, 2, 3, 1)},
    ),
    "gemm": ([helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], (4,), {"w": floats(7, 4)}),
    "matmul": ([helper.make_node("MatMul", ["x", "w"], ["y"])], (5, 4), {"w": floats(4, 7)}),
    "broadcast": ([helper.make_node("Add", ["x", "w"], ["y"])], (5, 1), {"w": floats(2, 1, 1, 6)}),
    "max pool": ([helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3], strides=[2])], (4, 20), {}),
    "average pool": (
        [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], pads=[1, 0, 1, 0])],
        (4, 8, 9),
        {},
    ),
    "global pool": ([helper.make_node("GlobalAveragePool", ["x"], ["y"])], (4, 8, 9), {}),
    "reduce": ([helper.make_node("ReduceMean", ["x", "a"], ["y"], keepdims=0)], (4, 20), {"a": ints(-1)}),
    "reduce all": ([helper.make_node("ReduceMax", ["x"], ["y"])], (4, 20), {}),
    "flatten": ([helper.make_node("Flatten", ["x"], ["y"], axis=2)], (4, 5, 6), {}),
    "reshape": ([helper.make_node("Reshape", ["x", "s"], ["y"])], (4, 6), {"s": ints(0, 8, -1)}),
    "transpose": ([helper.make_node("Transpose", ["x"], ["y"], perm=[0, 2, 1])], (4, 6), {}),
    "concat": ([helper.make_node("Concat", ["x", "x"], ["y"], axis=-1)], (4, 6), {}),
    "slice": (
        [helper.make_node("Slice", ["x", "b", "e", "a"], ["y"])],
        (4, 20),
        {"b": ints(2), "e": ints(1 << 40), "a": ints(2)},
    ),
    "slice backwards": (
        [helper.make_node("Slice", ["x", "b", "e", "a", "s"], ["y"])],
        (4, 20),
        {"b": ints(-1), "e": ints(-(1 << 40)), "a": ints(2), "s": ints(-3)},
    ),
    "squeeze": (
        [helper.make_node("Unsqueeze", ["x", "a"], ["u"]), helper.make_node("Squeeze", ["u", "a"], ["y"])],
        (4, 6),
        {"a": ints(1)},
    ),
    "layer norm": ([helper.make_node("LayerNormalization", ["x", "w"], ["y"])], (4, 6), {"w": floats(6)}),
    "softmax": ([helper.make_node("Softmax", ["x"], ["y"])], (4, 6), {}),
    "constant": (
        [
            helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(floats(6))),
            helper.make_node("Mul", ["x", "c"], ["y"]),
        ],
        (4, 6),
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_shape_is_the_one_that_onnx_runtime_makes(name):
    import onnxruntime

    nodes, shape, constants = CASES[name]
    built = model(nodes, shape, constants)
    x = np.random.default_rng(0).normal(size=(BATCH, *shape)).astype(np.float32)
    (y,) = onnxruntime.InferenceSession(built, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    assert inferred_shapes(built, shape, BATCH)["y"] == y.shape


@pytest.mark.parametrize("path", sorted(demo.APPS.glob("*.tar")), ids=lambda path: path.stem)
def test_the_packaged_models_are_provable_and_their_shapes_are_onnxs(path):
    made = onnx.load_from_string(read_archive(path.read_bytes())["model.onnx"])
    axes = made.graph.input[0].type.tensor_type.shape.dim
    shape = [axis.dim_value for axis in axes][1:]
    assert unbounded_reason(made.SerializeToString(), shape, 64) is None
    found = inferred_shapes(made.SerializeToString(), shape, 64)
    axes[0].dim_value = 64
    for value in onnx.shape_inference.infer_shapes(made, strict_mode=True).graph.value_info:
        sizes = tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        assert 0 in sizes or found[value.name] == sizes


@st.composite
def chains(draw):
    """A chain of operators that keep or change the shape `[batch, 6, n]`, with the shapes' bounds unknown."""
    nodes, constants, name = [], {}, "x"
    columns = 24
    for number in range(draw(st.integers(1, 6))):
        new = f"t{number}"
        kind = draw(st.sampled_from(["Conv", "Relu", "MaxPool", "Slice", "Concat", "Transpose", "ReduceSum", "Add"]))
        if kind == "Conv":
            taps = draw(st.integers(1, 3))
            constants[f"w{number}"] = floats(6, 6, taps)
            nodes.append(
                helper.make_node("Conv", [name, f"w{number}"], [new], pads=[1, 1], strides=[draw(st.integers(1, 2))])
            )
        elif kind == "MaxPool":
            nodes.append(helper.make_node("MaxPool", [name], [new], kernel_shape=[2], pads=[1, 1]))
        elif kind == "Slice":
            constants |= {
                f"b{number}": ints(draw(st.integers(-30, 2))),
                f"e{number}": ints(columns),
                f"a{number}": ints(2),
            }
            nodes.append(helper.make_node("Slice", [name, f"b{number}", f"e{number}", f"a{number}"], [new]))
        elif kind == "Concat":
            nodes.append(helper.make_node("Concat", [name, name], [new], axis=2))
        elif kind == "Transpose":
            nodes.append(helper.make_node("Transpose", [name], [f"{new}a"], perm=[0, 2, 1]))
            nodes.append(helper.make_node("Transpose", [f"{new}a"], [new], perm=[0, 2, 1]))
        elif kind == "ReduceSum":
            constants[f"a{number}"] = ints(2)
            nodes.append(helper.make_node("ReduceSum", [name, f"a{number}"], [f"{new}r"]))
            nodes.append(helper.make_node("Add", [name, f"{new}r"], [new]))
        elif kind == "Add":
            nodes.append(helper.make_node("Add", [name, name], [new]))
        else:
            nodes.append(helper.make_node(kind, [name], [new]))
        name = new
    return model(nodes, (6, columns), constants, output=name), name


@settings(deadline=None, max_examples=60)
@given(chains())
def test_the_shapes_of_any_chain_are_those_of_onnx_runtime(chain):
    import onnxruntime

    built, output = chain
    reason = unbounded_reason(built, (6, 24), BATCH)
    try:
        session = onnxruntime.InferenceSession(built, providers=["CPUExecutionProvider"])
        (y,) = session.run(None, {"x": floats(BATCH, 6, 24)})
    except Exception:  # noqa: BLE001  # the chain does not fit together
        return
    if 0 in y.shape:
        assert reason is not None
    else:
        assert reason is None
        assert inferred_shapes(built, (6, 24), BATCH)[output] == y.shape


COMPUTED = [helper.make_node("Shape", ["x"], ["s"])]
NOT_PROVABLE = {
    "a range": ([helper.make_node("Range", ["x", "x", "x"], ["y"])], "Range is not among"),
    "a shape of values": ([helper.make_node("ConstantOfShape", ["x"], ["y"])], "ConstantOfShape is not among"),
    "tiles": ([helper.make_node("Tile", ["x", "r"], ["y"])], "Tile is not among"),
    "an expansion": ([helper.make_node("Expand", ["x", "r"], ["y"])], "Expand is not among"),
    "a choice": ([helper.make_node("NonZero", ["x"], ["y"])], "NonZero is not among"),
    "one hot": ([helper.make_node("OneHot", ["x", "r", "r"], ["y"])], "OneHot is not among"),
    "another size": ([helper.make_node("Resize", ["x", "", "r"], ["y"])], "Resize is not among"),
    "the largest": ([helper.make_node("TopK", ["x", "r"], ["y", "z"])], "TopK is not among"),
    "a computed shape": (
        [helper.make_node("Cast", ["x"], ["s"], to=TensorProto.INT64), helper.make_node("Reshape", ["x", "s"], ["y"])],
        "depends on values that are computed",
    ),
    "computed bounds": (
        [
            helper.make_node("Cast", ["x"], ["s"], to=TensorProto.INT64),
            helper.make_node("Slice", ["x", "s", "s"], ["y"]),
        ],
        "depends on values that are computed",
    ),
    "another domain": ([helper.make_node("Relu", ["x"], ["y"], domain="com.example")], "com.example.Relu is not among"),
    "a loop": (
        [helper.make_node("Loop", ["", "", "x"], ["y"], body=helper.make_graph([], "b", [], []))],
        "Loop is not among",
    ),
    "a condition": (
        [helper.make_node("If", ["x"], ["y"], then_branch=helper.make_graph([], "b", [], []))],
        "If is not among",
    ),
}


@pytest.mark.parametrize("name", NOT_PROVABLE)
def test_what_is_not_provable_is_named(name):
    nodes, reason = NOT_PROVABLE[name]
    assert reason in unbounded_reason(model(nodes, (4, 6), {"r": ints(2, 2, 2)}), (4, 6), BATCH)


class TestBounds:
    def test_of_the_tensors_of_the_largest_batch(self):
        grow = [helper.make_node("MatMul", ["x", "w"], ["y"])]
        built = model(grow, (8, 1), {"w": floats(1, 40_000)})
        assert unbounded_reason(built, (8, 1), 1) is None
        assert "64 MiB" in unbounded_reason(built, (8, 1), 64)

    def test_of_the_work(self):
        squares = [helper.make_node("MatMul", [f"t{n}", "w"], [f"t{n + 1}"]) for n in range(40)]
        start = helper.make_node("Identity", ["x"], ["t0"])
        built = model([start, *squares], (64, 256), {"w": floats(256, 256)}, output="t40")
        assert unbounded_reason(built, (64, 256), 4) is None
        assert "multiply-adds" in unbounded_reason(built, (64, 256), 8)

    def test_of_the_number_of_operators(self, monkeypatch):
        monkeypatch.setattr(onnx_static, "_MAX_NODES", 2)
        chain = [helper.make_node("Relu", [f"t{n}" if n else "x"], [f"t{n + 1}"]) for n in range(3)]
        assert "more than 2 operators" in unbounded_reason(model(chain, (4,), output="t3"), (4,), 1)


def test_a_graph_whose_operators_stand_in_another_order_is_not_provable():
    nodes = [helper.make_node("Relu", ["t"], ["y"]), helper.make_node("Relu", ["x"], ["t"])]
    assert "before it is written" in unbounded_reason(model(nodes, (4,)), (4,), 1)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_damaged_model_is_not_provable_or_still_analysed_but_never_crashes(data):
    whole = bytearray(model(*CASES["conv"]))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    reason = unbounded_reason(bytes(whole), (4, 20), BATCH)
    assert reason is None or isinstance(reason, str)
