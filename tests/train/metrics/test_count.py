import numpy as np
import pytest

from cogd.train.metrics.count import Constants, Counts, class_figures, confusion, count_figures
from cogd.train.metrics.figure import Sample

pytestmark = pytest.mark.train

SAMPLE = Sample("test", 6)


def counts(predicted, truth, constant=1) -> Counts:
    return Counts(np.asarray(predicted), np.asarray(truth), Constants(constant, constant, constant), "these")


def figures(metrics) -> dict[str, tuple[float, float]]:
    return {metric.name: (metric.value, metric.baseline_value) for metric in metrics}


def test_count_figures_by_hand():
    metrics = figures(count_figures(counts([0, 1, 1, 0, 2, 7], [0, 0, 1, 2, 3, 7]), SAMPLE))

    assert metrics == {
        "accuracy": (pytest.approx(3 / 6, abs=1e-6), pytest.approx(1 / 6, abs=1e-6)),
        "within_1": (pytest.approx(5 / 6, abs=1e-6), pytest.approx(4 / 6, abs=1e-6)),
        "mae_persons": (pytest.approx(4 / 6, abs=1e-6), pytest.approx(11 / 6, abs=1e-6)),
    }


def test_perfect_and_constant_counts():
    truth = [0, 1, 1, 2]

    assert [value for value, _ in figures(count_figures(counts(truth, truth), Sample("t", 4))).values()] == [1, 1, 0]
    for metric in count_figures(counts([1] * 4, truth), Sample("t", 4)):
        assert metric.value == metric.baseline_value
        assert metric.baseline_name.startswith("always 1, ")
        assert metric.baseline_name.endswith(" of these")


def test_each_class_has_its_recall_beside_chance():
    metrics = class_figures(counts([0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 2]), SAMPLE)

    assert figures(metrics) == {
        "recall.0": (pytest.approx(2 / 3, abs=1e-6), pytest.approx(4 / 6, abs=1e-6)),
        "recall.1": (0.5, pytest.approx(2 / 6, abs=1e-6)),
        "recall.2": (0.0, 0.0),
    }
    assert [metric.n for metric in metrics] == [3, 2, 1]
    assert metrics[1].definition.startswith("1 person: share of counts where it is so")


def test_confusion_has_the_truth_in_rows():
    matrix = confusion(np.asarray([0, 1, 1, 0]), np.asarray([0, 0, 1, 2]), 3)

    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        ([0] * 5 + [3] * 4 + [4] * 4 + [7], Constants(most_frequent=0, near_most=3, median=3)),
        ([0, 1], Constants(0, 0, 0)),
        ([1, 1, 0], Constants(1, 0, 1)),
        ([5], Constants(5, 4, 5)),
        (list(range(8)), Constants(0, 1, 3)),
    ],
)
def test_each_figure_has_the_constant_that_is_best_by_it(truth, expected):
    truth = np.asarray(truth)
    best = Constants.best(truth)

    assert best == expected
    said = np.arange(9)[:, None]
    assert (truth == best.most_frequent).sum() == (truth == said).sum(axis=1).max()
    assert (np.abs(truth - best.near_most) <= 1).sum() == (np.abs(truth - said) <= 1).sum(axis=1).max()
    assert np.abs(truth - best.median).sum() == np.abs(truth - said).sum(axis=1).min()
