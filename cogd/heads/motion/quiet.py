"""The motion head's lines, and its rule for a quiet room."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cogd.heads.platt import Line

MOVING_SHARE: Final = 0.1
"""Of scores measured against their own median, so many at most may be moving where the room is said to be quiet ..."""

ONE_MOMENT: Final = 20
"""... or as many as hold one and the same moment, which a single disturbance of the radio makes stand out ..."""

MOST_SHARE: Final = 0.25
"""... but never more than this."""

SURELY_MOVING: Final = 0.65
"""Where half of the windows are moving with this probability without any baseline, something moves all the time: the
scores' own median, which is as high, would hide it. A half would refuse noisy links, which need a baseline most."""


class MotionLines:
    """The probability that something moves, of a window's score and its node's baseline.

    Args:
        alone: the line for a node without a baseline.
        above_baseline: the line of the score above the baseline.
        share: the part of the baseline that is subtracted, 0 to 1.
    """

    def __init__(self, alone: Line, above_baseline: Line, share: float) -> None:
        self._alone, self._above_baseline, self._share = alone, above_baseline, share

    def probability(self, score: float, baseline: float | None) -> float:
        """The probability, 0 to 1; `baseline` is the node's, or None."""
        if baseline is None:
            return self._alone.probability(score)
        return self._above_baseline.probability(score - self._share * baseline)


class QuietRoom:
    """Implements `cogd.heads.base.QuietRule`: refuses a baseline that would call its room moving, or hide it."""

    def __init__(self, lines: MotionLines) -> None:
        self._lines = lines

    def why_not(self, scores: Sequence[float]) -> str | None:
        """Why the room of these scores was not quiet; None: it was."""
        median = statistics.median(scores)
        moving = sum(self._lines.probability(score, median) >= 0.5 for score in scores)
        if moving > min(max(MOVING_SHARE * len(scores), ONE_MOMENT), MOST_SHARE * len(scores)):
            return f"something moved: {moving} of {len(scores)} windows stand out from the others"
        probability = self._lines.probability(median, None)
        if probability >= SURELY_MOVING:
            return f"something moves: half of the windows are moving with a probability of {probability:.2f} or more"
        return None
