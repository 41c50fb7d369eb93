"""The canary: whether a new version of an app gives as many events as the one before, and as fast as it must.

Pure: told times and counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SHARE: Final = 0.9
"""Of the events that the version before would have given, so many must come."""

SILENCE_S: Final = 1.0
"""A longer silence between two windows counts for no more than this: nothing is proven by waiting."""


SLOWDOWN: Final = 2.0
"""Slower than the version before by this factor is too slow, where the tick is missed too."""


@dataclass(frozen=True)
class Pace:
    """How long batches take.

    Attributes:
        tick_s: what there is time for.
        new_s: what the new version takes; None where it has inferred nothing yet.
        old_s: what the version before takes, likewise.
    """

    tick_s: float
    new_s: float | None
    old_s: float | None

    @property
    def too_slow(self) -> str | None:
        """Why the new version is too slow, if it is."""
        new_s, old_s = self.new_s, self.old_s
        if new_s is None or new_s <= self.tick_s or (old_s is not None and new_s <= SLOWDOWN * old_s):
            return None
        before = f"the version before {old_s * 1e3:.3g} ms" if old_s is not None else "the version before had none yet"
        return f"its batches take {new_s * 1e3:.3g} ms, where the tick is {self.tick_s * 1e3:g} ms and {before}"


class Verdict(StrEnum):
    """What is known of a new version."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    FAILED = "failed"


class Canary:
    """Watches one new version, first while its windows fill, then while it serves.

    Its clock runs only while windows of the old version's shape become complete, from the first of them on.

    Args:
        canary_s: how long it is watched once it serves.
        old_rate_hz: nominal frame rate of the old version's input.
        new_rate_hz: that of the new one's; where it is lower, fewer events are expected.
        fill_s: how long its windows may take to fill, where that is longer than `canary_s`.

    Attributes:
        verdict: the last one; once it is not pending it stands.
        reason: why it failed; empty otherwise.
    """

    def __init__(self, canary_s: float, old_rate_hz: float, new_rate_hz: float, fill_s: float = 0.0) -> None:
        self.verdict = Verdict.PENDING
        self.reason = ""
        self._canary_s, self._limit_s = canary_s, max(canary_s, fill_s)
        self._expected_share = min(1.0, new_rate_hz / old_rate_hz)
        self._serves = False
        self._windows = 0
        self._watched_s = 0.0
        self._last_s: float | None = None

    def serves(self) -> None:
        """From now on the new version serves: the clock and the counts begin anew."""
        self._serves, self._limit_s = True, self._canary_s
        self._windows, self._watched_s, self._last_s = 0, 0.0, None

    def observe(
        self, now_s: float, windows: int, events: int, failure: str | None = None, pace: Pace | None = None
    ) -> Verdict:
        """Take note of the counts since the phase began.

        Args:
            now_s: on a clock that never goes back.
            windows: complete windows of the old version's shape; while the new one serves, those of its frames alone.
            events: that the new version gave; 0 while its windows fill.
            failure: why the new version could not infer a window, if there was one that it could not.
            pace: how long batches take now, where that is to count.
        """
        if self.verdict is not Verdict.PENDING:
            return self.verdict
        if failure is not None:
            return self._fail(failure)
        if windows == self._windows:
            return self.verdict
        if self._last_s is not None:
            self._watched_s += min(now_s - self._last_s, SILENCE_S)
        self._windows, self._last_s = windows, now_s
        if self._watched_s >= self._limit_s:
            self._judge(windows, events, pace.too_slow if pace is not None else None)
        return self.verdict

    def _judge(self, windows: int, events: int, too_slow: str | None) -> None:
        expected, within = windows * self._expected_share, f"within {self._limit_s:g} s"
        if not self._serves:
            self._fail(f"its windows did not fill {within}, while those of the version before were complete")
        elif events < SHARE * expected:
            self._fail(f"{events} events {within}, where the version before would have given {expected:.0f}")
        elif too_slow is not None:
            self._fail(too_slow)
        else:
            self.verdict = Verdict.CONFIRMED

    def _fail(self, reason: str) -> Verdict:
        self.verdict, self.reason = Verdict.FAILED, reason
        return self.verdict
