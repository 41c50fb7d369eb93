"""A beat that does not drift: its times are `start_s + n * period_s`, however long what is done on it takes."""

from __future__ import annotations

import math


class Beat:
    """Counts beats from `start_s`; the first is one period later."""

    def __init__(self, start_s: float, period_s: float) -> None:
        self._start_s = start_s
        self._period_s = period_s
        self._n = 0

    def next(self, now_s: float) -> tuple[float, int]:
        """Go on to the next beat after `now_s`; returns the seconds until it and how many were missed."""
        due = self._n + 1
        self._n = max(due, math.floor((now_s - self._start_s) / self._period_s) + 1)
        return max(0.0, self._start_s + self._n * self._period_s - now_s), self._n - due
