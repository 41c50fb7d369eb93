import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from cogd.errors import ModelError, TrainError
from cogd.train.export import check_parity, check_self_contained, export_onnx
from cogd.train.heads.count.net import CountNet
from cogd.train.heads.pose.net import PoseNet

pytestmark = pytest.mark.train


def make_net(net_class):
    torch.manual_seed(1)
    return net_class()


def weights_of(net) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy().copy() for name, tensor in net.state_dict().items()}


@pytest.fixture(scope="module", params=[PoseNet, CountNet])
def exported(request):
    net = make_net(request.param)
    return net, export_onnx(net, net.output_names, 20)


@pytest.fixture(scope="module")
def pose_model() -> bytes:
    net = make_net(PoseNet)
    return export_onnx(net, net.output_names, 20)


def test_the_exported_file_holds_every_weight_and_is_of_opset_18(exported):
    net, model = exported
    proto = onnx.load_model_from_string(model)

    assert {entry.domain: entry.version for entry in proto.opset_import} == {"": 18}
    held = sum(int(np.prod(tensor.dims)) for tensor in proto.graph.initializer if tensor.data_type == TensorProto.FLOAT)
    assert held == sum(parameter.numel() for parameter in net.parameters())
    assert not any(tensor.external_data for tensor in proto.graph.initializer)
    assert b".py" not in model, "it names no source files of the machine that made it"
    check_self_contained(model, "it")


def test_the_exported_file_takes_batches_of_any_size(exported):
    net, model = exported
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()

    assert given.name == "csi_window"
    assert not isinstance(given.shape[0], int)
    assert given.shape[1:] == [56, 20]
    assert tuple(output.name for output in session.get_outputs()) == net.output_names
    for batch in (1, 2, 7, 64):
        csi = np.random.default_rng(batch).normal(size=(batch, 56, 20)).astype(np.float32)
        with torch.no_grad():
            expected = net.eval()(torch.from_numpy(csi))
        for values, wanted in zip(session.run(None, {"csi_window": csi}), expected, strict=True):
            np.testing.assert_allclose(values, wanted.numpy(), rtol=0, atol=1e-6)


def test_the_exported_file_is_the_same_to_the_byte_each_time(exported):
    net, model = exported

    assert export_onnx(net, net.output_names, 20) == model


def test_the_exporter_neither_prints_nor_warns(capfd):
    net = make_net(PoseNet)

    export_onnx(net, net.output_names, 20)

    assert capfd.readouterr() == ("", "")


def test_parity_is_measured_and_small(exported):
    net, model = exported

    assert 0 < check_parity(model, weights_of(net), 20) < 1e-6


@pytest.mark.parametrize("name", ["enc.c2.bias", "head.fc2.weight"])
def test_a_model_of_other_weights_fails_parity(pose_model, name):
    weights = weights_of(make_net(PoseNet))
    weights[name] = weights[name] + np.float32(1e-3)

    with pytest.raises(TrainError, match="the exported model is off by"):
        check_parity(pose_model, weights, 20)


def test_weights_that_are_no_numbers_fail_parity():
    net = make_net(CountNet)
    with torch.no_grad():
        net.conf_head.fc2.bias.fill_(np.nan)
    model = export_onnx(net, net.output_names, 20)

    with pytest.raises(TrainError, match="the exported model is off by nan"):
        check_parity(model, weights_of(net), 20)


@pytest.mark.parametrize("path", ["pose-estimation/pose_v1.onnx", "person-count/count_v1.onnx"])
def test_the_published_models_are_refused_for_their_missing_weights(data, path):
    file = data / "ruview" / path

    with pytest.raises(ModelError, match=r"has no weights: \d+ of its tensors \(.+\) are in a file beside it"):
        check_self_contained(file.read_bytes(), file.name)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x07", b"PK\x03\x04" * 20, bytes(100)])
def test_garbage_is_no_model(content):
    with pytest.raises(ModelError):
        check_self_contained(content, "it")


def test_a_truncated_model_is_refused(pose_model):
    with pytest.raises(ModelError):
        check_self_contained(pose_model[: len(pose_model) // 2], "it")


def test_another_opset_is_refused(pose_model):
    proto = onnx.load_model_from_string(pose_model)
    proto.opset_import[0].version = 17

    with pytest.raises(ModelError, match="has opset 17, not 18"):
        check_self_contained(proto.SerializeToString(), "it")


def test_a_graph_that_the_checker_refuses_is_refused(pose_model):
    proto = onnx.load_model_from_string(pose_model)
    proto.graph.node[0].op_type = "NoSuchOperator"

    with pytest.raises(ModelError, match="is not valid ONNX"):
        check_self_contained(proto.SerializeToString(), "it")


def outside(name: str) -> TensorProto:
    """A tensor whose values are in a file beside the model."""
    tensor = numpy_helper.from_array(np.ones(3, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "elsewhere.bin"
    return tensor


def constant(tensor: TensorProto, output: str = "c") -> onnx.NodeProto:
    return helper.make_node("Constant", [], [output], value=tensor)


def model_of(nodes, initializers=(), functions=()) -> bytes:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], initializers)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=9).SerializeToString()


def in_a_constant() -> bytes:
    return model_of([constant(outside("hidden")), helper.make_node("Add", ["x", "c"], ["y"])])


def in_a_branch() -> bytes:
    def branch(tensor):
        result = helper.make_tensor_value_info("b", TensorProto.FLOAT, [3])
        return helper.make_graph([constant(tensor, "b")], "branch", [], [result])

    yes = numpy_helper.from_array(np.asarray(True), "yes")
    inside = numpy_helper.from_array(np.ones(3, np.float32), "inside")
    chosen = helper.make_node("If", ["q"], ["c"], then_branch=branch(outside("hidden")), else_branch=branch(inside))
    return model_of([constant(yes, "q"), chosen, helper.make_node("Add", ["x", "c"], ["y"])])


def in_a_branch_s_initializer() -> bytes:
    def branch(tensor):
        result = helper.make_tensor_value_info("b", TensorProto.FLOAT, [3])
        return helper.make_graph([helper.make_node("Identity", ["w"], ["b"])], "branch", [], [result], [tensor])

    yes = numpy_helper.from_array(np.asarray(True), "yes")
    chosen = helper.make_node("If", ["q"], ["c"], then_branch=branch(outside("w")), else_branch=branch(outside("w")))
    return model_of([constant(yes, "q"), chosen, helper.make_node("Add", ["x", "c"], ["y"])])


def in_a_function() -> bytes:
    body = [constant(outside("hidden")), helper.make_node("Add", ["a", "c"], ["b"])]
    function = helper.make_function("own", "Shift", ["a"], ["b"], body, [helper.make_opsetid("", 18)])
    return model_of([helper.make_node("Shift", ["x"], ["y"], domain="own")], functions=[function])


def in_a_sparse_constant() -> bytes:
    sparse = helper.make_sparse_tensor(
        outside("hidden"), numpy_helper.from_array(np.arange(3, dtype=np.int64), "i"), [3]
    )
    node = helper.make_node("Constant", [], ["c"], sparse_value=sparse)
    return model_of([node, helper.make_node("Add", ["x", "c"], ["y"])])


@pytest.mark.parametrize(
    "make", [in_a_constant, in_a_branch, in_a_branch_s_initializer, in_a_function, in_a_sparse_constant]
)
def test_weights_outside_the_file_are_found_wherever_they_hide(make):
    with pytest.raises(ModelError, match="has no weights"):
        check_self_contained(make(), "it")
