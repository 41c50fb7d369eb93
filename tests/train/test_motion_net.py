"""The motion network itself: what it ignores, what it hears, and that two independent computations agree."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cogd.csi.model_input import ModelInput
from cogd.train.edge import export_for_edge
from cogd.train.export import runner
from cogd.train.heads.motion.net import MotionNet, running_median_of_5
from cogd.train.heads.registry import forward, trainer_of

pytestmark = pytest.mark.train


def make_net(seed: int = 0) -> MotionNet:
    torch.manual_seed(seed)
    return MotionNet().eval()


def weights_of(net) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy().copy() for name, tensor in net.state_dict().items()}


def logits(net, csi: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return net(torch.from_numpy(csi.astype(np.float32)))[0][:, 0].numpy()


def room(count: int, seed: int = 0) -> np.ndarray:
    """Windows of rooms: a shape over the tones with some noise, of each another."""
    rng = np.random.default_rng(seed)
    shape = 1 + 0.4 * np.sin(np.arange(56) / 9 + rng.uniform(0, 6, (count, 1)))
    loud = np.exp(rng.uniform(-5, -2.5, (count, 1, 1)))
    return (shape[:, :, None] + loud * rng.normal(0, 1, (count, 56, 20))).astype(np.float32)


def test_it_has_67_parameters_and_a_name():
    assert trainer_of("motion").net("motion_v1") is MotionNet
    net = make_net()
    assert {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()} == {
        "motion.weight": (1, 66),
        "motion.bias": (1,),
        "mean": (66,),
        "deviation": (66,),
    }
    assert not net.wants_normaliser


@pytest.mark.parametrize("frames", [10, 20, 33])
def test_the_numpy_forward_equals_torch(frames):
    net, rng = make_net(frames), np.random.default_rng(frames)
    net.standardise(torch.from_numpy(room(50)))
    net = net.double()
    csi = np.abs(rng.normal(3, 1, (7, 56, frames)))
    with torch.no_grad():
        expected = net(torch.from_numpy(csi))[0].numpy()

    computed = forward(weights_of(net), csi)["motion_logits"]

    assert computed.dtype == np.float32
    np.testing.assert_allclose(computed, expected, rtol=0, atol=1e-5)


@given(st.integers(0, 10_000), st.integers(5, 30))
def test_the_running_median_is_the_median_of_five(seed, count):
    values = np.random.default_rng(seed).choice([0.0, 1.0, 2.0, 3.0, -1.5], (2, 3, count)).astype(np.float32)
    expected = np.median(np.lib.stride_tricks.sliding_window_view(values, 5, axis=2), axis=3)

    np.testing.assert_array_equal(running_median_of_5(torch.from_numpy(values)).numpy(), expected)


def test_gain_is_not_heard_nor_its_steps():
    net, csi = make_net(), room(4)
    steps = np.where(np.arange(20) < 9, 3.0, 50.0)

    np.testing.assert_allclose(logits(net, csi * steps), logits(net, csi), atol=2e-4)


def test_features_are_standard_on_what_trained():
    net, csi = make_net(), torch.from_numpy(room(5000))
    net.standardise(csi)
    with torch.no_grad():
        features = (net._features(csi) - net.mean) / net.deviation

    np.testing.assert_allclose(features.mean(dim=0), 0, atol=1e-3)
    np.testing.assert_allclose(features.std(dim=0), 1, atol=1e-2)
    net.standardise(csi[:1].expand(10, -1, -1))
    assert np.isfinite(logits(net, room(3))).all()


def test_silence_and_zeros_give_a_number():
    assert np.isfinite(logits(make_net(), np.zeros((2, 56, 20)))).all()
    assert np.isfinite(logits(make_net(), np.ones((2, 56, 20)))).all()


def test_one_bad_column_moves_the_score_less_than_motion_does():
    net, still = make_net(), room(20, seed=3)
    with torch.no_grad():
        net.motion.weight.fill_(1 / 66)
    bent = np.cos(np.pi * (np.arange(56) + 0.5) / 56)[None, :, None]
    bad, moving = still.copy(), still + 0.5 * bent * np.sin(np.arange(20) * 0.9)
    bad[:, :, 7:8] += 0.5 * bent

    quiet = logits(net, still)
    assert (logits(net, bad) - quiet < 0.4 * (logits(net, moving) - quiet)).all()


def test_the_exported_network_is_the_reference_at_every_batch():
    net = make_net(5)
    net.standardise(torch.from_numpy(room(50)))
    edge, parity = export_for_edge(net, weights_of(net), ModelInput("subcarrier_major", "none"), 20)

    assert parity <= 1e-5
    assert not edge.normaliser_inside
    assert edge.graph == "as exported: there is nothing to rewrite"
    run = runner(edge.model)
    for batch in (1, 2, 7, 64):
        csi = room(batch, seed=batch)
        expected = forward(weights_of(net), csi)["motion_logits"]
        # In single precision what varies by a hundredth of the rest is known to a few parts in a hundred thousand.
        np.testing.assert_allclose(run(csi)["motion_logits"], expected, rtol=0, atol=5e-5)
