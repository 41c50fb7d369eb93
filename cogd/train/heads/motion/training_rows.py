"""Which windows with a label are learnt from: for motion, those in which a node can hear what the label says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.fft import dct

from cogd.train.heads.motion.config import MotionLoss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.train.config import Config
    from cogd.train.data.windows import Windows

    Rows = NDArray[np.int64]

OF_THE_EMPTY_ROOM: Final = 0.95
"""Motion stands out if its spread is above this quantile of the empty room's ..."""
STANDS_OUT_BY: Final = 0.5
"""... by so much of the natural logarithm, a factor of 1.6."""

_SHAPES: Final = slice(1, 9)
_CHUNK: Final = 4096


def training_rows(windows: Windows, rows: Rows, config: Config) -> Rows:
    """Of rows that have a label, those that are learnt from.

    For rows of one data set, or of one run's further data together.

    Somebody may move where a node can't hear it: far from the link, behind a wall. What such a window holds is that of
    an empty room, and to learn from it is to learn that noise is motion. And somebody who stands is called quiet
    though he sways. So where a data set has empty rooms, quiet windows are those of the empty room, and moving ones
    those that stand out of it as the same node hears it; a node that never heard the room empty is left out. Of data
    without empty rooms, and for other heads, all windows are learnt from.
    """
    if not isinstance(config.loss, MotionLoss) or config.loss.learn_from == "all":
        return rows
    moving, empty = windows.moving[rows] == 1, (windows.moving[rows] == 0) & (windows.persons[rows] == 0)
    if not empty.any():
        return rows
    links, spreads = links_of(windows, rows), spread(windows.csi[rows])
    learnt = empty.copy()
    for link in np.unique(links[empty]):
        mine = links == link
        level = np.quantile(spreads[mine & empty], OF_THE_EMPTY_ROOM) + STANDS_OUT_BY
        learnt |= mine & moving & (spreads > level)
    found: Rows = rows[learnt]
    return found


def links_of(windows: Windows, rows: Rows) -> Rows:
    """A number for each row: the same for windows of one node in one room, which is the session where none is told."""
    room = np.where(windows.room[rows] >= 0, windows.room[rows], -1 - windows.session[rows])
    _, links = np.unique(np.stack([room, windows.node[rows]]), axis=1, return_inverse=True)
    return np.asarray(links.ravel(), dtype=np.int64)


def spread(csi: NDArray[np.float32]) -> NDArray[np.float64]:
    """How much windows `[n, 56, frames]` spread over time: natural logarithm, `[n]`.

    Of columns divided by their root mean square, the running median of three; of its first eight cosines over the tones
    (DCT-II, the constant left out) the variances over time, added up.
    """
    spreads = np.empty(len(csi))
    for first in range(0, len(csi), _CHUNK):
        part = csi[first : first + _CHUNK].astype(np.float64)
        columns = part / np.maximum(np.sqrt((part**2).mean(axis=1, keepdims=True)), 1e-6)
        median = np.median(np.stack([columns[:, :, :-2], columns[:, :, 1:-1], columns[:, :, 2:]]), axis=0)
        shapes = dct(median, axis=1, norm="ortho")[:, _SHAPES]
        spreads[first : first + _CHUNK] = np.log(shapes.var(axis=2).sum(axis=1) + 1e-9)
    return spreads
