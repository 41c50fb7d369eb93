"""Gates: what a model must reach before it is relied on, and whether it does.

A gate is of a figure that was measured under the gate's condition. Where the condition does not hold nothing is known
about it, and it is said why; a gate that is not met stands in every report all the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec
import numpy as np

from cogd.train.heads.registry import trainer_of
from cogd.train.metrics.confidence import AUROC, ECE, R_OVER_RMAX
from cogd.train.metrics.figure import part_heading

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from cogd.bundle.manifest import DataSource, Metric
    from cogd.train.heads.base import Bar
    from cogd.train.predictions import Predictions

SIMULATED: Final = "simulated room "
_NAMED = re.compile(r"cogd simulator: rooms (?:(\d+) to (\d+)|\[([\d, ]+)\])")


_OF_CONFIDENCE: Final = frozenset({AUROC.name, ECE.name, R_OVER_RMAX.name})


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One gate.

    Attributes:
        gate: the name of its figure, and under which condition that must be measured.
        bar: what the figure must be.
        figure: what it is; None where it was not measured so.
        low: lower end of the figure's interval, None where there is none.
        high: the upper end.
        interval: how that was made.
        met: whether the figure is as it must be; its interval may reach beyond the bar all the same.
        part: of which part of the data the figure is.
        why: it was not measured, else None.
    """

    gate: str
    bar: str
    figure: float | None
    low: float | None
    high: float | None
    interval: str | None
    met: Literal["met", "not met", "not measured"]
    part: str
    why: str | None


def gates(parts: Sequence[Predictions], metrics: Sequence[Metric], trained_rooms: Collection[str] | None) -> list[Gate]:
    """Every gate of the head, on every part that fulfils its condition.

    If none does they are there once, not measured, of the part that comes closest: the one whose reason is the last
    in the order in which the condition is looked at.

    Args:
        parts: what was said, beside the truth.
        metrics: the figures of these parts as wholes.
        trained_rooms: names of the rooms that trained; None: they are not known.
    """
    found = [(part, _unfit(part, trained_rooms)) for part in parts]
    lacking = [(part, unfit) for part, unfit in found if unfit is not None]
    if len(lacking) < len(found):
        return [
            _judge(bar, part, metrics)
            for part, unfit in found
            if unfit is None
            for bar in trainer_of(part.head).scoring.bars
        ]
    closest, unfit = max(lacking, key=lambda one: one[1].fulfilled)  # the first of several
    return [_gate(bar, closest, None, unfit.why) for bar in trainer_of(closest.head).scoring.bars]


def _judge(bar: Bar, part: Predictions, metrics: Sequence[Metric]) -> Gate:
    metric = next((one for one in metrics if one.name == bar.figure and one.split == part.part), None)
    if metric is not None:
        return _gate(bar, part, metric, None)
    lacking = bar.figure in _OF_CONFIDENCE and part.confidence is None
    return _gate(bar, part, None, "the model has no confidence" if lacking else "it is not defined on these windows")


def _gate(bar: Bar, part: Predictions, known: Metric | None, why: str | None) -> Gate:
    return Gate(
        gate=f"{bar.figure} {trainer_of(part.head).scoring.condition}",
        bar=bar.text(known),
        figure=None if known is None else known.value,
        low=None if known is None else known.low,
        high=None if known is None else known.high,
        interval=None if known is None else known.interval,
        met="not measured" if known is None else "met" if bar.met(known) else "not met",
        part=part.part,
        why=why,
    )


class _Unfit(NamedTuple):
    """A part that is not what the head's gates are about: how many of their conditions it fulfils, and not the next."""

    fulfilled: int
    why: str


def _unfit(part: Predictions, trained_rooms: Collection[str] | None) -> _Unfit | None:
    """What speaks against a part; None: nothing does."""
    for number, why in enumerate(_objections(part, trained_rooms)):
        if why is not None:
            return _Unfit(number, why)
    return None


def _objections(part: Predictions, trained_rooms: Collection[str] | None) -> Iterator[str | None]:
    """Of each condition why the part does not fulfil it, or None; each takes those before for fulfilled."""
    yield "the split is leaky" if part.leaky else None
    yield "the data don't tell their rooms" if (part.room < 0).any() else None
    yield "which rooms trained is not known" if trained_rooms is None else None
    rooms = {part.names["room"][number] for number in np.unique(part.room)}
    yield None if rooms.isdisjoint(trained_rooms or ()) else "windows of the same rooms trained"
    yield from trainer_of(part.head).scoring.objections(part, rooms)


def rooms_that_trained(sources: Sequence[DataSource]) -> frozenset[str] | None:
    """Names of the rooms that a bundle's data name; None where some of them are recorded, and don't tell theirs."""
    if any(source.sha256 is not None or _NAMED.search(source.name) is None for source in sources):
        return None
    return named_rooms(sources)


def named_rooms(sources: Iterable[DataSource]) -> frozenset[str]:
    """Names of those rooms that a bundle's data name, whatever else there is in them."""
    rooms: set[str] = set()
    for match in (match for source in sources for match in _NAMED.finditer(source.name)):
        first, last, listed = match.groups()
        numbers = map(int, listed.split(",")) if listed else range(int(first), int(last) + 1)
        rooms |= {f"{SIMULATED}{number}" for number in numbers}
    return frozenset(rooms)


def gate_lines(found: Sequence[Gate], split: str) -> list[str]:
    """The table, for people at a terminal; nothing where the head has no gates.

    Args:
        found: the gates.
        split: which is described elsewhere, and so not in the parts' names.
    """
    lines: list[str] = []
    for part in dict.fromkeys(gate.part for gate in found):
        mine = [gate for gate in found if gate.part == part]
        width = max(len(gate.gate) for gate in mine)
        lines += [
            f"gates on {part_heading(part, split)}",
            f"  {'gate':{width}}  {'bar':>8} {'figure':>9} {'interval':>17}  met",
        ]
        for gate in mine:
            figure, between = numbers_of(gate)
            said = gate.met if gate.why is None else f"{gate.met}: {gate.why}"
            lines.append(f"  {gate.gate:{width}}  {gate.bar:>8} {figure:>9} {between:>17}  {said}")
        lines.append("")
    return lines


def numbers_of(gate: Gate) -> tuple[str, str]:
    """Figure and interval as text."""
    figure = "-" if gate.figure is None else f"{gate.figure:.4f}"
    between = "-" if gate.low is None or gate.high is None else f"{gate.low:.4f} - {gate.high:.4f}"
    return figure, between
