import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.train.metrics.figure import Sample
from cogd.train.metrics.motion import Motions, class_figures, motion_figures

pytestmark = pytest.mark.train

cells = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def motions(predicted, truth, score=None) -> Motions:
    return Motions(np.asarray(predicted, bool), None if score is None else np.asarray(score), np.asarray(truth, bool))


def figures(metrics) -> dict[str, tuple[float, float]]:
    return {metric.name: (metric.value, metric.baseline_value) for metric in metrics}


def test_motion_figures_by_hand():
    """3 of 4 moving windows and 1 of 2 quiet ones are called so."""
    given_motions = motions([1, 1, 1, 0, 0, 1], [1, 1, 1, 1, 0, 0], [0.9, 0.8, 0.7, 0.2, 0.1, 0.75])

    assert figures(motion_figures(given_motions, Sample("t", 6))) == {
        "balanced_accuracy": (0.625, 0.5),
        "f1_moving": (0.75, 0.8),
        "motion_auroc": (0.75, 0.5),
    }
    assert figures(class_figures(given_motions, Sample("t", 6))) == {
        "recall.moving": (0.75, pytest.approx(4 / 6, abs=1e-6)),
        "recall.quiet": (0.5, pytest.approx(2 / 6, abs=1e-6)),
    }


@given(cells)
def test_they_equal_plain_counting(pairs):
    predicted, truth = zip(*pairs, strict=True)
    metrics = figures(motion_figures(motions(predicted, truth), Sample("t", len(pairs))))

    both = [said for said, was in pairs if was], [not said for said, was in pairs if not was]
    if all(both):
        balanced = (sum(both[0]) / len(both[0]) + sum(both[1]) / len(both[1])) / 2
        assert metrics["balanced_accuracy"][0] == pytest.approx(balanced, abs=1e-6)
    else:
        assert "balanced_accuracy" not in metrics
    if sum(both[0]):
        precision, recall = sum(both[0]) / sum(predicted), sum(both[0]) / len(both[0])
        assert metrics["f1_moving"][0] == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-6)


def test_without_quiet_there_is_no_balance():
    assert [m.name for m in motion_figures(motions([1, 0], [1, 1], [1.0, 0.0]), Sample("t", 2))] == ["f1_moving"]
    assert [m.name for m in class_figures(motions([1, 0], [1, 1]), Sample("t", 2))] == ["recall.moving"]
