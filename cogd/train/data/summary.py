"""What is in a data set, counted and measured; nothing of it is taken from what the data set says about itself."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypedDict

import msgspec
import numpy as np

from cogd.train.data.cut import TrackWindows
from cogd.train.data.track import Timing

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cogd.csi.window import WindowSpec
    from cogd.train.data.track import Dataset, Recording, Track


class RecordingSummary(msgspec.Struct, frozen=True):
    """One receiver's part of a session.

    Attributes:
        name: of the recording.
        session: of the session.
        room: None where it isn't told; so are the next two.
        subject: the only person.
        chip: the receiver's.
        node: number of the receiver within the session.
        timing: how frame times are known: `measured`, `duration` (even, over a measured duration) or `nominal` (even,
            at a rate that nobody measured).
        frames: in the track.
        seconds: from the first frame to the last.
        rate_hz: frames a second over all that time; None for fewer than two frames or a nominal rate.
        stated_rate_hz: what the data set says.
        median_gap_ms: between two frames; None as above.
        longest_gap_s: between two frames.
        gaps: how many gaps are longer than a window may have.
        segments: uninterrupted stretches.
        kinds: frames of each layout.
        nan_frames: frames with a missing value.
        zero_share: of all values, those that are exactly zero.
        dead_tones: tones that are zero in every frame.
        repeated_frames: frames with the very values of the one before.
        left_out: frames of the file that are not in the track, by reason.
        windows: how many there are.
        moving: windows by motion: `moving`, `quiet`, `changing` (both, or unknown for a while), `unknown`.
        persons: windows by number of persons at their end; `unknown`.
        keypoint_windows: windows with keypoints at their end.
        mean_amplitude: over all frames and tones.
    """

    name: str
    session: str
    room: str | None
    subject: str | None
    chip: str | None
    node: int
    timing: str
    frames: int
    seconds: float
    rate_hz: float | None
    stated_rate_hz: float | None
    median_gap_ms: float | None
    longest_gap_s: float | None
    gaps: int
    segments: int
    kinds: dict[str, int]
    nan_frames: int
    zero_share: float
    dead_tones: int
    repeated_frames: int
    left_out: dict[str, int]
    windows: int
    moving: dict[str, int]
    persons: dict[str, int]
    keypoint_windows: int
    mean_amplitude: float | None


class _Values(TypedDict):
    nan_frames: int
    zero_share: float
    dead_tones: int
    repeated_frames: int
    mean_amplitude: float | None


class WindowsCut(msgspec.Struct, frozen=True):
    """How the windows that were counted are cut."""

    frames: int
    stride: int
    min_gap_s: float
    max_gap_s: float


class Summary(msgspec.Struct, frozen=True):
    """A data set.

    Attributes:
        name: kind and place.
        licence: under which it was published.
        sha256: digest of its files; None for a simulation.
        tones: the rule by which the 56 values were picked.
        cut: how the windows that were counted are cut.
        recordings: one by one.
    """

    name: str
    licence: str
    sha256: str | None
    tones: str
    cut: WindowsCut
    recordings: tuple[RecordingSummary, ...]


def summarise(
    dataset: Dataset, spec: WindowSpec, stride: int, progress: Callable[[int, int], None] | None = None
) -> Summary:
    """Read every recording once and count.

    Raises:
        TrainError: a recording is broken.
    """
    recordings: list[RecordingSummary] = []
    for done, recording in enumerate(dataset.recordings(), 1):
        recordings.append(_summarise(recording, recording.track(), spec, stride))
        if progress is not None:
            progress(done, len(dataset.recordings()))
    cut = WindowsCut(spec.frames, stride, spec.min_gap_s, spec.max_gap_s)
    origin = dataset.origin
    return Summary(origin.name, origin.licence, origin.sha256, dataset.tones, cut, tuple(recordings))


def _summarise(recording: Recording, track: Track, spec: WindowSpec, stride: int) -> RecordingSummary:
    windows = TrackWindows(recording, track, spec, stride)
    seconds = float(track.time_s[-1] - track.time_s[0]) if len(track) else 0.0
    inside = np.diff(track.segment) == 0
    gaps_s = np.diff(track.time_s)[inside]
    told = len(gaps_s) > 0 and recording.timing is not Timing.NOMINAL
    return RecordingSummary(
        name=recording.name,
        session=recording.session,
        room=recording.room,
        subject=recording.subject,
        chip=recording.chip,
        node=recording.node,
        timing=recording.timing.value,
        frames=len(track),
        seconds=round(seconds, 3),
        rate_hz=round(len(gaps_s) / float(gaps_s.sum()), 2) if told and gaps_s.sum() > 0 else None,
        stated_rate_hz=recording.rate_hz,
        median_gap_ms=round(1000 * float(np.median(gaps_s)), 3) if told else None,
        longest_gap_s=round(float(gaps_s.max()), 3) if told else None,
        gaps=int((gaps_s > spec.max_gap_s).sum()),
        segments=len(np.unique(track.segment)),
        kinds={name: int(count) for name, count in zip(track.kinds, np.bincount(track.kind), strict=False)},
        **_values(track.amplitude),
        left_out=dict(track.left_out),
        windows=len(windows),
        moving=_by_motion(windows),
        persons=_by_persons(windows),
        keypoint_windows=int(np.isfinite(windows.keypoints()).all(axis=(1, 2)).sum()),
    )


def _values(amplitude: NDArray[np.float32]) -> _Values:
    finite = np.isfinite(amplitude).all(axis=1)
    known = amplitude[finite]
    return {
        "nan_frames": int((~finite).sum()),
        "zero_share": round(float((known == 0).mean()), 6) if len(known) else 0.0,
        "dead_tones": int((known == 0).all(axis=0).sum()) if len(known) else 0,
        "repeated_frames": int((known[1:] == known[:-1]).all(axis=1).sum()),
        "mean_amplitude": round(float(known.mean(dtype=np.float64)), 4) if len(known) else None,
    }


def _by_motion(windows: TrackWindows) -> dict[str, int]:
    names = {1: "moving", 0: "quiet"}
    counted = Counter(names.get(value, "unknown") for value in windows.moving.tolist())
    changing = int((~windows.one_label).sum())
    counted["changing"] += changing
    counted["unknown"] -= changing
    return {name: count for name, count in counted.items() if count}


def _by_persons(windows: TrackWindows) -> dict[str, int]:
    persons = windows.newest("persons", np.full(len(windows), -1, dtype=np.int64))
    counted = Counter(persons.tolist())
    return {"unknown" if number < 0 else str(number): count for number, count in sorted(counted.items())}
