"""The nouns of every data set: recordings that load when asked, and tracks of frames with the truth beside them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cogd.errors import TrainError
from cogd.train.data.windows import DataOrigin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from cogd.csi.tones import ToneRule


class Timing(StrEnum):
    """How the times of a recording's frames are known."""

    MEASURED = "measured"
    """Each frame has its own time."""
    DURATION = "duration"
    """Laid out evenly over the recording's measured duration."""
    NOMINAL = "nominal"
    """Laid out evenly at the rate that the data set states; nothing was measured."""


@dataclass(frozen=True, eq=False)
class Track:
    """The frames of one receiver in the order of their arrival, with the truth beside them.

    Attributes:
        time_s: float64 `[n]`.
        amplitude: float32 `[n, 56]` in the receiver's units, memory-mapped where the file allows; a frame that was lost
            is NaN.
        kind: int16 `[n]` number of each frame's kind; kinds differ in gain, and a window holds one of them.
        kinds: the kinds' names.
        segment: int32 `[n]` number of the uninterrupted stretch that a frame belongs to; no window reaches over two.
        phase: float32 `[n, 56]` radians, wrapped as it was recorded; None where there is none.
        keypoints: float32 `[n, 17, 2]` picture coordinates (width = height = 1) of the only person, COCO order, NaN
            where unknown; None where there are none.
        visible: uint8 `[n, 17]` 0 not labelled, 1 labelled but hidden, 2 seen; None where that isn't told.
        keypoints3d: float32 `[n, 17, 3]` metres, Human3.6M order; None where there are none.
        weight: float32 `[n]` how much to believe the keypoints, 0..1; None: fully.
        persons: int64 `[n]` people in the room, -1 unknown; None where never known.
        moving: int8 `[n]` 1 somebody moves, 0 nobody does, -1 unknown; None where never known.
        left_out: how many frames of the file are not in the track, by reason.
    """

    time_s: NDArray[np.float64]
    amplitude: NDArray[np.float32]
    kind: NDArray[np.int16]
    kinds: tuple[str, ...]
    segment: NDArray[np.int32]
    phase: NDArray[np.float32] | None = None
    keypoints: NDArray[np.float32] | None = None
    visible: NDArray[np.uint8] | None = None
    keypoints3d: NDArray[np.float32] | None = None
    weight: NDArray[np.float32] | None = None
    persons: NDArray[np.int64] | None = None
    moving: NDArray[np.int8] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "time_s", "amplitude", "kind", "segment", "phase", "keypoints", "visible", "keypoints3d", "weight", "persons",
        "moving",
    )  # fmt: skip
    """The arrays with a row for each frame."""

    def __len__(self) -> int:
        return len(self.time_s)

    def take(self, rows: NDArray[np.integer]) -> Track:
        """Return the track of these frames, in this order."""
        present = {name: getattr(self, name) for name in self.COLUMNS}
        return replace(self, **{name: values[rows] for name, values in present.items() if values is not None})


@dataclass(frozen=True, eq=False)
class Recording:
    """One receiver's part of a session; nothing is read before `track` is called.

    Attributes:
        name: unique within the data set.
        session: what was recorded in one go; recordings of one session share their clock.
        room: where, or None where that isn't known.
        subject: the only person, or None.
        chip: the receiver's, or None.
        node: number of the receiver within the session.
        rate_hz: frames a second as the data set tells it; None where only the frames' times do.
        timing: how the frames' times are known.
        files: what it is read from; none for a simulation.
        load: reads it.
        setup: what was put up once: recordings of one setup were made on end, in one place, by the same devices. None
            where that isn't known: then a session is one.
    """

    name: str
    session: str
    room: str | None
    subject: str | None
    chip: str | None
    node: int
    rate_hz: float | None
    timing: Timing
    files: tuple[Path, ...]
    load: Callable[[], Track]
    setup: str | None = None

    def track(self) -> Track:
        """Read the frames.

        Raises:
            TrainError: a file is missing or broken; the message names it.
        """
        return self.load()


@dataclass(frozen=True, eq=False)
class Dataset:
    """Recordings of one kind.

    Attributes:
        name: kind and place.
        licence: under which it was published.
        tones: the rule by which the 56 values of its tracks were picked.
        listed: the recordings.
        root: the folder that the files' names are relative to.
        index: files that tell of all recordings together.
    """

    name: str
    licence: str
    tones: ToneRule
    listed: tuple[Recording, ...]
    root: Path
    index: tuple[Path, ...] = ()

    def recordings(self) -> Sequence[Recording]:
        """All of them, in a fixed order."""
        return self.listed

    @cached_property
    def origin(self) -> DataOrigin:
        """Name, licence and digest of the files of its recordings; reads them to the end when first asked.

        A simulation has no files, and its name says it all.
        """
        files = {*self.index, *(path for recording in self.listed for path in recording.files)}
        return DataOrigin(self.name, digest_of_files([*files], self.root) if files else None, self.licence)


def named_after(kind: str, root: Path) -> str:
    """Name of a data set of that kind in a folder, which may well be called after it."""
    return kind if root.name == kind else f"{kind} {root.name}"


def even_times_s(count: int, rate_hz: float) -> NDArray[np.float64]:
    """Times `[count]` of frames that are laid out evenly.

    Each is later by a billionth, so that rounding never puts n frames closer together than n periods: a window's least
    gap of two periods means every second frame, not now the second and now the third.
    """
    return np.arange(count, dtype=np.float64) * ((1 + 1e-9) / rate_hz)


def digest_of_files(files: Sequence[Path], root: Path) -> str:
    """SHA-256 of a file, or over the lines `<sha256>  <path below root>` of several, as `sha256sum` prints them.

    Raises:
        TrainError: one can't be read.
    """
    lines: list[str] = []
    try:
        for path in sorted(files):
            with path.open("rb") as content:
                lines.append(f"{hashlib.file_digest(content, 'sha256').hexdigest()}  {path.relative_to(root)}\n")
    except OSError as error:
        raise TrainError(f"{error.filename} can't be read: {error.strerror}") from error
    if len(lines) == 1:
        return lines[0].split()[0]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
