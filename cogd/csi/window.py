"""The window: a model's input, one strip a node, on frame time, newest last."""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from cogd.csi.input_rules import SUBCARRIERS
from cogd.csi.tones import ToneRule

if TYPE_CHECKING:
    from numpy.typing import NDArray


Columns = Literal["frames", "cell_median"]


class WindowSpec(msgspec.Struct, frozen=True):
    """What a model wants of a window.

    Attributes:
        tones: the rule that picks 56 values out of a frame.
        frames: how many frames a window holds.
        min_gap_s: frames closer than this to the one before are left out, so that a fast node is thinned.
        max_gap_s: a longer silence between two frames empties the window.
        cell_s: where a column is not a frame but the median over a cell of frame time (`cogd.csi.cells`): how long a
            cell is; `frames` then counts columns. None: every column is a frame.
    """

    tones: ToneRule
    frames: int
    min_gap_s: float
    max_gap_s: float
    cell_s: float | None = None

    @property
    def columns(self) -> Columns:
        """What a column is."""
        return "frames" if self.cell_s is None else "cell_median"


class Drop(StrEnum):
    """Why a frame did not enter a window."""

    TOO_SOON = "too_soon"
    OTHER_KIND = "other_kind"


class Reset(StrEnum):
    """Why a window was emptied."""

    GAP = "gap"
    WIDTH = "width_changed"
    RESTART = "restarted"
    FROZEN = "frozen"


class Pushed(msgspec.Struct, frozen=True):
    """What became of a frame that was offered to a window."""

    complete: bool
    dropped: Drop | None = None
    reset: Reset | None = None


_STRIP_WINDOWS = 4
"""How many windows long a strip is: one frame in three windows' worth pays for the copy of the others."""


class Window:
    """The newest frames of one node and one kind.

    Frames are written one behind the other onto a strip, and the window is the strip's end: a view, which nothing that
    comes later changes. Where a strip is full, a new one begins with the newest frames; whoever still holds a view of
    the old one keeps it. A window holds one kind of frame, because kinds differ in gain; it follows the kind that made
    up more than half of the last `frames` arrivals.
    """

    def __init__(self, spec: WindowSpec) -> None:
        self.spec = spec
        self.kind: str | None = None
        self.measured_tones = 0
        self._strip = np.empty((_STRIP_WINDOWS * spec.frames, SUBCARRIERS), dtype=np.float32)
        self._end = 0
        self._times_s: deque[float] = deque(maxlen=spec.frames)
        self._arrivals: deque[str] = deque(maxlen=spec.frames)

    def __len__(self) -> int:
        return len(self._times_s)

    @property
    def complete(self) -> bool:
        """Whether the window holds all the frames that the model wants."""
        return len(self._times_s) == self.spec.frames

    @property
    def span_s(self) -> float:
        """Time between the oldest and the newest frame."""
        return self._times_s[-1] - self._times_s[0] if self._times_s else 0.0

    def view(self) -> NDArray[np.float32]:
        """The complete window, float32 `[56, frames]`, newest last; each frame lies in one piece."""
        return self._strip[self._end - self.spec.frames : self._end].T

    def push(self, values: NDArray[np.float32], kind: str, measured_tones: int, time_s: float) -> Pushed:
        """Offer a frame.

        Args:
            values: float32 `[56]`.
            kind: the frame's kind.
            measured_tones: how many of the values were measured.
            time_s: when the frame was measured; not before the frame offered last.
        """
        reset = None
        if kind != self.kind:
            if self.kind is not None and not self._outnumbered(kind):
                return Pushed(complete=False, dropped=Drop.OTHER_KIND)
            reset = self.clear(Reset.WIDTH)
            self.kind = kind
        self._arrivals.append(kind)
        if self._times_s:
            gap_s = time_s - self._times_s[-1]
            if gap_s > self.spec.max_gap_s:
                reset = self.clear(Reset.GAP)
            elif gap_s < self.spec.min_gap_s:
                return Pushed(complete=False, dropped=Drop.TOO_SOON, reset=reset)
        self._append(values, time_s)
        self.measured_tones = measured_tones
        return Pushed(len(self._times_s) == self.spec.frames, None, reset)

    def _append(self, column: NDArray[np.float32], time_s: float) -> None:
        if self._end == len(self._strip):
            self._begin_strip()
        self._strip[self._end] = column
        self._end += 1
        self._times_s.append(time_s)

    def _begin_strip(self) -> None:
        kept = min(len(self._times_s), self.spec.frames - 1)
        strip = np.empty_like(self._strip)
        strip[:kept] = self._strip[self._end - kept : self._end]
        self._strip, self._end = strip, kept

    def clear(self, reason: Reset) -> Reset | None:
        """Empty the window; the reason comes back if there was anything in it."""
        if not self._times_s:
            return None
        self._times_s.clear()
        return reason

    def _outnumbered(self, challenger: str) -> bool:
        """Note a frame of another kind; True once it holds the majority of the last arrivals."""
        self._arrivals.append(challenger)
        if self._arrivals.count(challenger) * 2 > self.spec.frames:
            self._arrivals.pop()
            return True
        return False
