"""Which frames of a recording form windows: the rules of `cogd.csi.window.Window` and `CellWindow`, on whole arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from cogd.csi.cells import CellColumns, cell_columns
from cogd.csi.input_rules import SUBCARRIERS
from cogd.errors import TrainError
from cogd.train.data.parallel import in_processes
from cogd.train.data.windows import GROUPS, Windows, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from cogd.csi.window import WindowSpec
    from cogd.train.data.track import Dataset, Recording, Track

_Label = TypeVar("_Label", np.int64, np.uint8, np.float32)


def cut_windows(
    dataset: Dataset,
    spec: WindowSpec,
    stride: int = 1,
    *,
    transitions: Literal["leave_out", "unknown"] = "leave_out",
    progress: Callable[[int, int], None] | None = None,
    processes: int = 1,
) -> Windows:
    """Every window of a data set, by the daemon's rules: thinned, emptied after a gap, of one kind of frame.

    Keypoints and persons are those of the newest frame. `moving` is what all frames of the window agree on; what
    becomes of windows where they don't is for `transitions` to say.

    Args:
        dataset: what to cut.
        spec: tones, length and gaps.
        stride: frames from one window to the next.
        transitions: `leave_out` takes windows away in which `moving` changes; `unknown` keeps them with -1, for what is
            learnt from the other labels.
        progress: told how many recordings are read, and of how many.
        processes: that read, a session at a time, where there are many sessions.

    Raises:
        TrainError: a recording is broken, or there is not a single window.
    """
    if spec.tones != dataset.tones:
        raise TrainError(f"{dataset.name} has tones by the rule {dataset.tones}, not {spec.tones}")
    if stride < 1:
        raise TrainError(f"a stride of {stride} frames", hint="1 or more")
    recordings = dataset.recordings()
    sessions = [list(group) for _, group in groupby(recordings, key=lambda recording: recording.session)]
    pieces: list[TrackWindows] = []
    for session in _read(sessions, spec, stride, processes, whole=transitions == "leave_out"):
        pieces += session
        if progress is not None:
            progress(len(pieces), len(recordings))
    count = sum(len(piece) for piece in pieces)
    if count == 0:
        raise TrainError(
            f"{dataset.name} has not a single window of {spec.frames} frames",
            hint="the recordings are too short, or pauses between frames are longer than max_gap_s",
        )
    # One large array, filled in place: it is as many times larger than the tracks as windows overlap.
    csi = np.empty((count, SUBCARRIERS, spec.frames), dtype=np.float32)
    row = 0
    for piece in pieces:
        piece.fill(csi[row : row + len(piece)])
        row += len(piece)
    numbers, names = _number([piece.recording for piece in pieces], [len(piece) for piece in pieces])
    start_s = np.concatenate([piece.start_s for piece in pieces])
    end_s = np.concatenate([piece.end_s for piece in pieces])
    return Windows(
        csi=csi,
        keypoints=np.concatenate([piece.keypoints() for piece in pieces]),
        weight=np.concatenate([piece.newest("weight", np.ones(len(piece), np.float32)) for piece in pieces]),
        persons=np.concatenate([piece.newest("persons", unknown(len(piece))) for piece in pieces]),
        moving=np.concatenate([piece.moving for piece in pieces]),
        start_s=start_s,
        end_s=end_s,
        **numbers,
        names=names,
        tones=spec.tones,
        rate_hz=_rate_hz(spec, end_s - start_s),
        min_gap_s=spec.min_gap_s,
        max_gap_s=spec.max_gap_s,
        origin=dataset.origin,
        cell_s=spec.cell_s,
    )


def _rate_hz(spec: WindowSpec, span_s: NDArray[np.float64]) -> float:
    """Columns a second: of cells as many as there are, of frames the median."""
    if spec.cell_s is not None:
        return 1 / spec.cell_s
    return round(float((spec.frames - 1) / np.median(span_s)), 3)


_SESSIONS_EACH = 4
"""A process is worth starting from so many sessions on: it takes a second."""


def _read(
    sessions: Sequence[Sequence[Recording]], spec: WindowSpec, stride: int, processes: int, *, whole: bool
) -> Iterator[list[TrackWindows]]:
    """The windows of each session, read by several processes where that is worth it."""
    cut_session = partial(_cut_session, spec=spec, stride=stride, whole=whole)
    count = min(processes, len(sessions) // _SESSIONS_EACH)
    if count <= 1:
        yield from map(cut_session, sessions)
        return
    yield from in_processes(cut_session, sessions, count, _SESSIONS_EACH)


def _cut_session(session: Sequence[Recording], spec: WindowSpec, stride: int, *, whole: bool) -> list[TrackWindows]:
    pieces = [TrackWindows(recording, recording.track(), spec, stride) for recording in session]
    if whole:
        for piece in pieces:
            piece.leave_transitions_out()
    return pieces


def _number(
    recordings: Sequence[Recording], counts: Sequence[int]
) -> tuple[dict[str, NDArray[np.int64]], dict[str, tuple[str, ...]]]:
    """Columns `session`, `room`, `subject` and `node` for so many windows of each recording, and the numbers' names."""
    columns = {"node": np.repeat(np.asarray([recording.node for recording in recordings], dtype=np.int64), counts)}
    names: dict[str, tuple[str, ...]] = {}
    for group in GROUPS:
        own: list[str | None] = [getattr(recording, group) for recording in recordings]
        names[group] = tuple(dict.fromkeys(name for name in own if name is not None))
        numbers = [-1 if name is None else names[group].index(name) for name in own]
        columns[group] = np.repeat(np.asarray(numbers, dtype=np.int64), counts)
    return columns, names


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


class TrackWindows:
    """The windows of one recording, before they are copied out of its track."""

    def __init__(self, recording: Recording, track: Track, spec: WindowSpec, stride: int) -> None:
        self.recording, self._frames = recording, spec.frames
        usable = np.flatnonzero(np.isfinite(track.amplitude).all(axis=1))
        self._first_takes_s = spec.cell_s or 0.0
        if spec.cell_s is not None:
            followed, run = _runs(track.kind[usable], track.segment[usable], spec.frames)
            track = in_cells(
                track if len(usable) == len(track) else track.take(usable), followed, run, spec.cell_s, spec.max_gap_s
            )
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


def in_cells(
    track: Track, followed: NDArray[np.bool_], run: NDArray[np.int64], cell_s: float, max_gap_s: float
) -> Track:
    """The track whose frames are the columns of a `CellWindow`, each at the time at which its cell ends.

    A column has the labels of the newest frame that it is made of; `moving` is -1 where its frames don't agree.

    Args:
        track: without lost frames.
        followed: bool `[n]`, which frames are of the kind that the window follows.
        run: int64 `[n]`, increasing where a window is emptied, whatever the time between frames.
        cell_s: length of a cell.
        max_gap_s: longest silence that cells without frames are filled over.
    """
    rows = np.flatnonzero(followed)
    pieces: list[CellColumns] = []
    newest: list[NDArray[np.int64]] = []
    agreed: list[NDArray[np.bool_]] = []
    segments = 0
    for first, last in _stretches(run[rows]):
        own = rows[first:last]
        time_s = track.time_s[own]
        columns = cell_columns(time_s, track.amplitude[own], cell_s, max_gap_s)
        pieces.append(columns._replace(segment=columns.segment + segments))
        segments += int(columns.segment[-1]) + 1 if len(columns.segment) else 1
        begins, ends = (np.searchsorted(time_s, columns.end_s - shift) for shift in (cell_s * (1 + 1e-9), 0.0))
        newest.append(own[ends - 1])
        agreed.append(_all_agree(track.moving, own, np.minimum(begins, ends - 1), ends - 1))
    at = np.concatenate([*newest, np.empty(0, dtype=np.int64)])
    whole = np.concatenate([*agreed, np.empty(0, dtype=np.bool_)])

    def label(values: NDArray[_Label] | None) -> NDArray[_Label] | None:
        return None if values is None else values[at]

    return replace(
        track,
        time_s=np.concatenate([*(piece.end_s for piece in pieces), np.empty(0)]),
        amplitude=np.concatenate([*(piece.columns for piece in pieces), np.empty((0, SUBCARRIERS), dtype=np.float32)]),
        kind=np.zeros(len(at), dtype=np.int16),  # the kinds were followed frame by frame; stretches tell them apart
        segment=np.concatenate([*(piece.segment for piece in pieces), np.empty(0, dtype=np.int64)]).astype(np.int32),
        phase=None,
        keypoints=label(track.keypoints),
        visible=label(track.visible),
        keypoints3d=label(track.keypoints3d),
        weight=label(track.weight),
        persons=label(track.persons),
        moving=None if track.moving is None else np.where(whole, track.moving[at], -1).astype(np.int8),
    )


def _stretches(run: NDArray[np.int64]) -> list[tuple[int, int]]:
    """First and end of each stretch of equal numbers."""
    edges = np.flatnonzero(np.diff(run)) + 1
    return list(zip([0, *edges.tolist()], [*edges.tolist(), len(run)], strict=True)) if len(run) else []


def _all_agree(
    moving: NDArray[np.int8] | None, rows: NDArray[np.int64], first: NDArray[np.intp], last: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Whether all of the rows from first to last say the same."""
    if moving is None:
        return np.ones(len(last), dtype=np.bool_)
    changes = np.cumsum(np.diff(moving[rows], prepend=moving[rows[:1]]) != 0)
    return np.asarray(changes[first] == changes[last])
