"""`paired.jsonl`: windows of CSI beside the keypoints that a camera saw, one JSON object a line.

    {"csi": [flat], "csi_shape": [a, b], "kp": [[x, y] x 17], "conf": 0..1, "n_persons_mode": n,
     "ts_start": ISO 8601, "ts_end": ISO 8601}

The values lie frame after frame in some files and subcarrier after subcarrier in others, and `csi_shape` is wrong in
the files that trained the published cogs. So the layout is read off the values themselves.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
import numpy as np

from cogd.csi.input_rules import SUBCARRIERS
from cogd.errors import TrainError
from cogd.train.data.options import refuse_other_options
from cogd.train.data.track import Dataset, Recording, Timing, Track
from cogd.train.data.windows import DataOrigin, Windows, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_Value = TypeVar("_Value", bound=np.generic)
_CLEAR = 0.8
"""A layout is believed when its within-subcarrier share of the variance is below this share of the other's."""


_FAR_OUTSIDE = 1.5
"""A joint may be a little outside the picture; farther from its middle than this it is in other units."""


_FORM = (
    "a line is an object with csi (56 x frames values), csi_shape, kp (17 x [x, y] in 0..1, or none), conf, "
    "n_persons_mode, ts_start and ts_end"
)


class _Pair(msgspec.Struct):
    csi: list[float]
    csi_shape: tuple[int, int]
    kp: list[tuple[float, float]]
    conf: Annotated[float, msgspec.Meta(ge=0, le=1)]
    n_persons_mode: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    ts_start: str
    ts_end: str


def read_paired(path: Path, licence: str = "not stated") -> Windows:
    """Read a file of pairs; all of it is one session.

    Raises:
        TrainError: the file or a line of it can't be used, or its layout can't be told.
    """
    lines = _read(path)
    frames = _frames(path, lines)
    pairs = list(lines.values())
    with np.errstate(over="ignore"):  # what overflows is not finite, and told so
        flat = np.asarray([pair.csi for pair in pairs], dtype=np.float32)
    if not np.isfinite(flat).all():
        raise TrainError(f"{path} holds amplitudes that are not finite", hint=_FORM)
    csi = _lay_out(path, flat, frames)
    start_s = np.asarray([_unix_s(path, number, pair.ts_start) for number, pair in lines.items()])
    end_s = np.asarray([_unix_s(path, number, pair.ts_end) for number, pair in lines.items()])
    if (end_s < start_s).any():
        raise TrainError(
            f"{path}, line {list(lines)[int((end_s < start_s).argmax())]}: ends before it starts", hint=_FORM
        )
    gap_s = float(np.median((end_s - start_s) / (frames - 1)))
    if not 1e-3 <= gap_s <= 10:
        raise TrainError(f"{path}: windows of {frames} frames span {gap_s * (frames - 1):.3g} s", hint=_FORM)
    order = np.argsort(end_s, kind="stable")
    keypoints = np.full((len(pairs), 17, 2), np.nan, dtype=np.float32)
    for row, (number, pair) in enumerate(lines.items()):
        if len(pair.kp) not in {0, 17}:
            raise TrainError(f"{path}, line {number}: {len(pair.kp)} keypoints, not 17 or none", hint=_FORM)
        if pair.kp:
            keypoints[row] = pair.kp
            if not (abs(keypoints[row] - 0.5) <= _FAR_OUTSIDE).all():
                raise TrainError(
                    f"{path}, line {number}: a keypoint is far outside the picture, which is 0..1", hint=_FORM
                )
    return Windows(
        csi=csi[order],
        keypoints=keypoints[order],
        weight=np.asarray([pair.conf for pair in pairs], dtype=np.float32)[order],
        persons=np.asarray([pair.n_persons_mode for pair in pairs], dtype=np.int64)[order],
        start_s=start_s[order],
        end_s=end_s[order],
        moving=unknown(len(pairs)).astype(np.int8),
        session=np.zeros(len(pairs), dtype=np.int64),
        room=unknown(len(pairs)),
        subject=unknown(len(pairs)),
        node=np.zeros(len(pairs), dtype=np.int64),
        names={"session": (path.name,), "room": (), "subject": ()},
        tones="first56",
        rate_hz=round(1 / gap_s, 3),
        min_gap_s=0.0,
        max_gap_s=round(max(0.5, 3 * gap_s), 3),
        origin=DataOrigin(f"paired recording {path.name}", hashlib.sha256(path.read_bytes()).hexdigest(), licence),
    )


def open_recordings(place: str, options: Mapping[str, str]) -> Dataset:
    """Open a file as a data set: one session, in which every window is a stretch of its own.

    A file tells when its windows begin and end, not when their frames came: these are laid out evenly in between.
    Options: `licence`.

    Raises:
        ConfigError: an option is unknown.
    """
    refuse_other_options("paired", options, ("licence",))
    path = Path(place)
    licence = options.get("licence", "not stated")
    listed = Recording(
        name=path.name,
        session=path.name,
        room=None,
        subject=None,
        chip=None,
        node=0,
        rate_hz=None,
        timing=Timing.DURATION,
        files=(path,),
        load=lambda: _as_track(read_paired(path, licence)),
    )
    return Dataset(f"paired recording {path.name}", licence, "first56", (listed,), path.parent)


def _as_track(windows: Windows) -> Track:
    """The frames of all windows, one window behind the other."""
    count, _, frames = windows.csi.shape

    def each(column: NDArray[_Value]) -> NDArray[_Value]:
        return np.repeat(column, frames, axis=0)

    return Track(
        time_s=np.linspace(windows.start_s, windows.end_s, frames, axis=1).ravel(),
        amplitude=np.ascontiguousarray(windows.csi.transpose(0, 2, 1).reshape(-1, SUBCARRIERS)),
        kind=np.zeros(count * frames, dtype=np.int16),
        kinds=("first56",),
        segment=each(np.arange(count, dtype=np.int32)),
        keypoints=each(windows.keypoints),
        weight=each(windows.weight),
        persons=each(windows.persons),
    )


def frames_first(flat: NDArray[np.float32], frames: int) -> bool | None:
    """Whether windows `[n, frames * 56]` lie frame after frame; False: tone after tone; None: can't be told.

    A subcarrier's amplitude differs far more from its neighbours' than from its own a moment later. So in the right
    layout the variance over time within a subcarrier is a small share of the whole, in the wrong one it is not.
    """

    def within(windows: NDArray[np.float32]) -> float:
        """`[n, frames, 56]`: variance over time within subcarriers, as a share of the whole."""
        total = windows.var(axis=(1, 2)).sum()
        return float(windows.var(axis=1).mean(axis=1).sum() / total) if total > 0 else 1.0

    frame_after_frame = within(flat.reshape(-1, frames, SUBCARRIERS))
    tone_after_tone = within(flat.reshape(-1, SUBCARRIERS, frames).transpose(0, 2, 1))
    if frame_after_frame < _CLEAR * tone_after_tone:
        return True
    if tone_after_tone < _CLEAR * frame_after_frame:
        return False
    return None


def _lay_out(path: Path, flat: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    by_frame = frames_first(flat, frames)
    if by_frame is None:
        raise TrainError(
            f"{path}: the values do not tell whether they lie frame after frame or subcarrier after subcarrier",
            hint="are these amplitudes of a static room? record one where something changes over the subcarriers",
        )
    if by_frame:
        return np.ascontiguousarray(flat.reshape(-1, frames, SUBCARRIERS).transpose(0, 2, 1))
    return flat.reshape(-1, SUBCARRIERS, frames)


def _read(path: Path) -> dict[int, _Pair]:
    """Pairs by the numbers of their lines."""
    decoder = msgspec.json.Decoder(_Pair)
    pairs: dict[int, _Pair] = {}
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        pairs[number] = decoder.decode(line)
                    except (msgspec.DecodeError, UnicodeDecodeError) as error:
                        raise TrainError(f"{path}, line {number}: {error}", hint=_FORM) from error
    except OSError as error:
        raise TrainError(
            f"{path} can't be read: {error.strerror}", hint="name the file: --paired FILE, or data.spec=paired:FILE"
        ) from error
    if not pairs:
        raise TrainError(f"{path} holds no pairs", hint=_FORM)
    return pairs


def _frames(path: Path, lines: dict[int, _Pair]) -> int:
    """Frames of a window; 56 must be one of the two sides in every line."""
    sides = {tuple(sorted(pair.csi_shape)) for pair in lines.values()}
    if len(sides) != 1:
        raise TrainError(f"{path} mixes windows of the shapes {sorted(sides)}", hint=_FORM)
    low, high = sides.pop()
    if SUBCARRIERS not in (low, high):
        raise TrainError(
            f"{path} holds windows of {low} x {high}; one side must be {SUBCARRIERS} subcarriers", hint=_FORM
        )
    frames = low if high == SUBCARRIERS else high
    for number, pair in lines.items():
        if len(pair.csi) != frames * SUBCARRIERS:
            raise TrainError(f"{path}, line {number}: {len(pair.csi)} values, not {frames} x {SUBCARRIERS}", hint=_FORM)
    if frames < 2:
        raise TrainError(f"{path}: a window needs two frames at least", hint=_FORM)
    return frames


def _unix_s(path: Path, number: int, text: str) -> float:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise TrainError(f"{path}, line {number}: {text!r} is not a time in ISO 8601", hint=_FORM) from error
    if time.tzinfo is None:
        raise TrainError(f"{path}, line {number}: {text!r} does not say its time zone", hint="write Z behind UTC times")
    return time.timestamp()
