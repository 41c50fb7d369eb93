"""Frames of any source as tracks, by the daemon's link and tone rules: what it would drop, a track does not hold."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from cogd.csi.frame import Frame, Origin
from cogd.csi.input_rules import SUBCARRIERS
from cogd.csi.link import Link, LinkState, Order
from cogd.csi.tones import select_tones
from cogd.errors import ToneError
from cogd.train.data.track import Track

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from cogd.csi.tones import ToneRule


class TrackBuilder:
    """Takes one receiver's frames in the order of their arrival."""

    def __init__(self, rule: ToneRule = "ht56") -> None:
        self._rule = rule
        self._link = Link()
        self._times_s: list[float] = []
        self._values: list[NDArray[np.float32]] = []
        self._kinds: dict[str, int] = {}
        self._kind: list[int] = []
        self._segment: list[int] = []
        self._segments = 0
        self._left_out: Counter[str] = Counter()

    def add(self, frame: Frame) -> None:
        """Take a frame, or count why it is left out."""
        order = self._link.observe(frame).order
        if order in {Order.DUPLICATE, Order.LATE}:
            self._left_out[order.value] += 1
            return
        if order is Order.RESTARTED:
            self._segments += 1
        if self._link.state is LinkState.FROZEN:
            self._left_out["frozen"] += 1
            self._segments += 1
            return
        try:
            tones = select_tones(frame, self._rule)
        except ToneError:
            self._left_out["unknown_layout"] += 1
            return
        self._times_s.append(frame.time_s)
        self._values.append(tones.values)
        self._kind.append(self._kinds.setdefault(tones.kind, len(self._kinds)))
        self._segment.append(self._segments)

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count what did not even become a frame."""
        self._left_out[reason] += count

    def track(self) -> Track:
        """The frames so far."""
        values = np.stack(self._values) if self._values else np.empty((0, SUBCARRIERS))
        return Track(
            time_s=np.asarray(self._times_s, dtype=np.float64),
            amplitude=np.ascontiguousarray(values, dtype=np.float32),
            kind=np.asarray(self._kind, dtype=np.int16),
            kinds=tuple(self._kinds),
            segment=np.asarray(self._segment, dtype=np.int32),
            left_out=dict(self._left_out),
        )


def frame_of_bins(time_s: float, iq: NDArray[np.int8]) -> Frame:
    """A recorded frame of which nothing but time and bins is known: int8 `[bins, 2]`, (imaginary, real)."""
    return Frame("recording/0", time_s, time_s, Origin.REPLAYED, len(iq), iq=iq)


def track_of_bins(time_s: Iterable[float], iq: NDArray[np.int8]) -> Track:
    """One receiver's frames given as int8 `[n, bins, 2]`, each pair (imaginary, real)."""
    builder = TrackBuilder()
    for at_s, pairs in zip(time_s, iq, strict=True):
        builder.add(frame_of_bins(at_s, pairs))
    return builder.track()
