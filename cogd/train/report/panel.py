"""A picture of a report's page, and the one that every head with classes has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cogd.train.report import plots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.figure import SubFigure

    from cogd.train.predictions import Predictions


@dataclass(frozen=True)
class Panel:
    """A picture: its title, how much of the width it takes (1 or 2 halves), its height, and what draws it."""

    title: str
    halves: int
    height_in: float
    draw: Callable[[SubFigure], None]


def confusion_panel(predictions: Predictions, class_name: Callable[[int, Sequence[str]], str]) -> Panel:
    """Return the table of confusion; `class_name` gives a class's name by its number and the labels."""
    return Panel("Confusion", 1, 3.6, partial(plots.confusion, predictions=predictions, class_name=class_name))
