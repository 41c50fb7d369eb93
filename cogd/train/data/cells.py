"""A recording in cells of frame time: the columns that `cogd.csi.cells` makes of it, as a track of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cogd.csi.cells import CellColumns, cell_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.train.data.dataset import Track

_Label = TypeVar("_Label", np.int64, np.uint8, np.float32)


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
        agreed.append(_agreed(track.moving, own, np.minimum(begins, ends - 1), ends - 1))
    at = np.concatenate([*newest, np.empty(0, dtype=np.int64)])
    whole = np.concatenate([*agreed, np.empty(0, dtype=np.bool_)])

    def label(values: NDArray[_Label] | None) -> NDArray[_Label] | None:
        return None if values is None else values[at]

    return replace(
        track,
        time_s=np.concatenate([*(piece.end_s for piece in pieces), np.empty(0)]),
        amplitude=np.concatenate([*(piece.columns for piece in pieces), np.empty((0, 56), dtype=np.float32)]),
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


def _agreed(
    moving: NDArray[np.int8] | None, rows: NDArray[np.int64], first: NDArray[np.intp], last: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Whether all of the rows from first to last say the same."""
    if moving is None:
        return np.ones(len(last), dtype=np.bool_)
    changes = np.cumsum(np.diff(moving[rows], prepend=moving[rows[:1]]) != 0)
    return np.asarray(changes[first] == changes[last])
