"""Training data: windows with the truth beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cogd.errors import TrainError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.csi.tones import ToneRule


@dataclass(frozen=True)
class DataOrigin:
    """Where training data came from; it goes into the bundle's provenance.

    Attributes:
        name: what it is, with the parameters that make it again.
        sha256: digest of the file, or None where the name says it all (a simulation).
        licence: under which it was published.
    """

    name: str
    sha256: str | None
    licence: str


@dataclass(frozen=True, eq=False)
class Windows:
    """Labelled windows.

    Attributes:
        csi: float32 `[n, 56, frames]`, newest frame last, receiver's units.
        keypoints: float32 `[n, 17, 2]` picture coordinates of the only person; NaN where there is not exactly one.
        weight: float32 `[n]` how much to believe the keypoints, 0..1.
        persons: int64 `[n]` how many people were there.
        start_s: float64 `[n]` time of the oldest frame.
        end_s: float64 `[n]` time of the newest frame, to which the labels belong.
        session: int64 `[n]` number of the recording; time means nothing across sessions.
        tones: the rule by which the 56 values were picked.
        rate_hz: frames a second, median.
        min_gap_s: the least time between frames of a window.
        max_gap_s: the most.
        origin: where the data came from.
    """

    csi: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    weight: NDArray[np.float32]
    persons: NDArray[np.int64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    session: NDArray[np.int64]
    tones: ToneRule
    rate_hz: float
    min_gap_s: float
    max_gap_s: float
    origin: DataOrigin

    def __len__(self) -> int:
        return len(self.csi)


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of the parts of a data set; no window of one part shares a frame with another part's."""

    name: str
    train: NDArray[np.int64]
    calibration: NDArray[np.int64]
    test: NDArray[np.int64]


def temporal_split(windows: Windows, rows: NDArray[np.int64], *, test: float = 0.2, calibration: float = 0.1) -> Split:
    """Cut each session in time: the first part trains, the next calibrates, the last tests.

    After a cut as much time is left out as the longest window spans, so that no two parts meet.

    Raises:
        TrainError: a part would be empty.
    """
    if len(rows) == 0:
        raise TrainError("no window of the data has a usable label", hint="pose needs windows of exactly one person")
    parts: dict[str, list[NDArray[np.int64]]] = {"train": [], "calibration": [], "test": []}
    for session in np.unique(windows.session[rows]):
        mine = rows[windows.session[rows] == session]
        first, last = windows.start_s[mine].min(), windows.end_s[mine].max()
        to_calibration = last - (last - first) * (test + calibration)
        to_test = last - (last - first) * test
        start_s, end_s = windows.start_s[mine], windows.end_s[mine]
        gap_s = (end_s - start_s).max()
        parts["train"].append(mine[end_s < to_calibration])
        parts["calibration"].append(mine[(start_s >= to_calibration + gap_s) & (end_s < to_test)])
        parts["test"].append(mine[start_s >= to_test + gap_s])
    joined = {name: np.concatenate(pieces) for name, pieces in parts.items()}
    for name, part in joined.items():
        if len(part) == 0:
            raise TrainError(f"the {name} part of the data is empty", hint="record or simulate for longer")
    label = (
        f"temporal, per session: first {1 - test - calibration:.0%} train, next {calibration:.0%} calibrate, "
        f"last {test:.0%} test, a window's time between them left out"
    )
    return Split(label, joined["train"], joined["calibration"], joined["test"])
