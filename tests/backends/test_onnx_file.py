import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.backends.onnx_file import check_self_contained
from cogd.errors import ModelError
from tests.backends.onnx_bytes import (
    external_tensor,
    field,
    graph,
    graph_attribute,
    linear_model,
    model,
    node,
    tensor,
    tensor_attribute,
    value_info,
    varint,
)

OUTSIDE = external_tensor("w", (4, 4), "weights.bin")
INSIDE = tensor("w", np.zeros((4, 4)))
XY = [value_info("x", ("b", 4))], [value_info("y", ("b", 4))]


def graph_with(item: bytes) -> bytes:
    return graph([node("MatMul", ("x", "w"), "y")], [item], *XY)


def constant(item: bytes) -> bytes:
    return node("Constant", (), "w", tensor_attribute("value", item))


PLACES = {
    "an initialiser": lambda t: model(graph_with(t)),
    "a second initialiser": lambda t: model(graph([], [INSIDE, t], *XY)),
    "a constant": lambda t: model(graph([constant(t)], [], *XY)),
    "a list of tensors in an attribute": lambda t: model(graph([node("X", (), "y", field(10, t))], [], *XY)),
    "an inner graph": lambda t: model(
        graph([node("If", ("x",), "y", graph_attribute("then_branch", graph_with(t)))], [], *XY)
    ),
    "a list of inner graphs": lambda t: model(graph([node("X", (), "y", field(11, graph_with(t)))], [], *XY)),
    "a graph in a graph": lambda t: model(
        graph([node("If", (), "y", graph_attribute("a", graph([constant(t)], [], *XY)))], [], *XY)
    ),
    "a sparse initialiser's values": lambda t: model(graph([], [], *XY) + field(15, field(1, t))),
    "a sparse initialiser's indices": lambda t: model(graph([], [], *XY) + field(15, field(2, t))),
    "a sparse attribute": lambda t: model(graph([node("X", (), "y", field(22, field(1, t)))], [], *XY)),
    "sparse attributes": lambda t: model(graph([node("X", (), "y", field(23, field(2, t)))], [], *XY)),
    "a function": lambda t: model(graph([], [], *XY)) + field(25, field(7, constant(t))),
    "a function's default": lambda t: model(graph([], [], *XY)) + field(25, field(11, tensor_attribute("a", t))),
    "the training graph": lambda t: model(graph([], [], *XY)) + field(20, field(1, graph_with(t))),
    "a second part of the graph": lambda t: model(graph([], [], *XY)) + field(7, field(5, t)),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_tensor_outside_is_found_in(place):
    check_self_contained(PLACES[place](INSIDE))
    with pytest.raises(ModelError, match="weights from another file"):
        check_self_contained(PLACES[place](OUTSIDE))


@pytest.mark.parametrize(
    "mark",
    [
        field(14, 1),
        field(14, 2),
        field(13, b""),
        varint(14 << 3) + b"\x81\x80\x80\x80\x10",
        field(14, 0) + field(14, 1),
    ],
    ids=["location", "another location", "an entry", "a long location", "the last counts"],
)
def test_any_mark_of_a_place_outside_is_enough(mark):
    with pytest.raises(ModelError, match="weights from another file"):
        check_self_contained(model(graph_with(INSIDE + mark)))


def test_the_location_inside_may_be_written_out():
    check_self_contained(model(graph_with(INSIDE + field(14, 0))))


def test_fields_that_are_unknown_are_passed_over():
    strange = varint(90 << 3 | 1) + bytes(8) + varint(91 << 3 | 5) + bytes(4) + field(92, 7) + field(93, OUTSIDE)
    check_self_contained(model(graph_with(INSIDE)) + strange)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (field(7, b"abc")[:-1], "cut off"),
        (b"\x3a", "cut off"),
        (varint(7 << 3 | 2) + b"\xff\xff\xff\xff\x07", "cut off"),
        (varint(7 << 3 | 3), "wire type 3"),
        (b"\x08" + b"\xff" * 11, "more than ten bytes"),
        (varint(1 << 32 | 7 << 3 | 2) + b"\x00", "field number out of range"),
    ],
)
def test_what_is_no_protobuf_message_is_refused(data, reason):
    with pytest.raises(ModelError, match=f"not ONNX: .*{reason}"):
        check_self_contained(data)


def test_nesting_without_end_is_refused():
    inner = graph([], [], *XY)
    for _ in range(120):
        inner = graph([node("If", (), "y", graph_attribute("then_branch", inner))], [], *XY)
    with pytest.raises(ModelError, match="nested too deeply"):
        check_self_contained(model(inner))


@given(st.binary(max_size=300))
def test_any_bytes_pass_or_are_refused(data):
    with contextlib.suppress(ModelError):
        check_self_contained(data)


@given(st.data())
def test_no_damage_to_a_model_makes_it_crash(data):
    whole = bytearray(linear_model({"y": np.ones((4, 2))}, (4,)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ModelError):
        check_self_contained(bytes(whole))


@pytest.mark.train
def test_models_written_by_onnx_are_read_alike():
    import onnx
    from onnx import TensorProto, helper

    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 2], np.ones(4, np.float32).tobytes(), raw=True)
    made = helper.make_model(
        helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 2])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 2])],
            [weights],
        )
    )
    check_self_contained(made.SerializeToString())
    onnx.external_data_helper.set_external_data(made.graph.initializer[0], "weights.bin")
    with pytest.raises(ModelError, match="weights from another file"):
        check_self_contained(made.SerializeToString())
