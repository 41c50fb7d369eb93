"""Figures of a confidence: does it rank what is right above what is wrong, and does it mean what it says?

Rank correlation is stated because others state it. With a right-or-wrong target its greatest value is not 1 but depends
on
the accuracy a: sqrt(3 a (1 - a)), 0.38 at an accuracy of 95 %, so that no confidence could reach a fixed bar. Divided
by that maximum it is 2 AUROC - 1 whatever the ties, so it is a second name of the same fact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cogd.train.metrics.bootstrap import OfSums, OfWeights, ratio
from cogd.train.metrics.figure import Baseline, Definition, Sample, figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.bundle.manifest import Metric

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

BINS: Final = 10

AUROC: Final = Definition(
    "confidence_auroc",
    "probability that the confidence of a right answer is above that of a wrong one, ties counted half",
    "higher",
)
ECE: Final = Definition(
    "confidence_ece",
    f"expected calibration error: mean over windows of the difference between confidence and accuracy of its bin, "
    f"{BINS} bins of equal width over 0..1 (Naeini et al. 2015); small samples make it too large",
    "lower",
)
BRIER: Final = Definition(
    "confidence_brier", "mean squared difference between the confidence and 1 where right, 0 where wrong", "lower"
)
AURC: Final = Definition(
    "confidence_aurc",
    "area under the risk-coverage curve: mean over k of the share of wrong answers among the k most confident ones, "
    "ties in every order (Geifman et al. 2019)",
    "lower",
)
R_OVER_RMAX: Final = Definition(
    "confidence_r_over_rmax",
    "Spearman's correlation of the confidence with right (1) and wrong (0), mid-ranks, divided by what it would be if "
    "every right answer was above every wrong one: r_max = sqrt(3 a (1 - a) n^2 / (n^2 - 1) / (1 - T)), a the accuracy "
    "and T = sum(t^3 - t) / (n^3 - n) over ties of t confidences; equals 2 AUROC - 1",
    "higher",
)


@dataclass(frozen=True)
class Usual:
    """The baseline of calibration: one confidence for every window, 0..1, and where it is from."""

    text: str
    confidence: float


def confidence_figures(confidence: Array, right: Mask, usual: Usual, sample: Sample) -> list[Metric]:
    """Figures of confidences `[n]` of answers that are `right` or not.

    `usual` is the baseline of calibration: one confidence said of every window. Where every answer is right, or none
    is, nothing can be ranked, and the three figures of ranking are left out.
    """
    constant = np.full(len(right), usual.confidence)
    figures: list[Metric] = []
    if right.any() and not right.all():
        chance = Baseline("chance", 0.5)
        figures += figure(AUROC, auroc(confidence, right), chance, sample)
        figures += figure(R_OVER_RMAX, r_over_rmax(confidence, right), Baseline("chance", 0.0), sample)
        in_any_order = Baseline("no order: the share of wrong answers", ratio(~right))
        figures += figure(AURC, aurc(confidence, right), in_any_order, sample)
    figures += figure(BRIER, brier(confidence, right), Baseline(usual.text, brier(constant, right)), sample)
    figures += figure(ECE, ece(confidence, right), Baseline(usual.text, ece(constant, right)), sample)
    return figures


def auroc(score: Array, positive: Mask) -> OfWeights:
    """Area under the ROC curve (Mann-Whitney): not defined without both kinds."""
    tied = _Tied.of(score, positive)

    def area(weights: Array) -> Array:
        yes, no = tied.totals(weights)
        below = np.cumsum(no, axis=1) - no
        won = (yes * (below + no / 2)).sum(axis=1)
        return np.asarray(won / (yes.sum(axis=1) * no.sum(axis=1)))

    return OfWeights(len(score), area)


def spearman(confidence: Array, right: Mask) -> OfWeights:
    """Spearman's correlation of a confidence with right or wrong; not defined where either is constant."""
    tied = _Tied.of(confidence, right)
    area = auroc(confidence, right)

    def correlation(weights: Array) -> Array:
        return np.asarray((2 * area.of(weights) - 1) * _greatest(tied, weights))

    return OfWeights(len(confidence), correlation)


def r_over_rmax(confidence: Array, right: Mask) -> OfWeights:
    """`spearman` by its greatest value for this accuracy and these ties."""
    tied, r = _Tied.of(confidence, right), spearman(confidence, right)
    return OfWeights(len(confidence), lambda weights: np.asarray(r.of(weights) / _greatest(tied, weights)))


def _greatest(tied: _Tied, weights: Array) -> Array:
    yes, no = tied.totals(weights)
    ties = yes + no
    n = ties.sum(axis=1)
    accuracy = yes.sum(axis=1) / n
    tie_share = (ties**3 - ties).sum(axis=1) / (n**3 - n)
    return np.asarray(np.sqrt(3 * accuracy * (1 - accuracy) * n**2 / (n**2 - 1) / (1 - tie_share)))


def ece(confidence: Array, right: Mask, bins: int = BINS) -> OfSums:
    """Expected calibration error."""
    inside = bin_of(confidence, bins)[:, None] == np.arange(bins)
    off = (confidence - right)[:, None] * inside
    return OfSums(
        np.concatenate([off, np.ones((len(right), 1))], axis=1),
        lambda sums: np.abs(sums[..., :-1]).sum(axis=-1) / sums[..., -1],
    )


def brier(confidence: Array, right: Mask) -> OfSums:
    """Mean squared error of a probability (Brier 1950)."""
    return ratio((confidence - right) ** 2)


def aurc(confidence: Array, right: Mask) -> OfWeights:
    """Area under the risk-coverage curve."""
    tied = _Tied.of(-confidence, ~right)  # the most confident first, and what is wrong counts

    def area(weights: Array) -> Array:
        wrong, fine = tied.totals(weights)
        return np.asarray([risks(*row).mean() for row in zip(wrong, fine, strict=True)])

    return OfWeights(len(right), area)


def risks(wrong: Array, fine: Array) -> Array:
    """Share of wrong answers `[n]` among the k = 1..n most confident, of their numbers by confidence, highest first."""
    ties = wrong + fine
    rate = np.divide(wrong, ties, out=np.zeros_like(wrong), where=ties > 0)
    return np.asarray(np.cumsum(np.repeat(rate, ties.astype(np.int64))) / np.arange(1, int(ties.sum()) + 1))


def risk_coverage(confidence: Array, right: Mask) -> tuple[Array, Array]:
    """The curve that `aurc` is the area under: coverage and risk `[n]`."""
    wrong, fine = _Tied.of(-confidence, ~right).totals(np.ones((1, len(right))))
    return np.arange(1, len(right) + 1) / len(right), risks(wrong[0], fine[0])


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram: how many windows, their mean confidence, and how many of them are right."""

    n: int
    confidence: float
    right: int

    @property
    def accuracy(self) -> float:
        """Share of them that is right."""
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy if windows were independent (Wilson 1927): in truth it is wider."""
        z = 1.959964
        centre = (self.right + z * z / 2) / (self.n + z * z)
        half = z / (self.n + z * z) * math.sqrt(self.right * (self.n - self.right) / self.n + z * z / 4)
        return centre - half, centre + half


def reliability(confidence: Array, right: Mask, bins: int = BINS) -> list[Bin]:
    """The bins that `ece` is made of; empty ones left out."""
    inside = bin_of(confidence, bins)
    return [
        Bin(int(rows.sum()), float(confidence[rows].mean()), int(right[rows].sum()))
        for rows in (inside == number for number in range(bins))
        if rows.any()
    ]


def bin_of(confidence: Array, bins: int = BINS) -> NDArray[np.int64]:
    """The bin of each confidence; 1.0 is in the last one."""
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


@dataclass(frozen=True, eq=False)
class _Tied:
    """Windows in ascending order of a score, those of one score together."""

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    positive: Mask

    @classmethod
    def of(cls, score: Array, positive: Mask) -> _Tied:
        order = np.argsort(score, kind="stable")
        sorted_scores = score[order]
        starts = np.flatnonzero(np.concatenate([[True], sorted_scores[1:] != sorted_scores[:-1]]))
        return cls(order, starts, positive[order])

    def totals(self, weights: Array) -> tuple[Array, Array]:
        """How many `[m, scores]` are positive and how many are not, of weights `[m, n]`."""
        ordered = weights[:, self.order]
        yes = np.add.reduceat(ordered * self.positive, self.starts, axis=1)
        return yes, np.add.reduceat(ordered, self.starts, axis=1) - yes
