"""The two lines of the motion head's calibration."""

import numpy as np
import pytest

from cogd.errors import TrainError
from cogd.train.calibration import fit_balanced_line
from cogd.train.heads.motion import fit_motion
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


def windows_and_scores(levels=(0.0, 4.0), step=3.0):
    """Rooms that differ in what quiet is; motion is a step above that."""
    rng = np.random.default_rng(1)
    room = np.repeat(np.arange(len(levels)), 200)
    moving = np.tile([0, 1], 100 * len(levels))
    scores = np.asarray(levels)[room] + step * moving + rng.normal(0, 0.7, len(room))
    return make_windows(len(room), room=room, moving=moving.astype(np.int8)), scores


def test_above_the_rooms_own_baseline_the_threshold_is_the_same_for_all():
    windows, scores = windows_and_scores()
    fitted = fit_motion(windows, np.arange(len(windows)), scores)

    assert -fitted["baseline_offset"] / fitted["baseline_slope"] == pytest.approx(1.5, abs=0.15)
    assert -fitted["offset"] / fitted["slope"] == pytest.approx(3.5, abs=0.4)
    assert fitted["baseline_slope"] > 2 * fitted["slope"]


def test_rooms_that_were_never_quiet_fit_the_plain_line_alone():
    windows, scores = windows_and_scores()
    rows = np.flatnonzero((windows.room == 0) | (windows.moving == 1))
    fitted = fit_motion(windows, rows, scores[rows])
    of_one = np.flatnonzero(windows.room == 0)
    alone = fit_motion(windows, of_one, scores[of_one])

    for name in ("baseline_slope", "baseline_offset"):
        assert fitted[name] == pytest.approx(alone[name], rel=1e-4)
    assert fitted["offset"] != pytest.approx(alone["offset"], rel=1e-2)


def test_what_can_not_be_fitted_is_refused():
    windows, scores = windows_and_scores()
    apart = np.flatnonzero((windows.room == 0) == (windows.moving == 0))

    with pytest.raises(TrainError, match="no node of the calibration part has both"):
        fit_motion(windows, apart, scores[apart])
    with pytest.raises(TrainError, match="do not rise with motion"):
        fit_motion(windows, np.arange(len(windows)), -scores)
