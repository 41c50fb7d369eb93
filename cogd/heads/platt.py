"""A score and a fitted line make a probability (J. Platt, Probabilistic outputs for support vector machines, 1999)."""

from __future__ import annotations

import math

_MOST = 700.0
"""exp of no more than this is finite."""


class Line:
    """sigmoid(slope * score + offset), fitted on data that trained nothing."""

    __slots__ = ("offset", "slope")

    def __init__(self, slope: float, offset: float) -> None:
        self.slope, self.offset = slope, offset

    def probability(self, score: float, extra: float = 0.0) -> float:
        """Of a finite score, 0..1; `extra` is added to the line."""
        exponent = -(self.slope * score + self.offset + extra)
        return 1 / (1 + math.exp(min(max(exponent, -_MOST), _MOST)))
