"""Watching recorded quiet rooms as the daemon would."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cogd.csi.window import WindowSpec
from cogd.errors import ConfigError, TrainError
from cogd.heads.motion.head import MotionHead
from cogd.train.data.cut import cut_windows
from cogd.train.data.track import Dataset, Recording, Timing, Track
from cogd.train.quiet import watch
from tests.heads.factory import MOTION

SPEC = WindowSpec("ht56", 20, 0.0, 0.25, 0.05)
RULE = MotionHead(
    MOTION,
    {
        "slope": np.float32([1.0]),
        "offset": np.float32([-20.0]),
        "baseline_slope": np.float32([1.0]),
        "baseline_offset": np.float32([-2.0]),
    },
).quiet


def scores(csi: np.ndarray) -> np.ndarray:
    """A window's score is what its newest column holds in the ratio of two tones."""
    return csi[:, 1, -1].astype(np.float64) / csi[:, 0, -1]


def recording(name: str, moving: int | None, levels: np.ndarray, setup: str | None = "here", node: int = 0):
    """Forty frames a second."""
    count = len(levels)
    amplitude = np.ones((count, 56), np.float32)
    amplitude[:, 1] = levels
    track = Track(
        time_s=np.arange(count) / 40, amplitude=amplitude, kind=np.zeros(count, np.int16), kinds=("ht-64",),
        segment=np.zeros(count, np.int32),
        moving=None if moving is None else np.full(count, moving, np.int8),
    )  # fmt: skip
    return Recording(
        name, session=name, room="room", subject=None, chip="S3", node=node, rate_hz=40.0, timing=Timing.MEASURED,
        files=(), load=lambda: track, setup=setup,
    )  # fmt: skip


def dataset_of(*recordings: Recording) -> Dataset:
    return Dataset("made up", "CC0-1.0", "ht56", recordings, Path())


QUIET = np.where(np.arange(400) < 200, 3.0, 5.0)


def test_the_baseline_is_the_median_over_the_first_seconds_of_the_first_quiet_recording():
    data = dataset_of(
        recording("moves", 1, np.full(400, 9.0)), recording("quiet", 0, QUIET), recording("later", 0, QUIET + 1)
    )
    quiet = watch(data, SPEC, RULE, scores, 5.0)

    ((key, watched),) = quiet.watched.items()
    assert key == ("here", 0)
    assert watched.baseline.score == pytest.approx(3.0, abs=1e-5)
    assert (watched.session, watched.start_s, watched.end_s) == ("quiet", 0.0, 5.0)
    assert quiet.refused == {}
    assert watched.holds("quiet", 4.9, 5.9)
    assert not watched.holds("quiet", 5.0, 6.0)
    assert not watched.holds("later", 0.0, 1.0)


def test_each_node_of_each_setup_has_its_own():
    data = dataset_of(
        recording("a", 0, QUIET), recording("b", 0, QUIET + 1, node=1), recording("c", 0, QUIET + 2, setup="there")
    )
    quiet = watch(data, SPEC, RULE, scores, 4.0)
    windows = cut_windows(data, SPEC, 20)
    of = quiet.of(windows, np.arange(len(windows)))

    assert {key: round(one.baseline.score, 4) for key, one in quiet.watched.items()} == {
        ("here", 0): 3.0,
        ("here", 1): 4.0,
        ("there", 0): 5.0,
    }
    names = [windows.names["session"][session] for session in windows.session]
    assert [one.session for one in of] == names


def test_sessions_without_a_setup_are_one_each():
    data = dataset_of(recording("a", 0, QUIET, None), recording("b", 1, QUIET, None))
    quiet = watch(data, SPEC, RULE, scores, 4.0)

    assert quiet.watched.keys() == {("a", 0)}
    assert quiet.refused == {("b", 0): "no quiet stretch is recorded"}
    assert any("no baseline for b, node 0: no quiet stretch" in note for note in quiet.notes())


def test_the_daemons_rules_refuse():
    restless, hidden = QUIET.copy(), np.full(400, 30.0)
    restless[40:100] = 9.0
    data = dataset_of(
        recording("good", 0, QUIET),
        recording("restless", 0, restless, "second"),
        recording("hidden", 0, hidden, "third"),
        recording("short", 0, QUIET[:60], "fourth"),
    )
    refused = watch(data, SPEC, RULE, scores, 5.0).refused

    assert "something moved" in refused["second", 0]
    assert "something moves" in refused["third", 0]
    assert "windows came" in refused["fourth", 0]
    assert refused["fourth", 0].endswith(" of 4 s; the first window takes 1 s of the 5")


def test_data_without_a_quiet_room_are_refused():
    for moving in (1, None):
        with pytest.raises(TrainError, match="has no node with a baseline: no quiet stretch"):
            watch(dataset_of(recording("a", moving, QUIET)), SPEC, RULE, scores, 5.0)
    short = replace(dataset_of(recording("a", 0, QUIET)), name="short")
    with pytest.raises(TrainError, match="short has no node with a baseline: only"):
        watch(short, SPEC, RULE, scores, 60.0)


@pytest.mark.parametrize("seconds", [1.9, 600.1, -5.0, float("nan"), float("inf")])
def test_nothing_is_watched_for_longer_or_shorter_than_by_the_daemon(seconds):
    with pytest.raises(ConfigError) as refused:
        watch(dataset_of(recording("a", 0, QUIET)), SPEC, RULE, scores, seconds)

    assert refused.value.hint == "2 to 600 s, as `cogd calibrate` takes"
