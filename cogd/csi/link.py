"""The link to one node: which frames are new and in order, and whether what arrives can be believed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from cogd.csi.frame import Origin

if TYPE_CHECKING:
    from cogd.csi.frame import Frame


class LinkState(StrEnum):
    """What a node's input is worth."""

    LIVE = "live"
    STALE = "stale"
    FROZEN = "frozen"
    SIMULATED = "simulated"
    ABSENT = "absent"


class Order(StrEnum):
    """Where a frame stands in its node's sequence."""

    NEXT = "next"
    DUPLICATE = "duplicate"
    LATE = "late"
    RESTARTED = "restarted"


@dataclass(frozen=True)
class LinkLimits:
    """When a link changes its state.

    Attributes:
        stale_after_s: no frame for so long: stale.
        absent_after_s: no frame for so long: absent.
        frozen_after: so many frames in a row with the very same bins: frozen. Some radios hand out one buffer for
            ever while their counter goes on.
    """

    stale_after_s: float = 2.0
    absent_after_s: float = 10.0
    frozen_after: int = 10


REORDER_SPAN = 32
"""A sequence number so far behind is a late frame; further behind, the node began anew (it counts from 0 at boot)."""

REORDER_S = 1.0
"""A late frame comes within this time of the one that overtook it; a node that booted was silent for longer."""

MAX_RATE_HZ = 200
"""No node sends faster. A sequence that ran ahead faster than this, by more than REORDER_SPAN, is another's."""

CLOCK_STEP_S = 1.0
"""A frame time so far behind is a clock that was set back (a Pi has none of its own at boot), not a late frame."""


class Observed(msgspec.Struct, frozen=True):
    """What a frame told about its link."""

    order: Order
    lost: int
    changed: LinkState | None


class Link:
    """One node's link, on frame time. Starts absent; it knows no clock."""

    def __init__(self, limits: LinkLimits | None = None) -> None:
        self.limits = limits or LinkLimits()
        self.state = LinkState.ABSENT
        self.last_time_s: float | None = None
        self._last_sequence: int | None = None
        self._last_bins = b""
        self._repeats = 0

    def observe(self, frame: Frame) -> Observed:
        """Take note of a frame and tell its order, how many are missing before it and the state if it changed."""
        values = frame.iq if frame.iq is not None else frame.amplitude
        bins = b"" if values is None else values.tobytes()
        order, lost = self._order(frame, bins)
        if order is Order.DUPLICATE or order is Order.LATE:
            return Observed(order, 0, None)
        self._repeats = self._repeats + 1 if bins == self._last_bins else 0
        self._last_bins = bins
        self._last_sequence = frame.sequence
        self.last_time_s = frame.time_s
        if self._repeats + 1 >= self.limits.frozen_after:
            state = LinkState.FROZEN
        else:
            state = LinkState.SIMULATED if frame.origin is Origin.SIMULATED else LinkState.LIVE
        return Observed(order, lost, self._enter(state))

    def check(self, silence_s: float) -> LinkState | None:
        """Let time pass: nothing has come for `silence_s`. Returns the state if it changed."""
        if self.last_time_s is None:
            return None
        if silence_s >= self.limits.absent_after_s:
            return self._enter(LinkState.ABSENT)
        if silence_s >= self.limits.stale_after_s and self.state is not LinkState.ABSENT:
            return self._enter(LinkState.STALE)
        return None

    def _order(self, frame: Frame, bins: bytes) -> tuple[Order, int]:
        if self.last_time_s is None:
            return Order.NEXT, 0
        behind_s = self.last_time_s - frame.time_s
        if frame.sequence is None or self._last_sequence is None:
            if behind_s == 0 and bins == self._last_bins:
                return Order.DUPLICATE, 0
        else:
            step = (frame.sequence - self._last_sequence + 2**31) % 2**32 - 2**31  # signed distance modulo 2**32
            if step == 0:
                return Order.DUPLICATE, 0
            if -REORDER_SPAN <= step < 0 and -behind_s < REORDER_S:
                return Order.LATE, 0
            if step < 0 or step > REORDER_SPAN + MAX_RATE_HZ * abs(behind_s):
                return Order.RESTARTED, 0
            if behind_s <= CLOCK_STEP_S:
                return Order.NEXT, step - 1
        if behind_s > CLOCK_STEP_S:
            return Order.RESTARTED, 0
        return (Order.LATE if behind_s > 0 else Order.NEXT), 0

    def _enter(self, state: LinkState) -> LinkState | None:
        if state is self.state:
            return None
        self.state = state
        return state
