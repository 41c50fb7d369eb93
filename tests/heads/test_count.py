import itertools
import math

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cogd.bundle.manifest import Tensor
from cogd.errors import ManifestError
from cogd.heads.count.distribution import median
from cogd.heads.count.head import CountHead

from .factory import contexts, count_output, shared_fields

PLATT = {"temperature": np.float32([2.0]), "slope": np.float32([1.5]), "offset": np.float32([-0.25])}
LOGITS = st.lists(st.floats(-30, 30, width=32), min_size=4, max_size=4)


def calibrated(**changes):
    return CountHead(count_output(confidence="platt", calibration="c.safetensors"), PLATT | changes)


def read(logits, *, conf=0.0, head=None, trained=(0, 1, 2)):
    """The fields of one row."""
    head = head or CountHead(count_output(trained), {})
    outputs = {"count_logits": np.float32([logits]), "conf_logits": np.float32([[conf]])}
    return head.read(outputs, contexts(1))[0].fields


def softmax(values: list[float]) -> list[float]:
    weights = [math.exp(value - max(values)) for value in values]
    return [weight / sum(weights) for weight in weights]


class TestProbabilities:
    @given(LOGITS)
    def test_are_the_softmax_over_the_trained_classes(self, logits):
        fields = read(logits)
        np.testing.assert_allclose(fields.probs, softmax(logits[:3]), atol=1e-6)
        assert fields.classes == [0, 1, 2]
        assert fields.raw_count in {fields.classes[int(np.argmax(softmax(logits[:3])))], None}

    def test_are_softened_by_the_temperature(self):
        fields = read([4.0, 2.0, 0.0, 0.0], head=calibrated())
        np.testing.assert_allclose(fields.probs, softmax([2.0, 1.0, 0.0]), atol=1e-6)

    def test_of_huge_outputs_are_finite(self):
        assert read([3e38, -3e38, 0.0, 0.0]).probs == [1.0, 0.0, 0.0]

    @given(LOGITS)
    def test_never_hold_an_untrained_class(self, logits):
        fields = read(logits, trained=(1, 3))
        assert fields.classes == [1, 3]
        assert fields.count in {1, 3}
        assert fields.raw_count in {1, 3, None}
        assert {fields.count_p95_low, fields.count_p95_high} <= {1, 3}
        assert len(fields.probs) == 2

    def test_say_so_where_an_untrained_class_wins(self):
        head = CountHead(count_output((0, 1)), {})
        outputs = {"count_logits": np.float32([[0, 1, 9, 0], [0, 1, -9, 0]]), "conf_logits": np.zeros((2, 1))}
        unlike, like = head.read(outputs, contexts(2))
        assert (unlike.fields.raw_count, unlike.fields.low_confidence, unlike.fields.event_level()) == (
            None,
            True,
            "warn",
        )
        assert (like.fields.raw_count, like.fields.low_confidence) == (1, False)
        assert (unlike.fields.event_level(), like.fields.event_level()) == ("warn", "info")
        assert unlike.fields.count == like.fields.count == 1
        assert unlike.fields.probs == like.fields.probs

    def test_go_by_the_labels_and_not_by_their_places(self):
        head = CountHead(count_output((1, 2), labels=("0", "2", "5", "9")), {})
        fields = read([0.0, 1.0, 8.0, 0.0], head=head)
        assert (fields.classes, fields.count, fields.count_p95_low) == ([2, 5], 5, 5)


class TestTheCount:
    @given(st.lists(st.floats(0, 1), min_size=2, max_size=8).filter(lambda weights: sum(weights) > 0.1))
    def test_is_off_by_the_least_that_can_be_expected(self, weights):
        expected = [
            sum(weight * abs(index - said) for index, weight in enumerate(weights)) for said in range(len(weights))
        ]
        assert expected[median(weights)] <= min(expected) + 1e-9

    @given(st.floats(0, 1), st.floats(0, 1))
    def test_of_two_numbers_is_the_more_probable_one(self, one, other):
        assert median([one, other]) == (0 if one >= other else 1)

    def test_may_be_another_than_the_most_probable_one(self):
        fields = read(np.log([0.4, 0.15, 0.2, 0.25]), trained=(0, 1, 2, 3))
        assert (fields.count, fields.raw_count) == (1, 0)
        assert (fields.count_p95_low, fields.count_p95_high) == (0, 3)


class TestTheRange:
    """The docs' definition: contains the count, at least 95 %, grown by its more probable neighbour."""

    @staticmethod
    def brute_force(p: list[float]) -> tuple[int, int]:
        best = int(np.flatnonzero(np.cumsum(p) >= 0.5)[0])
        grown, ranges = (best, best), [(best, best)]
        while grown != (0, len(p) - 1):
            below = p[grown[0] - 1] if grown[0] else -1
            above = p[grown[1] + 1] if grown[1] + 1 < len(p) else -1
            grown = (grown[0] - 1, grown[1]) if below >= above else (grown[0], grown[1] + 1)
            ranges.append(grown)
        return next(((a, b) for a, b in ranges if math.fsum(p[a : b + 1]) >= 0.95), ranges[-1])

    @given(LOGITS)
    @example([0.0, 0.0, 0.0, 0.0])
    @example([0.0, 10.0, 0.0, 0.0])
    def test_is_the_first_grown_one_that_holds_95_percent(self, logits):
        fields = read(logits, trained=(0, 1, 2, 3))
        p = softmax([float(np.float32(value)) for value in logits])
        sums = [math.fsum(p[a : b + 1]) for a, b in itertools.combinations_with_replacement(range(4), 2)]
        ties = min(abs(a - b) for a, b in itertools.combinations(p, 2)) < 1e-9
        halves = min(abs(mass - 0.5) for mass in itertools.accumulate(p)) < 1e-9
        if not ties and not halves and all(abs(total - 0.95) > 1e-9 for total in sums):  # else the last digit decides
            assert (fields.count_p95_low, fields.count_p95_high) == self.brute_force(p)
        held = math.fsum(p[fields.count_p95_low : fields.count_p95_high + 1])
        assert held >= 0.95 - 1e-9
        assert fields.count_p95_low <= fields.count <= fields.count_p95_high

    @pytest.mark.parametrize(
        ("probabilities", "expected"),
        [
            ([0.96, 0.02, 0.01, 0.01], (0, 0)),
            ([0.30, 0.66, 0.02, 0.02], (0, 1)),
            ([0.02, 0.66, 0.30, 0.02], (1, 2)),
            ([0.10, 0.70, 0.15, 0.05], (0, 2)),
            ([0.40, 0.03, 0.03, 0.54], (0, 3)),
            ([0.04, 0.50, 0.41, 0.05], (1, 3)),
        ],
    )
    def test_of_known_distributions(self, probabilities, expected):
        fields = read(np.log(probabilities), trained=(0, 1, 2, 3))
        assert (fields.count_p95_low, fields.count_p95_high) == expected


class TestConfidence:
    def test_is_null_without_a_calibration(self):
        assert read([0.0, 9.0, 0.0, 0.0], conf=5.0).confidence is None

    @given(st.floats(-50, 50, width=32))
    def test_is_platts_line_through_a_sigmoid(self, logit):
        fields = read([0.0, 1.0, 0.0, 0.0], conf=logit, head=calibrated())
        assert fields.confidence == pytest.approx(1 / (1 + math.exp(-(1.5 * logit - 0.25))), abs=1e-6)

    @given(st.floats(-50, 50, width=32), LOGITS)
    def test_may_be_of_the_counts_own_log_odds_too(self, logit, logits):
        fields = read(logits, conf=logit, head=calibrated(odds=np.float32([0.5])))
        probability = softmax([value / 2 for value in logits[:3]])[fields.count]
        odds = math.log(max(probability, 1e-6) / max(1 - probability, 1e-6))
        expected = 1 / (1 + math.exp(-(1.5 * logit + 0.5 * odds - 0.25)))
        assert fields.confidence == pytest.approx(expected, abs=2e-6)

    @pytest.mark.parametrize(("logit", "expected"), [(-3e38, 0.0), (3e38, 1.0)])
    def test_of_a_huge_output_is_a_probability(self, logit, expected):
        assert read([0.0] * 4, conf=logit, head=calibrated()).confidence == expected


def test_the_line_of_several_nodes_is_known_where_it_was_fitted():
    assert CountHead(count_output(), {}).combiner.line is None
    assert calibrated().combiner.line is None
    line = calibrated(fused_slope=np.float32([2.0]), fused_offset=np.float32([-1.0])).combiner.line
    assert line.probability(0.75) == pytest.approx(1 / (1 + math.exp(-0.5)))


def test_each_row_has_its_own_context():
    outputs = {"count_logits": np.eye(3, 4, dtype=np.float32) * 9, "conf_logits": np.zeros((3, 1), np.float32)}
    readings = CountHead(count_output(), {}).read(outputs, contexts(3))
    assert [reading.fields.count for reading in readings] == [0, 1, 2]
    for reading, context in zip(readings, contexts(3), strict=True):
        assert {name: getattr(reading.fields, name) for name in shared_fields(context)} == shared_fields(context)
        assert reading.fields.n_nodes == 1


class TestABundleThatDoesNotSuit:
    @pytest.mark.parametrize(
        "tensors",
        [
            [Tensor(name="count_logits", shape=[4])],
            [Tensor(name="count_logits", shape=[3]), Tensor(name="conf_logits", shape=[1])],
            [Tensor(name="count_logits", shape=[4]), Tensor(name="conf_logits", shape=[2])],
            [Tensor(name="count_logits", shape=[4]), Tensor(name="confidence", shape=[1])],
            [Tensor(name="count_logits", shape=[2, 2]), Tensor(name="conf_logits", shape=[1])],
        ],
    )
    def test_in_its_outputs_is_refused(self, tensors):
        with pytest.raises(ManifestError, match="count head wants"):
            CountHead(count_output(tensors=tensors), {})

    def test_in_not_telling_its_trained_classes_is_refused(self):
        with pytest.raises(ManifestError, match="which classes were trained"):
            CountHead(count_output(trained_classes=None), {})

    def test_in_labels_that_are_no_numbers_is_refused(self):
        with pytest.raises(ManifestError, match="numbers of persons"):
            CountHead(count_output(labels=("none", "one", "two", "3")), {})

    @pytest.mark.parametrize("name", PLATT)
    @pytest.mark.parametrize("value", [None, np.float32([np.nan]), np.float32([1, 2])], ids=["absent", "nan", "two"])
    def test_in_its_calibration_is_refused(self, name, value):
        calibration = {key: tensor for key, tensor in (PLATT | {name: value}).items() if tensor is not None}
        with pytest.raises(ManifestError, match="the calibration"):
            CountHead(count_output(confidence="platt", calibration="c"), calibration)

    @pytest.mark.parametrize(
        "fused",
        [
            {"odds": np.float32([np.nan])},
            {"odds": np.float32([1.0, 2.0])},
            {"fused_slope": np.float32([1.0])},
            {"fused_offset": np.float32([1.0])},
            {"fused_slope": np.float32([1.0, 2.0])},
            {"fused_slope": np.float32([np.nan]), "fused_offset": np.float32([0.0])},
        ],
    )
    def test_in_its_calibration_of_several_nodes_is_refused(self, fused):
        with pytest.raises(ManifestError, match="calibration"):
            calibrated(**fused)

    @pytest.mark.parametrize("temperature", [0.0, -1.0])
    def test_in_its_temperature_is_refused(self, temperature):
        with pytest.raises(ManifestError, match="temperature above 0"):
            calibrated(temperature=np.float32([temperature]))

    @pytest.mark.parametrize("labels", [("3", "2", "1", "0"), ("0", "1", "01", "2"), ("-1", "0", "1", "2")])
    def test_in_labels_that_do_not_ascend_from_0_is_refused(self, labels):
        with pytest.raises(ManifestError, match="ascending order"):
            CountHead(count_output((0, 1, 2, 3), labels), {})


def test_fields_can_be_encoded():
    assert msgspec.json.decode(msgspec.json.encode(read([0.0, 1.0, 2.0, 3.0])))["count"] == 2
