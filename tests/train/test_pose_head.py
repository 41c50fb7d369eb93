"""The pose head's calibration, from a network's scales to what the daemon says of them."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from cogd.csi.model_input import ModelInput
from cogd.heads.pose.head import PoseHead
from cogd.heads.pose.rules import RADIUS_50
from cogd.runtime.app import load_app
from cogd.train import rundir
from cogd.train.configfile import read_config
from cogd.train.heads.learning import Trained
from cogd.train.heads.pose.uncertainty import is_right
from cogd.train.heads.registry import trainer_of
from cogd.train.nets.base import Net
from cogd.train.run import Run, train
from tests.heads.factory import contexts
from tests.train.factory import bundle, make_config, make_split, make_windows, verified

pytestmark = pytest.mark.train


class Told(Net):
    """Its input holds its answer: keypoints in the first 34 rows, scales in the next 17."""

    output_names = ("keypoints", "log_scale")

    def forward(self, csi_window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return csi_window[:, :34, 0], csi_window[:, 34:51, 0]


def judged(tmp_path, *, honest: bool):
    """A network whose errors are of 1.5 times the scale that it states, or have nothing to do with that."""
    rng = np.random.default_rng(0)
    count = 1200
    csi = np.zeros((count, 56, 20), np.float32)
    csi[:, :34] = rng.uniform(0.3, 0.7, (count, 34, 1))
    csi[:, 34:51] = rng.normal(-2.6, 0.8, (count, 1, 1))
    scale = 1.5 * np.exp(csi[:, 34, 0] if honest else rng.permutation(csi[:, 34, 0]))
    distance = rng.gamma(2, scale[:, None], (count, 17))
    angle = rng.uniform(0, 2 * np.pi, (count, 17))
    off = distance[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    truth = csi[:, :34, 0].reshape(-1, 17, 2) + off
    windows = make_windows(count, csi=csi, keypoints=truth.astype(np.float32))
    split = make_split(0, 600, 600)
    trained = Trained(Told(), ModelInput("subcarrier_major", "none"), make_config("pose"), windows, split, tmp_path)
    return trainer_of("pose").learning.judge(trained), windows, split


def test_the_daemon_says_what_the_report_is_made_of(tmp_path):
    made, windows, split = judged(tmp_path, honest=True)
    answer = made.answer(windows.csi[split.test])

    calibration = safetensors.numpy.load_file(tmp_path / rundir.CALIBRATION)
    outputs = {"keypoints": windows.csi[split.test, :34, 0], "log_scale": windows.csi[split.test, 34:51, 0]}
    readings = PoseHead(made.output, calibration).read(outputs, contexts(len(split.test)))

    persons = [reading.fields.persons[0] for reading in readings]
    np.testing.assert_allclose([person.error_50 for person in persons], answer.radius, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose([person.confidence for person in persons], answer.confidence, atol=2e-6)


def test_what_it_says_holds_on_the_part_that_tests(tmp_path):
    made, windows, split = judged(tmp_path, honest=True)
    answer = made.answer(windows.csi[split.test])
    truth = windows.keypoints[split.test].astype(np.float64)
    right = is_right(answer.predicted.astype(np.float64), truth)

    np.testing.assert_allclose(answer.radius, 1.5 * RADIUS_50 * np.exp(windows.csi[split.test, 34:51, 0]), rtol=0.15)
    held = np.linalg.norm(answer.predicted - truth, axis=-1) <= answer.radius
    assert held.mean() == pytest.approx(0.5, abs=0.03)
    assert answer.confidence.mean() == pytest.approx(right.mean(), abs=0.05)
    assert answer.confidence[right].mean() > answer.confidence[~right].mean() + 0.05
    assert made.output.confidence == "platt"
    assert "half" not in made.output.confidence_note
    assert "50% of the distance" in made.output.confidence_note
    assert made.usual.confidence == pytest.approx(right.mean(), abs=0.06)


def test_scales_that_tell_nothing_give_neither_confidence_nor_radius(tmp_path):
    made, windows, split = judged(tmp_path, honest=False)
    answer = made.answer(windows.csi[split.test])

    assert (answer.confidence, answer.radius, made.usual) == (None, None, None)
    assert (made.output.confidence, made.output.calibration) == ("none", None)
    assert not (tmp_path / rundir.CALIBRATION).exists()
    assert [tensor.name for tensor in made.output.tensors] == ["keypoints", "log_scale"]


def test_a_run_of_the_better_network_becomes_a_bundle(tmp_path, key_file):
    changes = {"model.net": "pose_v2", "loss.keypoint": 0.0, "loss.nll": 1.0}
    windows = make_windows(40, csi=1 + np.abs(make_windows(40).csi))

    train(Run(make_config("pose", epochs=2, **changes), windows, None, tmp_path / "run"))
    ran = bundle(tmp_path / "run", key_file, tmp_path / "bundle.tar")

    assert ran.status == 0, ran.err
    app = load_app(verified(tmp_path / "bundle.tar"))
    assert app.infer(windows.csi[:3])["log_scale"].shape == (3, 17)
    assert app.golden_error < 1e-6
    assert "2-D convolutions" in (tmp_path / "run" / rundir.REPORT_TEXT).read_text()


def test_the_packaged_models_configuration_trains_what_was_chosen():
    config = read_config("pose", Path(__file__).parents[2] / "packaging" / "pose.toml")

    assert config.model.net in trainer_of("pose").nets
    assert config.split.kind == "room"
    assert config.loss.weights()["nll"] > 0
