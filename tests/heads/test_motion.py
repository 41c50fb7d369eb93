import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.bundle.manifest import Tensor
from cogd.errors import ManifestError
from cogd.heads.base import Baseline
from cogd.heads.count.head import CountHead
from cogd.heads.motion.head import MotionHead
from cogd.heads.motion.quiet import MOST_SHARE, MOVING_SHARE, ONE_MOMENT
from cogd.heads.pose.head import PoseHead

from .factory import MOTION, POSE, contexts, count_output, shared_fields

PLATT = {
    "slope": np.float32([0.5]),
    "offset": np.float32([-1.0]),
    "baseline_slope": np.float32([2.0]),
    "baseline_offset": np.float32([-3.0]),
}
HEAD = MotionHead(MOTION, PLATT)
SCORES = st.floats(-50, 50, width=32)


def logits(*scores: float) -> dict[str, np.ndarray]:
    return {"motion_logits": np.float32(scores)[:, None]}


def sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-np.float64(value))))


def read(score: float, baseline: Baseline | None = None):
    (reading,) = HEAD.read(logits(score), contexts(1), [baseline])
    return reading


class TestAnEvent:
    @given(SCORES)
    def test_of_a_node_without_a_baseline_is_platts_line(self, score):
        reading = read(score)
        expected = sigmoid(0.5 * score - 1.0)
        assert reading.fields.probability == pytest.approx(expected, abs=1e-6)
        assert reading.fields.moving == (score >= 2.0)
        assert (reading.fields.baseline, reading.fields.baseline_time) == (None, None)
        assert reading.fields.score == pytest.approx(score, abs=1e-6)

    @given(SCORES, SCORES)
    def test_of_a_node_with_one_is_the_line_above_it(self, score, quiet):
        reading = read(score, Baseline(score=quiet, time=123.0))
        assert reading.fields.probability == pytest.approx(sigmoid(2.0 * (score - quiet) - 3.0), abs=1e-6)
        assert (reading.fields.baseline, reading.fields.baseline_time) == (quiet, 123.0)

    @given(SCORES, SCORES, st.floats(0, 1, width=32))
    def test_takes_off_as_much_of_the_baseline_as_counts(self, score, quiet, share):
        head = MotionHead(MOTION, PLATT | {"baseline_share": np.float32([share])})
        (reading,) = head.read(logits(score), contexts(1), [Baseline(score=quiet, time=123.0)])
        assert reading.fields.probability == pytest.approx(sigmoid(2.0 * (score - share * quiet) - 3.0), abs=1e-6)
        assert reading.fields.baseline == quiet

    @given(SCORES)
    def test_is_as_sure_as_its_verdict_is_probable(self, score):
        fields = read(score).fields
        likely = fields.probability if fields.moving else 1 - fields.probability
        assert fields.confidence == pytest.approx(likely, abs=2e-6)
        assert 0.5 <= fields.confidence <= 1
        assert read(score).confidence == fields.confidence

    @pytest.mark.parametrize(("score", "expected"), [(3e38, 1.0), (-3e38, 0.0)])
    def test_of_a_huge_output_has_a_probability(self, score, expected):
        assert read(score).fields.probability == expected

    def test_has_the_context_of_its_row(self):
        readings = HEAD.read(logits(-9, 9), contexts(2))
        assert [reading.fields.moving for reading in readings] == [False, True]
        for reading, context in zip(readings, contexts(2), strict=True):
            assert {name: getattr(reading.fields, name) for name in shared_fields(context)} == shared_fields(context)
            assert reading.fields.event_level() == "info"

    def test_gives_the_score_that_a_baseline_is_made_of(self):
        assert [reading.score for reading in HEAD.read(logits(-1.5, 2.5), contexts(2))] == [-1.5, 2.5]


def test_only_this_head_wants_a_baseline():
    assert HEAD.quiet is not None
    assert PoseHead(POSE, {}).quiet is None
    assert CountHead(count_output(), {}).quiet is None


class TestAQuietRoom:
    @given(st.lists(st.floats(-1, 1), min_size=1, max_size=200), st.floats(-20, 2.5))
    def test_is_one_whose_scores_stay_together(self, noise, level):
        """With these lines a score 1.5 above the baseline is moving, and one above 3.3 without a baseline surely is."""
        noise = [value / 2 for value in noise]
        assert HEAD.quiet.why_not([level + value for value in noise]) is None

    @pytest.mark.parametrize(
        ("moving", "of", "objects"),
        [
            (0, 200, False), (20, 200, False), (21, 200, True), (90, 200, True),
            (20, 81, False), (21, 81, True),  # one moment, of 5 s
            (60, 600, False), (61, 600, True),  # a tenth
            (5, 20, False), (6, 20, True),  # a quarter
        ],
    )  # fmt: skip
    def test_is_none_where_more_than_a_moment_and_a_tenth_stand_out(self, moving, of, objects):
        scores = [-4.0 + 0.001 * n for n in range(of - moving)] + [3.0] * moving
        why = HEAD.quiet.why_not(scores)
        assert (why is not None) == objects
        if why:
            assert why.startswith(f"something moved: {moving} of {of} windows")
        assert (MOVING_SHARE, ONE_MOMENT, MOST_SHARE) == (0.1, 20, 0.25)

    def test_is_judged_by_the_share_of_its_median_that_counts(self):
        """Where half of it does, scores of 4 are 2 above their own baseline, which is moving."""
        head = MotionHead(MOTION, PLATT | {"baseline_share": np.float32([0.5])})
        why = head.quiet.why_not([4.0] * 100)
        assert why is not None
        assert why.startswith("something moved: 100 of 100 windows")
        assert head.quiet.why_not([2.0] * 100) is None

    @pytest.mark.parametrize("score", [3.3, 8.0])
    def test_is_none_where_all_the_time_something_moves(self, score):
        why = HEAD.quiet.why_not([score] * 100)
        assert why is not None
        assert "something moves" in why
        assert f"{sigmoid(0.5 * score - 1):.2f}" in why


class TestABundleThatDoesNotSuit:
    @pytest.mark.parametrize(
        "changes",
        [
            {"tensors": [Tensor(name="motion_logits", shape=[2])]},
            {"tensors": [Tensor(name="logits", shape=[1])]},
            {"tensors": [*MOTION.tensors, Tensor(name="conf_logits", shape=[1])]},
            {"labels": ["moving", "quiet"]},
            {"trained_classes": [0]},
            {"trained_classes": None},
            {"confidence": "none", "calibration": None},
        ],
    )
    def test_in_its_outputs_is_refused(self, changes):
        with pytest.raises(ManifestError, match="motion head wants"):
            MotionHead(msgspec.structs.replace(MOTION, **changes), PLATT)

    @pytest.mark.parametrize("name", PLATT)
    @pytest.mark.parametrize("value", [None, np.float32([math.nan]), np.float32([1, 2])], ids=["absent", "nan", "two"])
    def test_in_its_calibration_is_refused(self, name, value):
        calibration = {key: tensor for key, tensor in (PLATT | {name: value}).items() if tensor is not None}
        with pytest.raises(ManifestError, match="calibration"):
            MotionHead(MOTION, calibration)

    @pytest.mark.parametrize("share", [-0.01, 1.01, math.nan])
    def test_in_a_share_that_is_none_is_refused(self, share):
        with pytest.raises(ManifestError, match="calibration"):
            MotionHead(MOTION, PLATT | {"baseline_share": np.float32([share])})

    @pytest.mark.parametrize("name", ["slope", "baseline_slope"])
    def test_in_a_slope_that_is_not_above_0_is_refused(self, name):
        with pytest.raises(ManifestError, match="slopes must be above 0"):
            MotionHead(MOTION, PLATT | {name: np.float32([0.0])})
