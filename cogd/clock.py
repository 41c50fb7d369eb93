"""Time: clocks to read and to sleep on, and a beat without drift. Pure code is given times instead."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Protocol


class Clock(Protocol):
    """Where times come from and how to wait; tests pass their own."""

    def unix_s(self) -> float:
        """Seconds since the epoch."""

    def monotonic_s(self) -> float:
        """Seconds that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds of `monotonic_s`."""


class SystemClock:
    """Unix time that only moves when the system's clock was set.

    It is the monotonic clock plus an offset, so that frame times are as even as the monotonic clock is. The offset is
    taken anew when the system's clock is more than `STEP_S` away: a Pi has no clock of its own, and minutes after
    boot its time may jump by years. Windows then begin anew, once.
    """

    STEP_S = 0.5

    def __init__(self) -> None:
        self._offset_s = time.time() - time.monotonic()

    def unix_s(self) -> float:
        """Seconds since the epoch."""
        monotonic_s = time.monotonic()
        offset_s = time.time() - monotonic_s
        if abs(offset_s - self._offset_s) > self.STEP_S:
            self._offset_s = offset_s
        return monotonic_s + self._offset_s

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""
        await asyncio.sleep(seconds)


class Beat:
    """A beat without drift: its times are `start_s + n * period_s`, however long the work on each beat takes.

    The first beat is one period after `start_s`.
    """

    def __init__(self, start_s: float, period_s: float) -> None:
        self._start_s = start_s
        self._period_s = period_s
        self._n = 0

    def next(self, now_s: float) -> tuple[float, int]:
        """Go on to the next beat after `now_s`; returns the seconds until it and how many were missed."""
        due = self._n + 1
        self._n = max(due, math.floor((now_s - self._start_s) / self._period_s) + 1)
        return max(0.0, self._start_s + self._n * self._period_s - now_s), self._n - due
