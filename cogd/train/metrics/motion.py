"""Figures of motion: moving or quiet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cogd.train.metrics.bootstrap import OfSums, ratio
from cogd.train.metrics.confidence import auroc
from cogd.train.metrics.figure import Baseline, Definition, Sample, figure

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cogd.bundle.manifest import Metric

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

BALANCED: Final = Definition(
    "balanced_accuracy",
    "mean of the share of moving windows called moving and that of quiet ones called quiet",
    "higher",
)
RECALL: Final = Definition("recall", "share of its windows that are called so", "higher")
F1: Final = Definition("f1_moving", "harmonic mean of precision and recall of moving", "higher")
AUROC: Final = Definition(
    "motion_auroc",
    "probability that the score of a moving window is above that of a quiet one, ties counted half",
    "higher",
)


@dataclass(frozen=True, eq=False)
class Motions:
    """Motion beside the truth.

    Attributes:
        predicted: bool `[n]` called moving.
        score: float64 `[n]` the higher, the more it looks like motion; None where there is none.
        truth: bool `[n]` moving.
    """

    predicted: Mask
    score: Array | None
    truth: Mask


def motion_figures(motions: Motions, sample: Sample) -> list[Metric]:
    """Balanced accuracy, F1 and the area under the ROC curve."""
    always = np.ones_like(motions.predicted)
    figures = balanced_figure(motions, sample)
    moving = Baseline("always moving", _of_cells(always, motions.truth, _f1))
    figures += figure(F1, _of_cells(motions.predicted, motions.truth, _f1), moving, sample)
    if motions.score is not None:
        figures += figure(AUROC, auroc(motions.score, motions.truth), Baseline("chance", 0.5), sample)
    return figures


def balanced_figure(motions: Motions, sample: Sample) -> list[Metric]:
    """Balanced accuracy alone."""
    any_answer = Baseline("any answer that looks at nothing", 0.5)
    return figure(BALANCED, _of_cells(motions.predicted, motions.truth, _balanced), any_answer, sample)


def class_figures(motions: Motions, sample: Sample) -> list[Metric]:
    """The recall of moving and of quiet, each beside saying it as often as the model does, at random."""
    figures: list[Metric] = []
    said_moving = float(motions.predicted.mean())
    for name, rows, said, right in (
        ("moving", motions.truth, said_moving, motions.predicted),
        ("quiet", ~motions.truth, 1 - said_moving, ~motions.predicted),
    ):
        figures += figure(
            RECALL.of(name, name),
            ratio(right[rows]),
            Baseline(f"{name} said as often as the model says it, at random", said),
            sample.select(rows),
        )
    return figures


def _of_cells(predicted: Mask, truth: Mask, of: Callable[[Array], Array]) -> OfSums:
    """A function of how many windows are rightly moving, wrongly moving, wrongly quiet and rightly quiet."""
    cells = [predicted & truth, predicted & ~truth, ~predicted & truth, ~predicted & ~truth]
    return OfSums(np.stack(cells, axis=1).astype(np.float64), of)


def _balanced(cells: Array) -> Array:
    right_moving, wrong_moving, wrong_quiet, right_quiet = np.moveaxis(cells, -1, 0)
    return np.asarray((right_moving / (right_moving + wrong_quiet) + right_quiet / (right_quiet + wrong_moving)) / 2)


def _f1(cells: Array) -> Array:
    right_moving, wrong_moving, wrong_quiet, _ = np.moveaxis(cells, -1, 0)
    return np.asarray(2 * right_moving / (2 * right_moving + wrong_moving + wrong_quiet))
