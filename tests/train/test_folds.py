"""A confidence from answers out of fold: who answers for whom, what it learns, and that it can be interrupted."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from cogd.errors import ConfigError, TrainError
from cogd.train import edge, export, rundir
from cogd.train.configfile import check
from cogd.train.folds import deal
from cogd.train.heads.count.learning import ConfidenceTask, CountTask, Medians
from cogd.train.run import Run, prepare, train
from tests.train.factory import make_config, make_windows

pytestmark = pytest.mark.train

ROOMS = 12
EACH = 10


def config_of(**changes):
    return make_config("count", **{"epochs": 8, "folds": 3, "split.kind": "room", "split.test": 0.2,
                                   "split.calibration": 0.2, "batch_size": 20, **changes})  # fmt: skip


def rooms(seed=0):
    """Rooms in each of which a loud first tone means 2 persons and a soft one none, in half of the rooms as well as
    not at all: there the labels are drawn."""
    rng = np.random.default_rng(seed)
    room = np.repeat(np.arange(ROOMS), EACH)
    loud = rng.random(ROOMS * EACH) < 0.5
    persons = np.where(room % 2 == 0, 2 * loud, 2 * rng.integers(0, 2, ROOMS * EACH)).astype(np.int64)
    csi = rng.normal(1, 0.05, (ROOMS * EACH, 56, 20)).astype(np.float32)
    csi[:, 0] += 2 * loud[:, None]
    csi[:, 1] += 2 * (room % 2)[:, None]  # tells what sort of room it is
    end_s = np.tile(np.arange(EACH), ROOMS) + 0.95
    return make_windows(
        ROOMS * EACH, csi=csi, persons=persons, room=room, session=room, end_s=end_s, start_s=end_s - 0.95
    )


class TestDealing:
    def test_each_room_is_in_one_fold_and_all_are_in_some(self):
        windows = rooms()
        rows = np.flatnonzero(windows.room != 3)
        folds = deal(windows, rows, 4, seed=1)

        assert np.array_equal(np.sort(np.concatenate(folds)), rows)
        assert [len(np.unique(windows.room[fold])) for fold in folds] == [3, 3, 3, 2]
        assert len(np.unique(np.concatenate([np.unique(windows.room[fold]) for fold in folds]))) == 11

    def test_it_depends_on_the_seed_alone(self):
        windows, rows = rooms(), np.arange(ROOMS * EACH)
        one, again, other = (deal(windows, rows, 3, seed=seed) for seed in (1, 1, 2))
        assert all(map(np.array_equal, one, again))
        assert not all(map(np.array_equal, one, other))

    def test_without_rooms_sessions_are_dealt(self):
        windows = make_windows(30, session=np.arange(30) // 5)
        for fold in deal(windows, np.arange(30), 3, seed=0):
            assert len(np.unique(windows.session[fold])) == 2

    def test_too_few_are_refused(self):
        with pytest.raises(TrainError, match="2 room"):
            deal(rooms(), np.arange(2 * EACH), 3, seed=0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train.folds": 1}, "train.folds are 2 or more"),
        ({"loss.cross_entropy": 0.0}, "train.folds need"),
        ({"loss.confidence": 0.0, "loss.brier": 0.0}, "train.folds need"),
    ],
)
def test_folds_that_could_not_work_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        check(config_of(**changes))
    with pytest.raises(ConfigError, match="for the head count alone"):
        check(make_config("pose", folds=2))


def test_the_networks_answers_are_the_medians_of_what_was_trained():
    from cogd.heads.count.distribution import median

    logits = torch.randn(500, 8, generator=torch.Generator().manual_seed(0)) * 2
    trained = torch.tensor([True, False, True, True, True, False, False, True])
    classes = torch.nonzero(trained).flatten()
    probabilities = torch.softmax(logits[:, classes].double(), dim=1).tolist()

    assert Medians(trained)(logits).tolist() == [int(classes[median(row)]) for row in probabilities]


def test_the_log_odds_are_the_daemons():
    from cogd.heads.count.distribution import log_odds, median

    logits = torch.randn(200, 8, generator=torch.Generator().manual_seed(1)) * 6
    probabilities = torch.softmax(logits.double(), dim=1).tolist()
    expected = [log_odds(row[median(row)]) for row in probabilities]

    np.testing.assert_allclose(
        Medians(torch.ones(8, dtype=torch.bool)).log_odds(logits), expected, rtol=1e-3, atol=1e-3
    )


def test_the_confidence_begins_with_nothing_to_add():
    task = CountTask(rooms(), np.arange(ROOMS * EACH), config_of())
    confident = task.confidence_task(torch.ones(ROOMS * EACH))
    said = confident.net(torch.from_numpy(rooms().csi))[1]
    assert torch.equal(said, torch.zeros_like(said))
    learnt = {name for name, parameter in task.net.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[0] for name in learnt} == {"conf_head"}


def test_with_folds_the_counting_does_not_teach_the_confidence():
    task = CountTask(rooms(), np.arange(ROOMS * EACH), config_of())
    assert set(task.weights) == {"cross_entropy"}
    confident = task.confidence_task(torch.ones(ROOMS * EACH))
    assert isinstance(confident, ConfidenceTask)
    assert set(confident.weights) == {"confidence", "brier"}


def test_nobody_answers_for_rooms_that_trained_it(monkeypatch):
    windows = rooms()
    prepared = prepare(config_of(epochs=1), windows, torch.device("cpu"))
    assert prepared.folds is not None
    trained: list[np.ndarray] = []
    make_task = prepared.folds._make_task
    prepared.folds._make_task = lambda rows: trained.append(rows) or make_task(rows)

    prepared.folds.learn_confidence(prepared.task, lambda *_: None, lambda: False, resume=False)

    assert len(trained) == 3
    for others, held in zip(trained, prepared.folds.rows, strict=True):
        assert not set(windows.room[others]) & set(windows.room[held])
        assert np.array_equal(np.sort(np.concatenate([others, held])), np.sort(prepared.split.train))


def test_the_confidence_learns_where_counts_are_right_and_all_else_is_kept():
    windows = rooms()
    prepared = prepare(config_of(epochs=30, batch_size=16), windows, torch.device("cpu"))
    prepared.loop.run()
    before = {name: tensor.clone() for name, tensor in prepared.task.net.state_dict().items()}

    assert prepared.folds.learn_confidence(prepared.task, lambda *_: None, lambda: False, resume=False)

    for name, tensor in prepared.task.net.state_dict().items():
        assert torch.equal(tensor, before[name]) != name.startswith("conf_head."), name
    conf = prepared.loop.outputs(torch.from_numpy(prepared.split.test))["conf_logits"][:, 0].numpy()
    orderly = windows.room[prepared.split.test] % 2 == 0
    assert conf[orderly].mean() > conf[~orderly].mean() + 0.5


@pytest.fixture
def unexported(monkeypatch):
    """Without the exporter, which takes seconds."""
    monkeypatch.setattr("cogd.train.run.export_for_edge", lambda *_: (edge.EdgeModel(b"", False, "none"), 0.0))
    return export


def weights_after(out) -> bytes:
    return (out / rundir.WEIGHTS).read_bytes()


@pytest.mark.usefixtures("unexported")
def test_a_run_that_was_stopped_in_a_fold_goes_on_to_the_same_bits(tmp_path):
    whole = Run(config_of(epochs=2), rooms(), None, tmp_path / "whole")
    halted = dataclasses.replace(whole, out=tmp_path / "halted")
    assert train(whole) is not None

    steps = iter(range(1000))
    assert train(halted, stop=lambda: next(steps) >= 20) is None
    assert (halted.out / "fold-1.pt").exists()
    assert not (halted.out / rundir.WEIGHTS).exists()
    assert train(dataclasses.replace(halted, resume=True)) is not None

    assert weights_after(halted.out) == weights_after(whole.out)
    report = json.loads((whole.out / rundir.REPORT).read_bytes())
    assert {gate["met"] for gate in report["gates"]} == {"not measured"}
    assert {gate["why"] for gate in report["gates"]} == {"the rooms are not simulated"}
