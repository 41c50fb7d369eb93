"""Whether a run is worse than an earlier one, beyond what either of them differs by in itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import msgspec

from cogd.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cogd.bench.figures import Figure, Result

NOISES = 1.0
"""A change counts from so many times the noise on. The range of five parts is some five standard deviations of the
whole run's figure, and that of a difference of two such figures is 1.4 times as much: this is three to four of them."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One figure, then and now.

    Attributes:
        name: of the figure.
        old: then.
        new: now.
        worse: relative change, positive where it is for the worse.
        noise: the greater of the two runs'.
        allowed: what `worse` may be before it is a regression.
        verdict: `same` within what is allowed, either way.
    """

    name: str
    old: float
    new: float
    worse: float
    noise: float
    allowed: float
    verdict: Literal["better", "same", "regression"]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A run beside an earlier one.

    Attributes:
        date: of the earlier one.
        commit: of the earlier one.
        same_machine: whether machine and versions are the same but for cogd's.
        changes: of every figure that both have.
    """

    date: str
    commit: str | None
    same_machine: bool
    changes: list[Change]

    @property
    def regressions(self) -> list[str]:
        """Names of the figures that are worse."""
        return [change.name for change in self.changes if change.verdict == "regression"]


def compare(result: Result, earlier: Sequence[Result]) -> Comparison:
    """Compare with the last earlier run on the same machine and versions; where there is none, with the last.

    Raises:
        ResultsError: there is no earlier run, or none that has a figure of this one that can be compared.
    """
    comparable = [other for other in earlier if result.compared.keys() & other.compared.keys()]
    if not comparable:
        raise ResultsError("no earlier run has a figure of this one", hint="add one with `cogd bench --append`")
    alike = [other for other in comparable if other.machine.same_as(result.machine)]
    other = (alike or comparable)[-1]
    return Comparison(
        date=other.date,
        commit=other.commit,
        same_machine=bool(alike),
        changes=[
            change(name, other.compared[name], figure)
            for name, figure in result.compared.items()
            if name in other.compared
        ],
    )


def change(name: str, old: Figure, new: Figure) -> Change:
    """What became of a figure.

    Raises:
        ResultsError: it is not above 0, or the noise is no number: nothing can be said of it.
    """
    for figure in (old, new):
        if not (0 < figure.value < math.inf and 0 <= figure.noise < math.inf):
            raise ResultsError(
                f"{name}: {figure.value:g} with a noise of {figure.noise:g} can't be compared",
                hint="measure again: a run without events has no figures",
            )
    noise = max(old.noise, new.noise)
    allowed = max(NOISES * noise, old.least, new.least)
    # As a factor, so that twice as slow and half as fast weigh the same.
    factor = new.value / old.value if new.better == "lower" else old.value / new.value
    verdict: Literal["better", "same", "regression"] = "same"
    if factor - 1 > allowed:
        verdict = "regression"
    elif 1 / factor - 1 > allowed:
        verdict = "better"
    return Change(
        name=name,
        old=old.value,
        new=new.value,
        worse=round(factor - 1, 4),
        noise=noise,
        allowed=round(allowed, 4),
        verdict=verdict,
    )


def table(comparison: Comparison) -> str:
    """For a terminal."""
    where = "the same machine and versions" if comparison.same_machine else "ANOTHER MACHINE OR OTHER VERSIONS"
    lines = [
        f"against {comparison.date}, commit {comparison.commit or 'unknown'}, {where}",
        f"{'ratio to a reference of the same run':36} {'old':>9} {'new':>9} {'worse by':>9} {'allowed':>8}  verdict",
    ]
    lines += [
        f"{item.name:36} {item.old:9.3f} {item.new:9.3f} {item.worse:+9.1%} {item.allowed:8.1%}  {item.verdict}"
        for item in comparison.changes
    ]
    return "\n".join(lines)
