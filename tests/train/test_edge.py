import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from cogd.csi.model_input import ModelInput
from cogd.errors import ModelError
from cogd.train import edge as edge_module
from cogd.train.edge import export_for_edge, rewrite
from cogd.train.export import check_self_contained, export_onnx
from cogd.train.heads.count.net import CountNet
from cogd.train.heads.pose.net import PoseNet
from cogd.train.heads.registry import forward

pytestmark = pytest.mark.train

MEAN = np.linspace(0.5, 1.5, 56).astype(np.float32)
STD = np.linspace(0.05, 0.3, 56).astype(np.float32)
INPUTS = {
    "normalised": ModelInput("subcarrier_major", "window_rms", MEAN, STD),
    "not normalised": ModelInput("time_major_mislabelled_56x20", "none"),
}


def trained(net_class, seed=1):
    torch.manual_seed(seed)
    net = net_class()
    return net, {name: tensor.detach().numpy().copy() for name, tensor in net.state_dict().items()}


@pytest.fixture(scope="module", params=[PoseNet, CountNet])
def net_and_weights(request):
    return trained(request.param)


@pytest.fixture(scope="module", params=INPUTS)
def model_input(request) -> ModelInput:
    return INPUTS[request.param]


@pytest.fixture(scope="module")
def edge(net_and_weights, model_input):
    return export_for_edge(*net_and_weights, model_input, 20)


def operators(model: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_model_from_string(model).graph.node]


def test_the_graph_is_two_dimensional_and_normalises_where_there_is_a_normaliser(edge, model_input):
    made, parity = edge
    first = ["Unsqueeze", "Conv", "Relu", "Conv", "Relu", "Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]

    assert made.normaliser_inside == (model_input.mean is not None)
    assert operators(made.model)[: len(first) + made.normaliser_inside] == ["Sub"] * made.normaliser_inside + first
    assert "2-D convolutions" in made.graph
    assert ("normaliser inside" in made.graph) == made.normaliser_inside
    assert 0 < parity < 1e-6


def test_every_constant_is_a_weight_and_none_is_left_to_fold(edge, net_and_weights):
    made, _ = edge
    proto = onnx.load_model_from_string(made.model)
    constants = {tensor.name for tensor in proto.graph.initializer}
    numbers = sum(int(np.prod(t.dims)) for t in proto.graph.initializer if t.data_type == onnx.TensorProto.FLOAT)

    assert numbers == sum(tensor.size for tensor in net_and_weights[1].values()) + 56 * made.normaliser_inside
    assert all(set(node.input) - constants for node in proto.graph.node)
    assert constants == {name for node in proto.graph.node for name in node.input if name in constants}


def test_the_file_is_self_contained_and_tells_nothing_of_where_it_was_made(edge):
    made, _ = edge

    check_self_contained(made.model, "it")
    assert b".py" not in made.model


def test_raw_input_gives_what_the_numpy_forward_makes_of_prepared_input(edge, net_and_weights, model_input):
    made, _ = edge
    session = onnxruntime.InferenceSession(made.model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert session.get_inputs()[0].shape == ["batch", 56, 20]
    outside = ModelInput(model_input.layout, model_input.gain) if made.normaliser_inside else model_input
    for batch in (1, 2, 7, 64):
        windows = np.abs(np.random.default_rng(batch).normal(20, 5, size=(batch, 56, 20))).astype(np.float32)
        expected = forward(net_and_weights[1], model_input.prepare(windows))
        for name, values in zip(names, session.run(None, {"csi_window": outside.prepare(windows)}), strict=True):
            np.testing.assert_allclose(values, expected[name], rtol=0, atol=1e-5)


def test_the_same_net_is_the_same_file_each_time(net_and_weights, model_input, edge):
    assert export_for_edge(*net_and_weights, model_input, 20)[0].model == edge[0].model


def wrong(rewritten):
    """A rewriter with a fault: it changes one weight by a thousandth."""

    def rewrite_wrongly(proto):
        made = rewritten(proto)
        tensor = max(made.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        values = np.frombuffer(tensor.raw_data, np.float32).copy()
        values[::7] *= np.float32(1.01)
        tensor.raw_data = values.tobytes()
        return made

    return rewrite_wrongly


def refusing(proto):
    raise ModelError("it has no place for that")


@pytest.mark.parametrize(
    ("fault", "said"), [(wrong(edge_module.two_dimensional), "it would be off by"), (refusing, "no place for that")]
)
def test_the_plain_graph_is_kept_where_the_rewritten_one_fails(monkeypatch, fault, said):
    net, weights = trained(PoseNet)
    plain = export_onnx(net, net.output_names, 20)
    monkeypatch.setattr(edge_module, "two_dimensional", fault)

    made, parity = export_for_edge(net, weights, INPUTS["normalised"], 20)

    assert made.model == plain
    assert not made.normaliser_inside
    assert made.graph.startswith("as exported: ")
    assert said in made.graph
    assert parity < 1e-6


def test_a_normaliser_that_is_not_the_graphs_is_found_out():
    net, _ = trained(PoseNet)
    plain = export_onnx(net, net.output_names, 20)
    once = rewrite(plain, INPUTS["normalised"], 20)

    assert once.normaliser_inside
    assert not rewrite(once.model, INPUTS["normalised"], 20).normaliser_inside  # it is inside already: no place for it
