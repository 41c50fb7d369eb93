"""One interface for every kind of data set: recordings that load when asked, with the truth beside their frames."""

from __future__ import annotations

import fnmatch
import hashlib
import importlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property, partial
from itertools import groupby
from typing import TYPE_CHECKING, Literal, Protocol, cast
from urllib.parse import parse_qsl

import numpy as np

from cogd.csi.input_rules import SUBCARRIERS
from cogd.errors import ConfigError, TrainError
from cogd.train.data.cut import TrackWindows
from cogd.train.data.parallel import in_processes
from cogd.train.data.thin import OPTIONS as THIN_OPTIONS
from cogd.train.data.thin import parse_rates, parse_seed, thinned
from cogd.train.data.windows import GROUPS, DataOrigin, Windows, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from cogd.csi.tones import ToneRule
    from cogd.csi.window import WindowSpec

KINDS: Mapping[str, str] = {
    "espectre": "DIR with dataset_info.json and .npz of int8 bins: quiet and moving, by room and chip",
    "geotec": "DIR of .npz with 56 ready amplitudes and an activity for each frame",
    "esp32-csv": "FILE or DIR of CSV as ESP32-CSI-Tool writes them, with and without header",
    "recording": "FILE of raw recorded CSI, one JSON message a line",
    "paired": "FILE of windows beside the keypoints of a camera, one JSON object a line",
    "mmfi": "DIR in MM-Fi's official layout: E01/S01/A01/wifi-csi/frame001.mat",
    "wifi-densepose": "DIR in the layout of wifi-densepose-train: S01/A01/wifi_csi.npy",
    "sim": "the simulator: sim:rooms=2&persons=0,1&minutes=0.5",
}
"""What `open_dataset` reads; each kind is a module of this package."""

_FILTERS = ("session", "room", "subject", "chip")


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

    def __len__(self) -> int:
        return len(self.time_s)


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


class _Reader(Protocol):
    def open_recordings(self, place: str, options: Mapping[str, str]) -> Dataset:
        """Open what is at a place; raises ConfigError for an option that the kind doesn't know."""


def open_dataset(text: str) -> Dataset:
    """Open a data set by its specification, `KIND:PLACE?option=value&...`.

    Every kind takes the options `session`, `room`, `subject` and `chip`: only recordings of these names, separated by
    commas, `*` standing for anything; and `thin`: each recording thinned to these rates in hertz (`all`: as it is),
    where `thin_seed` draws which frames stay. The kind's own options are documented in its module.

    Raises:
        ConfigError: the specification is not one.
        TrainError: there is no such data set, or it is broken.
    """
    kind, colon, rest = text.partition(":")
    if not colon or kind not in KINDS:
        raise ConfigError(f"{text!r} is not a data set", hint="KIND:PLACE, where KIND is one of " + ", ".join(KINDS))
    place, _, query = rest.partition("?") if kind != "sim" else ("", "", rest)
    if kind != "sim" and not place:
        raise ConfigError(f"{text!r} names no place", hint=f"{kind}:{KINDS[kind]}")
    options = dict(parse_qsl(query, keep_blank_values=True))
    filters = {name: tuple(options.pop(name).split(",")) for name in _FILTERS if name in options}
    thin, thin_seed = (options.pop(name, None) for name in THIN_OPTIONS)
    rates_hz = None if thin is None else parse_rates(thin)
    seed = 0 if thin_seed is None else parse_seed(thin_seed)
    if rates_hz is None and thin_seed is not None:
        raise ConfigError("thin_seed goes with thin", hint="such as thin=20&thin_seed=1")
    module = {"esp32-csv": "esp32_csi_tool", "recording": "recorded", "sim": "simulated"}.get(kind, kind)
    reader = cast("_Reader", importlib.import_module(f"cogd.train.data.{module.replace('-', '_')}"))
    dataset = _filtered(reader.open_recordings(place, options), filters)
    return dataset if rates_hz is None else thinned(dataset, rates_hz, seed)


def _filtered(dataset: Dataset, filters: Mapping[str, tuple[str, ...]]) -> Dataset:
    """Only the recordings whose session, room, subject and chip are among those named."""
    listed = dataset.listed
    for name, patterns in filters.items():
        there = dict.fromkeys(str(getattr(recording, name)) for recording in dataset.listed)
        for pattern in patterns:
            if not fnmatch.filter(there, pattern):
                raise TrainError(f"{dataset.name} has no {name} {pattern!r}", hint="it has " + _some(tuple(there)))
        listed = tuple(
            recording
            for recording in listed
            if any(fnmatch.fnmatchcase(str(getattr(recording, name)), pattern) for pattern in patterns)
        )
    if not listed:
        asked = "; ".join(f"{name} {' or '.join(patterns)}" for name, patterns in filters.items())
        raise TrainError(
            f"{dataset.name} has no recording that is all of this: {asked}", hint="leave one of these options out"
        )
    said = "".join(f", {name} {' and '.join(patterns)}" for name, patterns in filters.items())
    return replace(dataset, name=dataset.name + said, listed=listed)


def _some(names: tuple[str, ...]) -> str:
    """A list that fits into a message."""
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def refuse_other_options(kind: str, options: Mapping[str, str], known: Sequence[str] = ()) -> None:
    """Raise ConfigError for an option that a kind doesn't have."""
    for name in options:
        if name not in known:
            raise ConfigError(
                f"{kind} has no option {name!r}", hint="it has " + ", ".join([*known, *_FILTERS, *THIN_OPTIONS])
            )


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
