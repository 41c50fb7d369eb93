"""Windows whose columns are cells of frame time: each the median over the frames that fell into it.

A cell is `[i * cell_s, (i + 1) * cell_s)` for a whole number i, so cells depend on the frames' times alone and not on
when a node was first heard. Every frame is divided by its root mean square over the 56 tones; then, tone by tone, the
median over the cell's frames is the column. Single bad frames and steps of the receiver's gain vanish, a fast node
profits from all its frames, and a window spans the same time whatever the rate. A cell without frames repeats the
column before it (zero-order hold).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from cogd.csi.window import Drop, Pushed, Reset, Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.csi.window import WindowSpec

_LEAST_RMS: Final = 1e-6
"""A frame of zeros stays one."""


class CellWindow(Window):
    """The newest cells of one node and one kind.

    A column is known when the first frame of a later cell comes: then the window moves on by one column, or by k after
    k - 1 cells without frames. The rule about kinds is that of `Window`. A frame that was measured before the one
    offered last is left out.

    Raises:
        ValueError: the spec's columns are not cells.
    """

    def __init__(self, spec: WindowSpec) -> None:
        super().__init__(spec)
        if spec.cell_s is None:
            raise ValueError("the columns of this window are no cells")
        self._cell_s = spec.cell_s
        self._cell = 0
        self._open: list[NDArray[np.float32]] = []  # the frames of the newest cell; one at least, unless all is empty
        self._newest_s = -math.inf

    @property
    def span_s(self) -> float:
        """Time from the beginning of the oldest cell to the end of the newest."""
        return len(self) * self._cell_s

    def push(self, values: NDArray[np.float32], kind: str, measured_tones: int, time_s: float) -> Pushed:
        """Offer a frame, as to a `Window`; it is complete where the frame's coming made a column known."""
        reset = None
        if kind != self.kind:
            if self.kind is not None and not self._outnumbered(kind):
                return Pushed(complete=False, dropped=Drop.OTHER_KIND)
            reset = self.clear(Reset.WIDTH)
            self.kind = kind
        self._arrivals.append(kind)
        cell = math.floor(time_s / self._cell_s)
        moved = False
        if self._open:
            gap_s = time_s - self._newest_s
            if gap_s > self.spec.max_gap_s:
                reset = self.clear(Reset.GAP)
            elif gap_s < 0:
                return Pushed(complete=False, dropped=Drop.TOO_SOON, reset=reset)
            elif cell > self._cell:
                self._move(cell - self._cell)
                moved = True
        self._open.append(values)
        self._cell, self._newest_s = cell, time_s
        self.measured_tones = measured_tones
        return Pushed(moved and self.complete, None, reset)

    def clear(self, reason: Reset) -> Reset | None:
        """Empty the window and its newest cell; the reason comes back if there was anything in them."""
        if not self._open:
            return None
        self._open.clear()
        self._times_s.clear()
        return reason

    def _move(self, cells: int) -> None:
        """The newest cell becomes a column, and so does each cell without frames behind it."""
        column = _median_of_unit_frames(np.array(self._open))
        self._open.clear()
        for number in range(max(0, cells - self.spec.frames), cells):
            self._append(column, (self._cell + number + 1) * self._cell_s)


class CellColumns(NamedTuple):
    """A recording's columns, as `CellWindow` makes them.

    Attributes:
        columns: float32 `[M, 56]`.
        end_s: float64 `[M]`, when each column's cell ended; ascending.
        segment: int64 `[M]`, how many silences longer than `max_gap_s` there were before: a window holds columns of
            one segment. Segments too short for a column are counted as well.
    """

    columns: NDArray[np.float32]
    end_s: NDArray[np.float64]
    segment: NDArray[np.int64]


def cell_columns(
    time_s: NDArray[np.float64], amplitude: NDArray[np.float32], cell_s: float, max_gap_s: float
) -> CellColumns:
    """The columns that the frames of one node and one kind give, all at once: for training.

    Args:
        time_s: `[N]`, when each frame was measured, in the order of arrival.
        amplitude: `[N, 56]`.
        cell_s: length of a cell.
        max_gap_s: longest silence that cells without frames are filled over.
    """
    times_s = np.asarray(time_s, dtype=np.float64)
    kept = np.flatnonzero(times_s >= np.maximum.accumulate(times_s))
    times_s = times_s[kept]
    cell = np.floor(times_s / cell_s).astype(np.int64)
    gap = np.diff(times_s, prepend=times_s[:1]) > max_gap_s
    segment = np.cumsum(gap, dtype=np.int64)
    begins = np.flatnonzero((np.diff(cell, prepend=cell[:1] - 1) > 0) | gap)  # the first frame of each cell
    cell, segment = cell[begins], segment[begins]
    # A cell is a column once a frame of a later one came, without such a gap between them.
    known = segment[1:] == segment[:-1]
    moved = np.diff(cell)[known]
    medians = _medians(amplitude, kept, begins)[:-1][known]
    number = np.arange(moved.sum()) - np.repeat(np.cumsum(moved) - moved, moved)
    return CellColumns(
        np.repeat(medians, moved, axis=0),
        (np.repeat(cell[:-1][known], moved) + number + 1) * cell_s,
        np.repeat(segment[:-1][known], moved),
    )


def _medians(amplitude: NDArray[np.float32], kept: NDArray[np.intp], begins: NDArray[np.intp]) -> NDArray[np.float32]:
    """The column of each cell, `[cells, 56]`: cells of the same number of frames together."""
    sizes = np.diff(begins, append=len(kept))
    medians = np.empty((len(begins), amplitude.shape[1]), dtype=np.float32)
    for size in np.unique(sizes):
        cells = np.flatnonzero(sizes == size)
        medians[cells] = _median_of_unit_frames(amplitude[kept[begins[cells, None] + np.arange(size)]])
    return medians


def _median_of_unit_frames(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median, tone by tone, of frames `[..., frames, 56]` that were each divided by their root mean square."""
    power = np.einsum("...ij,...ij->...i", frames, frames) / np.float32(frames.shape[-1])
    unit: NDArray[np.float32] = frames / np.maximum(np.sqrt(power), np.float32(_LEAST_RMS))[..., None]
    unit.sort(axis=-2)
    middle, is_odd = divmod(unit.shape[-2], 2)
    median: NDArray[np.float32] = unit[..., middle, :]
    return median if is_odd else (unit[..., middle - 1, :] + median) * np.float32(0.5)
