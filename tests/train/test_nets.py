import numpy as np
import pytest
import safetensors.numpy
import torch

from cogd.csi.model_input import ModelInput
from cogd.train.edge import export_for_edge
from cogd.train.heads.count.net import CountNet, StridedCountNet
from cogd.train.heads.pose.net import PoseNet, PoseNetV2
from cogd.train.heads.registry import forward, trainer_names, trainer_of

pytestmark = pytest.mark.train

ENCODER = {
    "enc.c1.weight": (64, 56, 3),
    "enc.c1.bias": (64,),
    "enc.c2.weight": (128, 64, 3),
    "enc.c2.bias": (128,),
    "enc.c3.weight": (128, 128, 3),
    "enc.c3.bias": (128,),
}
POSE = ENCODER | {
    "head.fc1.weight": (256, 128),
    "head.fc1.bias": (256,),
    "head.fc2.weight": (34, 256),
    "head.fc2.bias": (34,),
}
COUNT = ENCODER | {
    "count_head.fc1.weight": (64, 128),
    "count_head.fc1.bias": (64,),
    "count_head.fc2.weight": (8, 64),
    "count_head.fc2.bias": (8,),
    "conf_head.fc1.weight": (32, 128),
    "conf_head.fc1.bias": (32,),
    "conf_head.fc2.weight": (1, 32),
    "conf_head.fc2.bias": (1,),
}


def weights_of(net) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in net.state_dict().items()}


def outputs_of(net, csi: np.ndarray) -> dict[str, np.ndarray]:
    with torch.no_grad():
        return {name: tensor.numpy() for name, tensor in zip(net.output_names, net(torch.from_numpy(csi)), strict=True)}


@pytest.mark.parametrize(("net", "parameters"), [(PoseNet, 126_562), (CountNet, 97_737), (StridedCountNet, 65_769)])
def test_the_networks_have_as_many_parameters_as_they_say(net, parameters):
    assert sum(tensor.numel() for tensor in net().parameters()) == parameters


@pytest.mark.parametrize(("net", "shapes"), [(PoseNet, POSE), (CountNet, COUNT)])
def test_the_weights_bear_the_published_names_and_shapes(net, shapes):
    assert {name: tuple(tensor.shape) for name, tensor in net().state_dict().items()} == shapes


def test_published_weight_files_hold_exactly_the_networks_tensors(pose_weights, count_weights):
    for path, shapes in ((pose_weights, POSE), (count_weights, COUNT)):
        assert {name: tensor.shape for name, tensor in safetensors.numpy.load_file(path).items()} == shapes


@pytest.mark.parametrize("net_class", [PoseNet, CountNet, PoseNetV2, StridedCountNet])
@pytest.mark.parametrize("frames", [1, 3, 20])
def test_the_numpy_forward_equals_torch_on_random_weights(net_class, frames):
    torch.manual_seed(frames)
    net = net_class().eval()
    csi = np.random.default_rng(frames).normal(size=(5, 56, frames)).astype(np.float32)

    expected = outputs_of(net, csi)
    computed = forward(weights_of(net), csi)

    assert computed.keys() == expected.keys()
    for name, values in expected.items():
        assert computed[name].dtype == np.float32
        np.testing.assert_allclose(computed[name], values, rtol=0, atol=1e-6)


@pytest.mark.parametrize("net_class", [PoseNet, CountNet])
def test_the_numpy_forward_equals_torch_on_the_published_weights(net_class, pose_weights, count_weights):
    weights = safetensors.numpy.load_file(pose_weights if net_class is PoseNet else count_weights)
    net = net_class().double().eval()
    net.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in weights.items()})
    csi = np.random.default_rng(0).normal(size=(5, 56, 20)).astype(np.float32)

    computed = forward(weights, csi)

    for name, values in outputs_of(net, csi.astype(np.float64)).items():
        np.testing.assert_allclose(computed[name], values, rtol=1e-7, atol=1e-6)


def test_the_published_pose_weights_answer_silence_with_the_middle(pose_weights):
    weights = safetensors.numpy.load_file(pose_weights)

    keypoints = forward(weights, np.zeros((1, 56, 20), dtype=np.float32))["keypoints"]

    assert keypoints.shape == (1, 34)
    assert keypoints.mean() == pytest.approx(0.48, abs=0.01)
    np.testing.assert_allclose(keypoints, 0.48, atol=0.06)


def test_a_pose_is_34_numbers_between_0_and_1_however_loud_the_input():
    csi = 1e4 * np.random.default_rng(0).normal(size=(3, 56, 20)).astype(np.float32)

    keypoints = outputs_of(PoseNet().eval(), csi)["keypoints"]

    assert keypoints.shape == (3, 34)
    assert ((keypoints >= 0) & (keypoints <= 1)).all()


def test_the_better_pose_network_is_within_its_budget():
    assert sum(tensor.numel() for tensor in PoseNetV2().parameters()) == 145_267  # of 150,000


def test_the_better_pose_network_tells_weak_changes_apart_from_what_stands_still():
    torch.manual_seed(0)
    net = PoseNetV2().eval()
    rng = np.random.default_rng(0)
    still = np.repeat(1 + 0.3 * rng.normal(size=(1, 56, 1)), 20, axis=2)
    wave = 0.02 * np.sin(np.arange(20) / 2) * rng.normal(size=(1, 56, 1))
    csi = np.concatenate([still, still + wave, still - wave, 1.1 * still]).astype(np.float32)

    with torch.no_grad():
        encoded = []
        net.enc.register_forward_hook(lambda _, given, made: encoded.append((given[0], made)))
        net(torch.from_numpy(csi))

    (given, made), *_ = encoded
    assert float(given[[0, 3]].abs().max()) < 1e-4  # whatever stands still is no change
    assert float(made[0].sub(made[3]).abs().max()) < 1e-4
    np.testing.assert_allclose(given[1], -given[2], atol=1e-3)
    np.testing.assert_allclose(
        given[1].abs().amax(), np.log1p(50 * np.abs(wave - wave.mean(axis=2)[..., None]).max()), rtol=1e-3
    )


@pytest.fixture(scope="module")
def strided() -> StridedCountNet:
    torch.manual_seed(0)
    return StridedCountNet().eval()


def cells(count: int = 3, seed: int = 0) -> np.ndarray:
    """Windows of 100 unit columns that change a little."""
    rng = np.random.default_rng(seed)
    room = np.abs(rng.normal(1, 0.3, (count, 56, 1)))
    csi = room + rng.normal(0, 0.05, (count, 56, 100))
    return (csi / np.sqrt((csi**2).mean(axis=1, keepdims=True))).astype(np.float32)


def test_the_count_network_does_not_hear_the_room(strided):
    csi = cells()
    other = csi + np.random.default_rng(1).normal(0, 0.3, (3, 56, 1)).astype(np.float32)

    for name, expected in outputs_of(strided, csi).items():
        np.testing.assert_allclose(outputs_of(strided, other)[name], expected, atol=1e-5)
    moved = outputs_of(strided, csi + np.float32(0.2) * np.sin(np.arange(100, dtype=np.float32)))
    assert np.abs(moved["count_logits"] - outputs_of(strided, csi)["count_logits"]).max() > 1e-3


def test_the_count_network_is_within_its_budget():
    assert sum(tensor.numel() for tensor in trainer_of("count").net("count_v2")().parameters()) <= 150_000


def test_the_count_network_is_exported_with_two_dimensional_convolutions(strided):
    edge, parity = export_for_edge(strided, weights_of(strided), ModelInput("subcarrier_major", "none"), 100)

    assert edge.graph.startswith("2-D convolutions")
    assert parity <= 1e-5


@pytest.mark.parametrize(("head", "name"), [(head, net) for head in trainer_names() for net in trainer_of(head).nets])
def test_the_least_frames_are_what_a_network_can_do_with(head, name):
    net = trainer_of(head).net(name)().eval()
    csi = torch.rand(3, 56, max(2, net.least_frames)) + 1

    assert all(output.isfinite().all() for output in net(csi))
    if net.least_frames > 1:
        assert not all(output.isfinite().all() for output in net(csi[:, :, :-1]))
