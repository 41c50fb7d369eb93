"""Which frames of a recording form windows: the rules of `cogd.csi.window.Window`, on whole arrays at once."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from cogd.train.data.cells import in_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.csi.window import WindowSpec
    from cogd.train.data.dataset import Recording, Track

_Label = TypeVar("_Label", np.int64, np.uint8, np.float32)


@dataclass(frozen=True, eq=False)
class Cut:
    """Windows in a recording.

    Attributes:
        kept: int64 `[m]` frames that enter a window, increasing.
        ends: int64 `[n]` where in `kept` each window's newest frame is; its others are the `frames - 1` before.
    """

    kept: NDArray[np.int64]
    ends: NDArray[np.int64]


def cut(
    time_s: NDArray[np.float64],
    kind: NDArray[np.integer],
    segment: NDArray[np.integer],
    spec: WindowSpec,
    stride: int,
) -> Cut:
    """Find the windows of frames that come in this order.

    A run is what a `Window` would hold between two times that it is emptied. It gives a window with its frame number
    `frames`, and one with every `stride`th after that.

    Args:
        time_s: `[n]` when each frame was measured; not decreasing within a segment.
        kind: `[n]` number of each frame's kind.
        segment: `[n]` number of the uninterrupted stretch that each frame belongs to: where it changes, a window is
            emptied.
        spec: length and gaps.
        stride: frames from one window to the next.
    """
    followed, emptied = _runs(kind, segment, spec.frames)
    offered = np.flatnonzero(followed)
    thinned, begins = _thin(time_s[offered], emptied[offered], spec)
    kept = offered[thinned]
    first = np.flatnonzero(begins)
    position = np.arange(len(kept)) - np.repeat(first, np.diff(first, append=len(kept)))
    since = position - (spec.frames - 1)
    return Cut(kept, np.flatnonzero((since >= 0) & (since % stride == 0)))


def _runs(
    kind: NDArray[np.integer], segment: NDArray[np.integer], frames: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which frames are of the kind that the window follows, and how often it was emptied until each, not for a gap."""
    followed, switched = _follow(kind, frames)
    segment_begins = np.diff(segment, prepend=segment[:1]) != 0
    # A window may be emptied by a frame that it then refuses; the next one that it takes begins anew.
    return followed, np.cumsum(switched | segment_begins)


def _follow(kind: NDArray[np.integer], frames: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each frame is of the kind that the window follows, and whether it makes the window follow it.

    The window begins with the first kind and goes over to another with the frame that gives that one more than half of
    the last `frames` arrivals.
    """
    count = len(kind)
    if count == 0 or (kind == kind[0]).all():
        return np.ones(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    majority = np.zeros(count, dtype=np.bool_)
    for value in np.unique(kind):
        mine = kind == value
        seen = np.cumsum(mine)
        recent = seen - np.concatenate([np.zeros(min(frames, count), dtype=seen.dtype), seen[:-frames]])
        majority |= mine & (recent * 2 > frames)
    majority[0] = True
    leader = np.maximum.accumulate(np.where(majority, np.arange(count), 0))
    followed = kind[leader]
    return followed == kind, np.diff(followed, prepend=followed[:1]) != 0


def _thin(
    time_s: NDArray[np.float64], emptied: NDArray[np.int64], spec: WindowSpec
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which frames are far enough from the one before, `[n]`, and which of those begin a run, `[kept]`."""
    gap_s, new = np.diff(time_s), np.diff(emptied) != 0
    if (new | (gap_s >= spec.min_gap_s)).all():
        begins = np.concatenate([np.ones(min(1, len(time_s)), dtype=np.bool_), new | (gap_s > spec.max_gap_s)])
        return np.ones(len(time_s), dtype=np.bool_), begins
    kept = np.zeros(len(time_s), dtype=np.bool_)
    begins_list: list[bool] = []
    last_s, last_emptied = 0.0, -1
    for row, (now_s, now_emptied) in enumerate(zip(time_s.tolist(), emptied.tolist(), strict=True)):
        begins_run = now_emptied != last_emptied or now_s - last_s > spec.max_gap_s
        if begins_run or now_s - last_s >= spec.min_gap_s:
            kept[row] = True
            begins_list.append(begins_run)
            last_s, last_emptied = now_s, now_emptied
    return kept, np.asarray(begins_list, dtype=np.bool_)


def _rows(track: Track, rows: NDArray[np.int64]) -> Track:
    """Some frames of a track."""
    if len(rows) == len(track):
        return track
    columns: dict[str, Any] = {
        field.name: value[rows]
        for field in fields(track)
        if isinstance(value := getattr(track, field.name), np.ndarray)
    }
    return replace(track, **columns)


class TrackWindows:
    """The windows of one recording, before they are copied out of its track."""

    def __init__(self, recording: Recording, track: Track, spec: WindowSpec, stride: int) -> None:
        self.recording, self._frames = recording, spec.frames
        usable = np.flatnonzero(np.isfinite(track.amplitude).all(axis=1))
        self._first_takes_s = spec.cell_s or 0.0
        if spec.cell_s is not None:
            followed, run = _runs(track.kind[usable], track.segment[usable], spec.frames)
            track = in_cells(_rows(track, usable), followed, run, spec.cell_s, spec.max_gap_s)
            usable = np.arange(len(track))
        self._track = track
        found = cut(track.time_s[usable], track.kind[usable], track.segment[usable], spec, stride)
        self._kept, self._ends = usable[found.kept], found.ends
        self.moving, self.one_label = self._agreed()

    def __len__(self) -> int:
        return len(self._ends)

    def _agreed(self) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
        """What all frames of each window agree on about motion, and whether they do; -1 where they don't."""
        if self._track.moving is None:
            return np.full(len(self), -1, dtype=np.int8), np.ones(len(self), dtype=np.bool_)
        moving = self._track.moving[self._kept]
        changes = np.cumsum(np.diff(moving, prepend=moving[:1]) != 0)
        one_label = changes[self._ends] == changes[self._ends - (self._frames - 1)]
        return np.where(one_label, moving[self._ends], -1).astype(np.int8), one_label

    def leave_transitions_out(self) -> None:
        """Take the windows away in which `moving` changes."""
        self._ends, self.moving = self._ends[self.one_label], self.moving[self.one_label]

    @property
    def start_s(self) -> NDArray[np.float64]:
        """Time of each window's oldest frame, or at which its oldest cell began."""
        return self._track.time_s[self._kept[self._ends - (self._frames - 1)]] - self._first_takes_s

    @property
    def end_s(self) -> NDArray[np.float64]:
        """Time of each window's newest frame, or at which its newest cell ended."""
        return self._track.time_s[self._kept[self._ends]]

    def newest(self, label: str, missing: NDArray[_Label]) -> NDArray[_Label]:
        """A label of each window's newest frame, or what is said where the track has none."""
        values: NDArray[_Label] | None = getattr(self._track, label)
        return missing if values is None else values[self._kept[self._ends]]

    def keypoints(self) -> NDArray[np.float32]:
        """Keypoints `[n, 17, 2]` of each window's newest frame; NaN where a joint is not labelled."""
        keypoints = self.newest("keypoints", np.full((len(self), 17, 2), np.nan, dtype=np.float32))
        visible = self.newest("visible", np.ones((len(self), 17), dtype=np.uint8))
        return np.where(visible[:, :, None] > 0, keypoints, np.float32(np.nan))

    def fill(self, csi: NDArray[np.float32]) -> None:
        """Copy the windows into `[n, 56, frames]`."""
        if len(self):
            kept = self._track.amplitude[self._kept]
            csi[...] = np.lib.stride_tricks.sliding_window_view(kept, self._frames, axis=0)[
                self._ends - (self._frames - 1)
            ]
