"""How a figure is made: there is no way to one without its definition, its sample and its baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cogd.bundle.manifest import Metric
from cogd.train.metrics.bootstrap import Groups, Statistic, interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cogd.bundle.manifest import Better

LEAKY: Final = "LEAKY:"
"""How the name of a split begins, and of each part of it, whose figures prove nothing."""
_DIGITS = 6


@dataclass(frozen=True)
class Definition:
    """What a figure is.

    Attributes:
        name: a word that tells it from every other figure: what it is normalised by is in it.
        text: everything that one must know to compute it again.
        better: which values are better; None: those near the baseline, which is then what they are to be.
        alone: what it is of one joint or class alone, where `text` speaks of several.
    """

    name: str
    text: str
    better: Better | None
    alone: str | None = None

    def of(self, part: str, text: str) -> Definition:
        """The same figure of a joint or a class alone: `name.part`."""
        return replace(self, name=f"{self.name}.{part.replace(' ', '_')}", text=f"{text}: {self.alone or self.text}")


@dataclass(frozen=True, eq=False)
class Sample:
    """The windows that a figure is of.

    Attributes:
        split: which part of which data.
        n: how many.
        groups: what is drawn as a whole for the interval; None: there is no interval.
    """

    split: str
    n: int
    groups: Groups | None = None

    def select(self, rows: NDArray[np.bool_]) -> Sample:
        """Only the windows where `rows` `[n]` holds."""
        groups = self.groups and Groups(self.groups.of[rows], self.groups.unit)
        return replace(self, n=int(rows.sum()), groups=groups)


@dataclass(frozen=True)
class Baseline:
    """What a trivial answer gets on the same windows, and what that answer is."""

    name: str
    value: Statistic | float


def figure(definition: Definition, statistic: Statistic, baseline: Baseline, sample: Sample) -> list[Metric]:
    """One figure; none where it or its baseline is not defined on these windows."""
    value = statistic.value()
    beside = baseline.value if isinstance(baseline.value, float) else baseline.value.value()
    if sample.n == 0 or not (math.isfinite(value) and math.isfinite(beside)):
        return []
    known = interval(statistic, sample.groups)
    return [
        Metric(
            name=definition.name,
            definition=definition.text,
            split=sample.split,
            value=round(value, _DIGITS),
            baseline_name=baseline.name,
            baseline_value=round(beside, _DIGITS),
            n=sample.n,
            better=definition.better,
            low=None if known is None else round(known.low, _DIGITS),
            high=None if known is None else round(known.high, _DIGITS),
            interval=None if known is None else known.text,
        )
    ]


def part_heading(part: str, split: str) -> str:
    """A short name of a part for tables where the split is described once, beside them; a leaky one keeps its mark."""
    if split.startswith(LEAKY):
        return part.replace(split, f"{LEAKY} test part")
    return part.replace(f": {split}", ", the split's test part") if split else part


def beats_baseline(metric: Metric) -> bool | None:
    """Whether a figure is better than its trivial baseline's; None: its definition doesn't say what is better."""
    if metric.better is None:
        return None
    if metric.better == "lower":
        return metric.value < metric.baseline_value
    return metric.value > metric.baseline_value


def verdict(metric: Metric) -> str:
    """How a figure compares with its baseline: `better`, `better, not beyond doubt`, `NOT BETTER` or `not said`.

    Beyond doubt is what has an interval, and the whole of it on the better side of the baseline's value.
    """
    beats = beats_baseline(metric)
    if beats is None:
        return "not said"
    if not beats:
        return "NOT BETTER"
    if metric.low is None or metric.high is None:
        return "better, not beyond doubt"
    beyond = metric.high < metric.baseline_value if metric.better == "lower" else metric.low > metric.baseline_value
    return "better" if beyond else "better, not beyond doubt"
