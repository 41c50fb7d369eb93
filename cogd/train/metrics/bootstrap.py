"""How far a figure would have been another had other rooms, sessions or minutes been recorded: the bootstrap.

Windows of one room, session or minute resemble each other, so these are drawn as a whole (Davison and Hinkley,
Bootstrap Methods and their Application, 1997, section 3.8). The interval is that of the percentiles (Efron 1981),
expanded because of few groups they are too narrow (Hesterberg, What Teachers Should Know About the Bootstrap, The
American Statistician 69, 2015, section 5.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from scipy.special import ndtr, stdtrit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

RESAMPLES: Final = 1000
LEAST_GROUPS: Final = 5
"""Of fewer there are too few different resamples: of five, 126."""
LEAST_DEFINED: Final = 0.95
"""The share of resamples in which a figure must be defined, or it has no interval."""
PERCENT: Final = 95
_SEED = 20_240_506
_CHUNK = 4_000_000  # weights at a time: 32 MB


class Statistic(Protocol):
    """A figure as a function of how often each window is counted."""

    def value(self) -> float:
        """With each window once; NaN where it is not defined."""

    def resampled(self, group: NDArray[np.int64], draws: Array) -> Array:
        """The figure `[resamples]` where group `g` is drawn `draws[r, g]` times, `group` `[n]` being each window's."""


@dataclass(frozen=True, eq=False)
class OfSums:
    """A function of sums over windows, such as a share or a mean.

    Attributes:
        terms: `[n, k]` what each window adds.
        of: the figure `[...]` of sums `[..., k]`; it may divide by 0.
    """

    terms: Array
    of: Callable[[Array], Array]

    def value(self) -> float:
        """Of all windows."""
        return float(_quietly(self.of, self.terms.sum(axis=0)))

    def resampled(self, group: NDArray[np.int64], draws: Array) -> Array:
        """Sums are added up a group first: this is quick however many windows there are."""
        groups = draws.shape[1]
        sums = [np.bincount(group, weights=column, minlength=groups) for column in self.terms.T]
        return _quietly(self.of, draws @ np.stack(sums, axis=1))


@dataclass(frozen=True, eq=False)
class OfWeights:
    """A figure that depends on an order, such as the area under a curve.

    Attributes:
        n: number of windows.
        of: the figure `[m]` of whole-number weights `[m, n]`.
    """

    n: int
    of: Callable[[Array], Array]

    def value(self) -> float:
        """Of all windows."""
        return float(_quietly(self.of, np.ones((1, self.n)))[0])

    def resampled(self, group: NDArray[np.int64], draws: Array) -> Array:
        """In as many portions as keep the weights small."""
        step = max(1, _CHUNK // max(1, self.n))
        parts = [_quietly(self.of, draws[first : first + step][:, group]) for first in range(0, len(draws), step)]
        return np.concatenate(parts)


def ratio(numerator: NDArray[np.generic], denominator: NDArray[np.generic] | float = 1.0) -> OfSums:
    """Sum over windows of `numerator` `[n]` by the sum of `denominator` `[n]`; of 1 it is the mean."""
    terms = np.stack(np.broadcast_arrays(numerator, denominator), axis=1).astype(np.float64)
    return OfSums(terms, lambda sums: np.divide(sums[..., 0], sums[..., 1]))


@dataclass(frozen=True, eq=False)
class Groups:
    """What is drawn as a whole.

    Attributes:
        of: int64 `[n]` the group of each window.
        unit: what the groups are, in the plural: `rooms`.
    """

    of: NDArray[np.int64]
    unit: str

    @property
    def count(self) -> int:
        """How many there are."""
        return len(np.unique(self.of))


def coarsest(candidates: Iterable[Groups]) -> Groups | None:
    """The first kind of group that there are enough of: the others would tell too little, or promise too much."""
    return next((groups for groups in candidates if groups.count >= LEAST_GROUPS), None)


@dataclass(frozen=True)
class Interval:
    """Between which values a figure lies, and how that was found."""

    low: float
    high: float
    text: str


def interval(statistic: Statistic, groups: Groups | None) -> Interval | None:
    """The percentile interval; None where there are too few groups, or it is undefined in too many resamples."""
    if groups is None:
        return None
    _, group = np.unique(groups.of, return_inverse=True)
    count = int(group.max(initial=-1)) + 1
    if count < LEAST_GROUPS:
        return None
    rng = np.random.default_rng(_SEED)
    draws = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)
    figures = statistic.resampled(group, draws)
    defined = figures[np.isfinite(figures)]
    if len(defined) < LEAST_DEFINED * RESAMPLES:
        return None
    tail = _tail(count)
    low, high = np.quantile(defined, [tail, 1 - tail])
    text = f"{PERCENT} %, expanded percentile bootstrap, {count} {groups.unit} drawn {RESAMPLES} times"
    return Interval(float(low), float(high), text)


def _tail(count: int) -> float:
    """How much of the resamples is beyond each end; for few groups less than 2.5 %, as Student's t has it."""
    quantile = stdtrit(count - 1, 0.5 - PERCENT / 200)
    return float(ndtr(math.sqrt(count / (count - 1)) * quantile))


def _quietly(of: Callable[[Array], Array], given: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return of(given)
