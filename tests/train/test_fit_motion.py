"""The two lines of the motion head's calibration."""

import contextlib

import numpy as np
import pytest

from cogd.errors import TrainError
from cogd.train.calibration import fit_balanced_line
from cogd.train.heads.motion.config import RECIPE as MOTION
from cogd.train.heads.motion.learning import MotionLearning, fit_motion
from tests.train.factory import make_windows

pytestmark = pytest.mark.train


def test_a_line_finds_the_one_that_made_the_labels():
    rng = np.random.default_rng(0)
    scores = rng.normal(1, 3, 20_000)
    positive = rng.random(20_000) < 1 / (1 + np.exp(-(1.7 * scores - 2.0)))
    even = fit_balanced_line(scores, positive)
    # Both kinds count alike: of a sample with fewer positives the offset is that of as many as negatives.
    kept = np.flatnonzero(~positive | (rng.random(20_000) < 0.1))
    few = fit_balanced_line(scores[kept], positive[kept])

    assert even.slope == pytest.approx(1.7, rel=0.06)
    assert even.offset + np.log(positive.mean() / (1 - positive.mean())) == pytest.approx(-2.0, abs=0.15)
    assert few.slope == pytest.approx(even.slope, rel=0.15)
    assert few.offset == pytest.approx(even.offset, abs=0.3)


def test_scores_that_part_both_kinds_have_a_finite_line():
    line = fit_balanced_line(np.asarray([-2.0, -1.0, 1.0, 2.0]), np.asarray([False, False, True, True]))

    assert 0 < line.slope < 1e3
    assert -line.offset / line.slope == pytest.approx(0, abs=1e-6)


def windows_and_scores(levels=(0.0, 4.0), step=3.0, moved=1.0, **columns):
    """Rooms that differ in what quiet is; motion is a step above so much of that."""
    rng = np.random.default_rng(1)
    room = np.repeat(np.arange(len(levels)), 200)
    moving = np.tile([0, 1], 100 * len(levels))
    level = np.asarray(levels)[room]
    scores = np.where(moving == 1, moved * level + step, level) + rng.normal(0, 0.7, len(room))
    return make_windows(len(room), room=room, moving=moving.astype(np.int8), **columns), scores


def test_above_the_rooms_own_baseline_the_threshold_is_the_same_for_all():
    windows, scores = windows_and_scores()
    fitted = fit_motion(windows, np.arange(len(windows)), scores)

    assert fitted["baseline_share"] == pytest.approx(1, abs=0.1)
    assert -fitted["baseline_offset"] / fitted["baseline_slope"] == pytest.approx(1.5, abs=0.3)
    assert -fitted["offset"] / fitted["slope"] == pytest.approx(3.5, abs=0.4)
    assert fitted["baseline_slope"] > 2 * fitted["slope"]


def test_less_of_a_baseline_counts_where_motion_shares_less_of_the_noise():
    """The threshold is half way between quiet, at the level, and motion, at half of it and the step."""
    windows, scores = windows_and_scores(levels=(-2.0, -1.0, 0.0, 1.0), step=6.0, moved=0.5)
    fitted = fit_motion(windows, np.arange(len(windows)), scores)

    assert fitted["baseline_share"] == pytest.approx(0.75, abs=0.15)
    assert -fitted["baseline_offset"] / fitted["baseline_slope"] == pytest.approx(3, abs=0.3)


def test_rooms_that_were_never_quiet_fit_the_plain_line_alone():
    windows, scores = windows_and_scores()
    rows = np.flatnonzero((windows.room == 0) | (windows.moving == 1))
    fitted = fit_motion(windows, rows, scores[rows])
    of_one = np.flatnonzero(windows.room == 0)
    alone = fit_motion(windows, of_one, scores[of_one])

    for name in ("baseline_slope", "baseline_offset", "baseline_share"):
        assert fitted[name] == pytest.approx(alone[name], rel=1e-4)
    assert fitted["offset"] != pytest.approx(alone["offset"], rel=1e-2)


def test_the_windows_that_make_a_baseline_have_no_part_in_its_line():
    windows, scores = windows_and_scores(levels=(0.0,))
    fitted = fit_motion(windows, np.arange(200), scores)
    quiet = np.flatnonzero(windows.moving == 0)
    spoilt = scores.copy()
    spoilt[quiet[:24]], spoilt[quiet[24:48]] = -100.0, 100.0  # the median of the earlier half is hardly another

    refitted = fit_motion(windows, np.arange(200), spoilt)

    for name in ("baseline_slope", "baseline_offset"):
        assert refitted[name] == pytest.approx(fitted[name], rel=0.5)
    assert refitted["slope"] < fitted["slope"] / 5


def test_who_keeps_still_is_a_part_of_quiet_whatever_there_is_of_it():
    """Still persons sound between the empty room and motion: the more they weigh, the higher the threshold."""
    rng = np.random.default_rng(2)
    kind = np.repeat([0, 1, 2], [300, 300, 600])  # empty, motion, somebody who keeps still
    scores = np.asarray([0.0, 6.0, 2.5])[kind] + rng.normal(0, 0.8, len(kind))
    windows = make_windows(
        len(kind), room=np.zeros(len(kind), dtype=np.int64), moving=(kind == 1).astype(np.int8), persons=(kind > 0) * 1
    )
    few = np.flatnonzero((kind < 2) | (rng.random(len(kind)) < 0.25))
    without = np.flatnonzero(kind < 2)
    with_all, with_few, with_none = (
        fit_motion(windows, rows, scores[rows]) for rows in (np.arange(len(kind)), few, without)
    )
    threshold = {name: -fit["offset"] / fit["slope"] for name, fit in (("all", with_all), ("none", with_none))}

    assert threshold["none"] == pytest.approx(3, abs=0.15)
    assert threshold["all"] > threshold["none"] + 0.3
    assert -with_few["offset"] / with_few["slope"] == pytest.approx(threshold["all"], abs=0.15)
    for name in ("baseline_slope", "baseline_offset", "baseline_share"):  # the baseline is the empty room's
        assert with_all[name] == with_none[name]


def test_what_can_not_be_fitted_is_refused():
    windows, scores = windows_and_scores()
    apart = np.flatnonzero((windows.room == 0) == (windows.moving == 0))

    with pytest.raises(TrainError, match="no node of the calibration part has a moving"):
        fit_motion(windows, apart, scores[apart])
    with pytest.raises(TrainError, match="do not rise with motion"):
        fit_motion(windows, np.arange(len(windows)), -scores)


@pytest.mark.parametrize(("quiet", "does"), [(0, False), (1, False), (2, True)])
def test_a_calibration_part_that_will_do_is_told_without_scores(quiet, does):
    """As the fit itself says: a moving window beside two quiet ones of the same node."""
    windows, scores = windows_and_scores(levels=(0.0,))
    moving = np.flatnonzero(windows.moving == 1)
    rows = np.sort(np.concatenate([moving, np.flatnonzero(windows.moving == 0)[:quiet]]))

    for judge in (
        lambda: MotionLearning().check_calibration(windows, rows, MOTION),
        lambda: fit_motion(windows, rows, scores[rows]),
    ):
        with contextlib.nullcontext() if does else pytest.raises(TrainError, match="no node of the calibration part"):
            judge()
