"""Numbers short enough for an event."""

from __future__ import annotations


def rounded(value: float, parts: int) -> float:
    """A number that is not negative, to the nearest of so many parts of 1: `rounded(0.12345, 1000)` is 0.123.

    As `round`, but halves go up, and in a quarter of the time: `round` asks the number's decimal text.
    """
    return int(value * parts + 0.5) / parts
