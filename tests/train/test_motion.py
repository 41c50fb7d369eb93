"""The motion head: labels, task, score and description, on a network of the tests' own."""

import json

import msgspec
import numpy as np
import pytest
import safetensors.numpy
import torch

from cogd.errors import ConfigError, TrainError
from cogd.train import run as run_module
from cogd.train import rundir
from cogd.train.data.split import temporal_split
from cogd.train.edge import EdgeModel
from cogd.train.heads.motion import MotionTrainer
from cogd.train.heads.networks import make_net
from cogd.train.heads.registry import trainer_of
from cogd.train.nets.base import Net
from cogd.train.predictions import read_predictions
from cogd.train.run import Run, train
from cogd.train.tasks import outputs_of
from tests.train.factory import make_config, make_task, make_windows

pytestmark = pytest.mark.train


class SpreadNet(Net):
    """Hears how much the amplitudes spread over time."""

    output_names = ("motion_logits",)

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(56, 1)

    def forward(self, csi_window):
        return (self.line(csi_window.std(dim=2)),)


@pytest.fixture(autouse=True)
def spread_net(monkeypatch):
    known = {**MotionTrainer.nets, "spread": f"{SpreadNet.__module__}:{SpreadNet.__name__}"}
    monkeypatch.setattr(MotionTrainer, "nets", known)


def windows_of(moving: np.ndarray):
    """Windows that are still, or not."""
    rng = np.random.default_rng(0)
    csi = 10 + rng.normal(0, 1, (len(moving), 56, 20)) * np.where(moving == 1, 1.0, 0.05)[:, None, None]
    return make_windows(len(moving), csi=csi.astype(np.float32), moving=moving.astype(np.int8))


MOVING = np.arange(80) // 4 % 2


def config_of(**changes):
    return make_config(
        "motion", **{"epochs": 30, "learning_rate": 0.1, "model.net": "spread", "split.kind": "time", **changes}
    )


def test_windows_whose_motion_is_unknown_are_left_out():
    moving = np.asarray([1, 0, -1, 1, -1, 0])

    assert trainer_of("motion").usable_rows(windows_of(moving)).tolist() == [0, 1, 3, 5]


def test_the_loss_weighs_moving_and_quiet_alike():
    moving = np.asarray([1, 0, 0, 0])
    task = make_task("motion", windows_of(moving), np.arange(4), config_of())
    with torch.no_grad():
        task.net.line.weight.zero_()
        task.net.line.bias.fill_(0.7)
    outputs = outputs_of(task.net, torch.zeros(4, 56, 20))

    p = 1 / (1 + np.exp(-0.7))
    term = task.terms(outputs, torch.arange(4))["cross_entropy"]

    assert float(term.value.detach()) == pytest.approx(-(np.log(p) + np.log(1 - p)) / 2, rel=1e-5)
    assert float(term.amount) == pytest.approx(4)


def test_the_score_is_the_balanced_accuracy():
    task = make_task("motion", windows_of(np.asarray([1, 0, 0, 0, 0])), np.arange(5), config_of())
    always = {"motion_logits": torch.ones(5, 1)}

    assert task.score(always, torch.arange(5)) == 0.5
    assert task.score({"motion_logits": torch.ones(1, 1)}, torch.tensor([0])) == 1.0
    assert task.score({"motion_logits": torch.tensor([[1.0], [-1], [-1], [1], [-1]])}, torch.arange(5)) == 0.875


def test_motion_of_one_kind_only_is_refused():
    with pytest.raises(TrainError, match="only moving windows, or only quiet ones"):
        make_task("motion", windows_of(np.ones(8)), np.arange(8), config_of())


def test_a_network_of_another_head_is_refused():
    with pytest.raises(ConfigError, match="there is no network count_v1"):
        make_net(config_of(**{"model.net": "count_v1"}), ("motion_logits",))
    with pytest.raises(ConfigError, match="spread does not give two_logits"):
        make_net(config_of(), ("two_logits",))
    with pytest.raises(ConfigError, match="there is no network nothing") as refused:
        make_net(config_of(**{"model.net": "nothing"}), ())
    assert "spread" in refused.value.hint


def test_a_motion_network_learns_and_is_described(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "export_for_edge", lambda *_: (EdgeModel(b"no model", True, "none"), 0.0))
    monkeypatch.setattr(run_module, "forward", lambda *_: {})  # this network has no reference
    windows = windows_of(MOVING)

    metrics = {metric.name: metric for metric in train(Run(config_of(), windows, None, tmp_path))}

    assert metrics["balanced_accuracy"].value == 1.0
    assert metrics["balanced_accuracy"].baseline_value == 0.5
    assert "motion_auroc" in metrics
    description = rundir.read_description(tmp_path)
    assert description.head == "motion"
    assert description.output.labels == ["quiet", "moving"]
    assert [(tensor.name, tensor.shape) for tensor in description.output.tensors] == [("motion_logits", [1])]
    predictions = read_predictions(tmp_path / rundir.PREDICTIONS)[0]
    split = temporal_split(windows, np.arange(80))
    assert predictions.predicted.tolist() == (MOVING[split.test] == 1).tolist()
    fitted = {
        name: float(value[0]) for name, value in safetensors.numpy.load_file(tmp_path / rundir.CALIBRATION).items()
    }
    probability = 1 / (1 + np.exp(-(fitted["slope"] * predictions.score + fitted["offset"])))
    assert ((probability >= 0.5) == predictions.predicted).all()
    np.testing.assert_allclose(predictions.confidence, np.maximum(probability, 1 - probability), atol=1e-6)
    assert (description.output.confidence, description.output.calibration) == ("platt", rundir.CALIBRATION)
    assert set(fitted) == {"slope", "offset", "baseline_slope", "baseline_offset", "baseline_share"}
    assert json.loads((tmp_path / rundir.REPORT).read_bytes())["config"]["model"]["net"] == "spread"
    assert set(safetensors.numpy.load_file(tmp_path / rundir.WEIGHTS)) == {"line.weight", "line.bias"}


def test_motion_that_was_labelled_at_random_is_not_learnt(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "export_for_edge", lambda *_: (EdgeModel(b"no model", True, "none"), 0.0))
    monkeypatch.setattr(run_module, "forward", lambda *_: {})  # this network has no reference
    windows = windows_of(MOVING)
    labels = np.random.default_rng(5).permutation(MOVING).astype(np.int8)
    shuffled = make_windows(80, csi=windows.csi, moving=labels)

    metrics = {metric.name: metric for metric in train(Run(config_of(), shuffled, None, tmp_path))}

    assert metrics["balanced_accuracy"].value < 0.85


def test_the_loss_keys_are_the_heads_own():
    assert msgspec.structs.asdict(config_of().loss).keys() == {
        "class_weights",
        "label_smoothing",
        "cross_entropy",
        "learn_from",
    }
