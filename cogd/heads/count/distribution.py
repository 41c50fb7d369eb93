"""One number of persons out of the probabilities of each number, and the range that holds 95 % of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTS: Final = 1_000_000
"""Emitted probabilities are multiples of one in so many parts."""

_MASS = 0.95


def median(probabilities: Sequence[float]) -> int:
    """The class that is off by the least on average: the first one that, with those below it, outweighs those above.

    The median has the least expected absolute error of all answers. Of two classes it is the more probable one, the
    lower one at a tie.
    """
    last = len(probabilities) - 1
    return next(
        (n for n in range(last) if math.fsum(probabilities[: n + 1]) >= math.fsum(probabilities[n + 1 :])), last
    )


def log_odds(probability: float) -> float:
    """Of what is all but sure, those of the last digit of an emitted probability."""
    least = 1 / PARTS
    clipped = min(max(probability, least), 1 - least)
    return math.log(clipped / (1 - clipped))


def p95_range(probabilities: Sequence[float], middle: int) -> tuple[int, int]:
    """Widen from the median, always by the more probable neighbour (the lower one at a tie)."""
    low = high = middle
    mass = probabilities[middle]
    while mass < _MASS and (low > 0 or high < len(probabilities) - 1):
        below = probabilities[low - 1] if low > 0 else -1.0
        above = probabilities[high + 1] if high < len(probabilities) - 1 else -1.0
        if below >= above:
            low -= 1
            mass += below
        else:
            high += 1
            mass += above
    return low, high
