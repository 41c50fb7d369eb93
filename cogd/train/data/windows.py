"""Training data: windows with the truth beside them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cogd.errors import TrainError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cogd.csi.tones import ToneRule

GROUPS = ("session", "room", "subject")
"""The columns that number groups; `Windows.names` tells the numbers' names."""


@dataclass(frozen=True)
class DataOrigin:
    """Where training data came from; it goes into the bundle's provenance.

    Attributes:
        name: what it is, with the parameters that make it again.
        sha256: digest of the files, or None where the name says it all (a simulation).
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
        persons: int64 `[n]` how many people were there; -1 unknown.
        moving: int8 `[n]` 1 where somebody moved all through the window, 0 where nobody did at any time of it, -1 where
            it is unknown or both happened.
        start_s: float64 `[n]` time of the oldest frame.
        end_s: float64 `[n]` time of the newest frame, to which keypoints and persons belong.
        session: int64 `[n]` number of the recording; time means nothing across sessions.
        room: int64 `[n]` number of the room; -1 unknown.
        subject: int64 `[n]` number of the only person; -1 unknown, or not exactly one.
        node: int64 `[n]` number of the receiver within its session: windows of one session that end in the same moment
            on several nodes belong together.
        names: for each of `session`, `room` and `subject` the names of its numbers.
        tones: the rule by which the 56 values were picked.
        rate_hz: frames a second, median.
        min_gap_s: the least time between frames of a window.
        max_gap_s: the most.
        cell_s: length of a cell where columns are cells of frame time and not frames; None where they are frames.
        origin: where the data came from.
    """

    csi: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    weight: NDArray[np.float32]
    persons: NDArray[np.int64]
    moving: NDArray[np.int8]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    session: NDArray[np.int64]
    room: NDArray[np.int64]
    subject: NDArray[np.int64]
    node: NDArray[np.int64]
    names: Mapping[str, tuple[str, ...]]
    tones: ToneRule
    rate_hz: float
    min_gap_s: float
    max_gap_s: float
    origin: DataOrigin
    cell_s: float | None = None

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "csi", "keypoints", "weight", "persons", "moving", "start_s", "end_s", "session", "room", "subject", "node",
    )  # fmt: skip
    """The arrays with a row for each window."""

    def __post_init__(self) -> None:
        for group in GROUPS:
            numbers: NDArray[np.int64] = getattr(self, group)
            lowest = 0 if group == "session" else -1
            if len(numbers) and not lowest <= numbers.min() <= numbers.max() < len(self.names[group]):
                raise TrainError(f"a window's {group} has a number without a name")

    def __len__(self) -> int:
        return len(self.csi)

    def take(self, rows: NDArray[np.int64]) -> Windows:
        """The windows of these rows, numbers and names unchanged; a copy."""
        return replace(self, **{name: getattr(self, name)[rows] for name in self.COLUMNS})


def unknown(count: int) -> NDArray[np.int64]:
    """A column `[count]` of what isn't known."""
    return np.full(count, -1, dtype=np.int64)


def join(parts: Sequence[Windows]) -> Windows:
    """Windows of several data sets as one: sessions stay apart, rooms and subjects of the same name are the same.

    Raises:
        TrainError: they have windows of other lengths, tones or gaps, or name one session twice.
    """
    first = parts[0]
    if len({(part.csi.shape[2], part.tones, part.min_gap_s, part.max_gap_s, part.cell_s) for part in parts}) > 1:
        raise TrainError("windows of other lengths, tones or gaps can't be trained on together")
    sessions = [name for part in parts for name in part.names["session"]]
    if len(set(sessions)) != len(sessions):
        raise TrainError("two of the data sets have a session of the same name", hint="is one given twice?")
    names = {group: tuple(dict.fromkeys(name for part in parts for name in part.names[group])) for group in GROUPS}

    def joined(column: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, column) for part in parts])

    def renumbered(group: str) -> NDArray[np.int64]:
        columns: list[NDArray[np.int64]] = []
        for part in parts:
            new = [*map(names[group].index, part.names[group]), -1]  # the last is that of -1, unknown
            columns.append(np.asarray(new, dtype=np.int64)[getattr(part, group)])
        return np.concatenate(columns)

    return Windows(
        csi=joined("csi"),
        keypoints=joined("keypoints"),
        weight=joined("weight"),
        persons=joined("persons"),
        moving=joined("moving"),
        start_s=joined("start_s"),
        end_s=joined("end_s"),
        session=renumbered("session"),
        room=renumbered("room"),
        subject=renumbered("subject"),
        node=joined("node"),
        names=names,
        tones=first.tones,
        rate_hz=float(np.median(np.repeat([part.rate_hz for part in parts], [len(part) for part in parts]))),
        min_gap_s=first.min_gap_s,
        max_gap_s=first.max_gap_s,
        cell_s=first.cell_s,
        origin=_join_origins([part.origin for part in parts]),
    )


def _join_origins(origins: Sequence[DataOrigin]) -> DataOrigin:
    if len(origins) == 1:
        return origins[0]
    digests = [origin.sha256 for origin in origins if origin.sha256 is not None]
    return DataOrigin(
        "; ".join(origin.name + (f" (sha256 {origin.sha256})" if origin.sha256 else "") for origin in origins),
        hashlib.sha256("\n".join(digests).encode()).hexdigest() if digests else None,
        "; ".join(dict.fromkeys(origin.licence for origin in origins)),
    )
