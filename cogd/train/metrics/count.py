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

ACCURACY: Final = Definition("accuracy", "share of windows whose count is exactly right", "higher")
WITHIN_1: Final = Definition("within_1", "share of windows whose count is off by at most one", "higher")
MAE: Final = Definition("mae_persons", "mean absolute error of the count", "lower")
RECALL: Final = Definition("recall", "share of its windows whose count is exactly right", "higher")


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts beside the truth.

    Attributes:
        predicted: int64 `[n]`.
        truth: int64 `[n]`.
        constant: the baseline: one count for every window.
        constant_name: what count that is.
    """

    predicted: NDArray[np.int64]
    truth: NDArray[np.int64]
    constant: int
    constant_name: str


def count_figures(counts: Counts, sample: Sample) -> list[Metric]:
    """Accuracy, within one, mean absolute error."""
    off, constant_off = np.abs(counts.predicted - counts.truth), np.abs(counts.constant - counts.truth)
    within_1 = Baseline(counts.constant_name, ratio(constant_off <= 1))
    mae = Baseline(counts.constant_name, ratio(constant_off))
    return [
        *accuracy_figure(counts, sample),
        *figure(WITHIN_1, ratio(off <= 1), within_1, sample),
        *figure(MAE, ratio(off), mae, sample),
    ]


def accuracy_figure(counts: Counts, sample: Sample) -> list[Metric]:
    """Accuracy alone."""
    constant = Baseline(counts.constant_name, ratio(counts.truth == counts.constant))
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
