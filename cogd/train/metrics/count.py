"""Figures of person counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cogd.train.metrics.bootstrap import ratio
from cogd.train.metrics.figure import Baseline, Definition, Sample, figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.bundle.manifest import Metric

ACCURACY: Final = Definition("accuracy", "share of counts that are exactly right", "higher")
WITHIN_1: Final = Definition("within_1", "share of counts that are off by at most one", "higher")
MAE: Final = Definition("mae_persons", "mean absolute error of the count", "lower")
RECALL: Final = Definition("recall", "share of counts where it is so that are exactly right", "higher")


@dataclass(frozen=True)
class Constants:
    """The count that, said of every window, is exactly right, off by at most one, or off by the least most often."""

    most_frequent: int
    near_most: int
    median: int

    @classmethod
    def best(cls, truth: NDArray[np.int64]) -> Constants:
        """Of true counts `[n]`; of several that are as good, the lowest."""
        frequency = np.bincount(truth)
        padded = np.pad(frequency, 1)
        near = padded[:-2] + frequency + padded[2:]
        return cls(int(frequency.argmax()), int(near.argmax()), int(np.sort(truth)[(len(truth) - 1) // 2]))


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts beside the truth.

    Attributes:
        predicted: int64 `[n]`.
        truth: int64 `[n]`.
        constant: the baselines: one count for every window.
        of: what the constants are the best of.
    """

    predicted: NDArray[np.int64]
    truth: NDArray[np.int64]
    constant: Constants
    of: str


def count_figures(counts: Counts, sample: Sample) -> list[Metric]:
    """Accuracy, within one, mean absolute error."""
    off = np.abs(counts.predicted - counts.truth)
    near, median = counts.constant.near_most, counts.constant.median
    within_1 = Baseline(
        f"always {near}, off by at most one from most of {counts.of}", ratio(np.abs(near - counts.truth) <= 1)
    )
    mae = Baseline(f"always {median}, the median of {counts.of}", ratio(np.abs(median - counts.truth)))
    return [
        *accuracy_figure(counts, sample),
        *figure(WITHIN_1, ratio(off <= 1), within_1, sample),
        *figure(MAE, ratio(off), mae, sample),
    ]


def accuracy_figure(counts: Counts, sample: Sample) -> list[Metric]:
    """Accuracy alone."""
    usual = counts.constant.most_frequent
    constant = Baseline(f"always {usual}, the most frequent count of {counts.of}", ratio(counts.truth == usual))
    return figure(ACCURACY, ratio(counts.truth == counts.predicted), constant, sample)


def class_figures(counts: Counts, sample: Sample) -> list[Metric]:
    """The recall of each number of persons that occurs, beside saying it as often as the model does, at random."""
    figures: list[Metric] = []
    for number in np.unique(counts.truth).tolist():
        rows = counts.truth == number
        persons = "1 person" if number == 1 else f"{number} persons"
        said = float((counts.predicted == number).mean())
        figures += figure(
            RECALL.of(str(number), persons),
            ratio(counts.predicted[rows] == number),
            Baseline(f"{number} said as often as the model says it, at random", said),
            sample.select(rows),
        )
    return figures


def confusion(predicted: NDArray[np.int64], truth: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """How many windows `[classes, classes]` of each true class (row) were given each class (column)."""
    return np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)
