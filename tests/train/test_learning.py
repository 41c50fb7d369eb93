"""That the networks learn something that holds where and when they never trained."""

import dataclasses

import numpy as np
import pytest

from cogd.train.configfile import changed
from cogd.train.data.simulated import SimulatedRooms
from cogd.train.heads.count.config import RECIPE as COUNT
from cogd.train.heads.pose.config import RECIPE as POSE
from cogd.train.run import Run, train
from tests.train.factory import simulate_windows

pytestmark = [pytest.mark.train, pytest.mark.slow]

QUICK = {
    "train.epochs": 15,
    "train.batch_size": 64,
    "train.restart_epochs": 15,
    "train.subcarrier_dropout": 0.0,
    "train.device": "cpu",
}


def rooms_of(rooms: range, persons: tuple[int, ...], minutes: float):
    return simulate_windows(SimulatedRooms(tuple(rooms), persons, minutes, nodes=2, stride=20))


@pytest.fixture(scope="module")
def one_person():
    """40 rooms to train on, 8 others."""
    return rooms_of(range(40), (1,), 1.0), rooms_of(range(1_000_000, 1_000_008), (1,), 1.0)


def figures(run: Run, name: str) -> dict[str, tuple[float, float]]:
    """A figure and its baseline's, by part."""
    return {m.split.partition(":")[0]: (m.value, m.baseline_value) for m in train(run) if m.name == name}


def test_pose_beats_the_mean_pose_on_later_time_and_in_other_rooms(one_person, tmp_path):
    measured = figures(Run(changed(POSE, QUICK), *one_person, tmp_path), "mpjpe_picture")

    assert measured.keys() == {"held-out time", "held-out rooms"}
    for value, baseline in measured.values():
        assert value < 0.92 * baseline


def test_pose_learns_nothing_from_labels_that_belong_to_other_windows(one_person, tmp_path):
    windows, held_out = one_person
    order = np.random.default_rng(0).permutation(len(windows))
    shuffled = dataclasses.replace(windows, keypoints=windows.keypoints[order])

    measured = figures(Run(changed(POSE, QUICK), shuffled, held_out, tmp_path), "mpjpe_picture")

    for value, baseline in measured.values():
        assert value > 0.97 * baseline


def test_count_beats_the_most_frequent_count_on_later_time_and_in_other_rooms(tmp_path):
    windows, held_out = (rooms_of(rooms, (0, 1, 2), 0.5) for rooms in (range(12), range(1_000_000, 1_000_004)))

    measured = figures(Run(changed(COUNT, QUICK), windows, held_out, tmp_path), "accuracy")

    alone = {"held-out time", "held-out rooms"}
    assert measured.keys() == alone | {f"fused counts of 2 nodes; {part}" for part in alone}
    for value, baseline in measured.values():
        assert value > baseline + 0.1
