"""MM-Fi in its official layout (Yang et al., NeurIPS 2023; https://github.com/ybhbingo/MMFi_dataset).

`DIR/E01/S01/A01/wifi-csi/frame001.mat ... frame297.mat` hold `CSIamp` and `CSIphase`, 3 receive antennas x 114
subcarriers x 10 packets; `ground_truth.npy` beside the folder holds 297 x 17 x 3 metres in Human3.6M's order (its y
points down), and `rgb/frame001.npy` 17 x 2 picture coordinates in COCO's order, seen by a network. Frame k of CSI
belongs to row k - 1.

What is done with them:

* each antenna is a recording of its own, a node: a model of one node's window is trained and used for one antenna;
* 114 subcarriers become 56, by linear interpolation or as the option `resample` says;
* an infinite amplitude is missing; what is missing in a packet becomes the mean of that packet over all antennas and
  subcarriers, as the authors' toolbox does; a packet that is wholly missing stays so. The toolbox then stretches
  every frame to 0..1, which takes the amplitude away: that is not done;
* times are nominal: ten frames a second, ten packets evenly in each;
* each packet has its frame's labels; one person is there.

A file that is missing, empty or broken is an error, unless `?broken=missing` says that its packets are missing then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cogd.csi.input_rules import SUBCARRIERS
from cogd.errors import ConfigError, TrainError
from cogd.train.data import cache, files, resample, subcarriers
from cogd.train.data.mat import mat_arrays
from cogd.train.data.options import refuse_other_options
from cogd.train.data.resample import Resampling, parse_resampling
from cogd.train.data.track import Dataset, Recording, Timing, Track, even_times_s, named_after

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

FRAMES, ANTENNAS, MEASURED, PACKETS = 297, 3, 114, 10
FRAME_RATE_HZ = 10.0
LICENCE = "MM-Fi's terms; see https://github.com/ybhbingo/MMFi_dataset"
_ACTION = re.compile(r"E0[1-4]/S(0[1-9]|[123]\d|40)/A(0[1-9]|1\d|2[0-7])")


@dataclass(frozen=True)
class _Action:
    """One folder `E01/S01/A01`, and how to read it."""

    folder: Path
    picture: tuple[float, float] | None
    broken_is_missing: bool
    resampling: Resampling
    fitted_on: tuple[Path, ...]


def open_recordings(place: str, options: Mapping[str, str]) -> Dataset:
    """Open the folder that holds E01 to E04; a session is one action of one subject.

    Options: `picture`, width x height of the pictures that `rgb` refers to, such as `1920x1080`, where it is in pixels;
    `broken=missing`; `resample` and `fit` (`cogd.train.data.resample`); `cache`, a folder, `on` (the default) or `off`.

    Raises:
        TrainError: there is no action.
    """
    refuse_other_options("mmfi", options, ("picture", "broken", "cache", *resample.OPTIONS))
    if options.get("broken", "missing") != "missing":
        raise ConfigError(f"mmfi: broken={options['broken']}", hint="broken=missing, or leave it out")
    root = Path(place)
    actions = sorted(
        folder for folder in root.glob("E*/S*/A*") if _ACTION.fullmatch(folder.relative_to(root).as_posix())
    )
    if not actions:
        raise TrainError(f"{root} holds no action such as E01/S01/A01", hint="give the folder that holds E01 to E04")
    picture = _picture(options.get("picture"))
    resampling = parse_resampling("mmfi", options)
    sessions = [folder.relative_to(root).as_posix() for folder in actions]
    fitted_on = tuple(root / session for session in resampling.fits(sessions))
    cached = cache.chosen_folder(options.get("cache"), cache.default_folder())
    listed = tuple(
        recording
        for folder in actions
        for recording in _recordings(root, _Action(folder, picture, "broken" in options, resampling, fitted_on), cached)
    )
    return Dataset(named_after("mmfi", root), LICENCE, "ht56", listed, root)


def _picture(option: str | None) -> tuple[float, float] | None:
    if option is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", option)
    if found is None:
        raise ConfigError(f"mmfi: picture={option}", hint="width x height, such as picture=1920x1080")
    return float(found[1]), float(found[2])


def _recordings(root: Path, action: _Action, cached: Path | None) -> list[Recording]:
    folder = action.folder
    session = folder.relative_to(root).as_posix()
    room, subject, _ = session.split("/")
    parts = (folder / "wifi-csi").glob("*.mat"), (folder / "rgb").glob("*.npy"), folder.glob("ground_truth.npy")
    return [
        Recording(
            name=f"{session} antenna {antenna}",
            session=session,
            room=room,
            subject=subject,
            chip=None,
            node=antenna,
            rate_hz=FRAME_RATE_HZ * PACKETS,
            timing=Timing.NOMINAL,
            files=used,
            load=partial(_track, action, used, antenna, cached),
        )
        for used in [tuple(sorted(path for part in parts for path in part))]
        for antenna in range(ANTENNAS)
    ]


def _track(action: _Action, used: tuple[Path, ...], antenna: int, cached: Path | None) -> Track:
    if cached is None:
        return _decode(action, _stamp(used))[antenna]
    code = (Path(__file__), Path(subcarriers.__file__), Path(resample.__file__))
    chosen = _chosen(action)
    key = cache.key_of(
        (*code, *used),
        str(action.picture),
        str(action.broken_is_missing),
        action.resampling.method,
        "" if chosen is None else str(chosen.tolist()),
    )
    found = cache.fetch(cached, f"{key}-{antenna}")
    if found is not None:
        return found
    tracks = _decode(action, _stamp(used))
    for number, track in enumerate(tracks):
        cache.store(cached, f"{key}-{number}", track)
    return tracks[antenna]


def _stamp(used: tuple[Path, ...]) -> tuple[tuple[int, int], ...]:
    """What tells whether a file was changed since it was decoded."""
    stats = [path.stat() for path in used if path.exists()]
    return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)


@lru_cache(maxsize=1)
def _decode(action: _Action, stamp: tuple[tuple[int, int], ...]) -> tuple[Track, ...]:
    """The tracks of the three antennas; those of the last action are kept, for they are asked for one by one."""
    del stamp
    amplitude, phase, broken = _measured(action.folder, broken_is_missing=action.broken_is_missing)
    lost = int(np.isnan(amplitude).all(axis=(1, 2)).sum())
    _fill(amplitude)
    labels = _labels(action)
    track = Track(
        time_s=even_times_s(FRAMES * PACKETS, FRAME_RATE_HZ * PACKETS),
        amplitude=np.empty((0, SUBCARRIERS), dtype=np.float32),
        kind=np.zeros(FRAMES * PACKETS, dtype=np.int16),
        kinds=("mmfi-114",),
        segment=np.zeros(FRAMES * PACKETS, dtype=np.int32),
        persons=np.ones(FRAMES * PACKETS, dtype=np.int64),
        left_out={name: count for name, count in (("broken_file", broken), ("empty_packet", lost - broken)) if count},
        **labels,
    )

    def in_order(values: NDArray[np.float64], antenna: int) -> NDArray[np.float64]:
        """Packets one after the other, `[frames * packets, 114]`."""
        return values[:, antenna].transpose(0, 2, 1).reshape(-1, MEASURED)

    chosen = _chosen(action)
    tracks = []
    for antenna in range(ANTENNAS):
        own = action.resampling.apply(in_order(amplitude, antenna), in_order(phase, antenna), chosen)
        tracks.append(replace(track, amplitude=own[0], phase=own[1]))
    return tuple(tracks)


def _measured(folder: Path, *, broken_is_missing: bool) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Amplitude and phase `[frames, 3, 114, packets]`, NaN where missing, and how many packets were in broken files."""
    amplitude = np.empty((FRAMES, ANTENNAS, MEASURED, PACKETS))
    phase = np.empty_like(amplitude)
    broken = 0
    for number in range(FRAMES):
        path = folder / "wifi-csi" / f"frame{number + 1:03d}.mat"
        try:
            amplitude[number], phase[number] = _read(path)
        except TrainError:
            if not broken_is_missing:
                raise
            amplitude[number] = phase[number] = np.nan
            broken += PACKETS
    amplitude[np.isinf(amplitude)] = np.nan
    phase[np.isinf(phase)] = np.nan
    return amplitude, phase, broken


def _chosen(action: _Action) -> NDArray[np.int64] | None:
    """The subcarriers that `resample=variance` takes."""
    if action.resampling.method != "variance":
        return None
    return _select(action.fitted_on, action.broken_is_missing)


@lru_cache(maxsize=4)
def _select(folders: tuple[Path, ...], broken_is_missing: bool) -> NDArray[np.int64]:  # noqa: FBT001  # cached by value
    def packets() -> Iterator[NDArray[np.float64]]:
        for folder in folders:
            amplitude, _, _ = _measured(folder, broken_is_missing=broken_is_missing)
            _fill(amplitude)
            rows = amplitude.transpose(0, 1, 3, 2).reshape(-1, MEASURED)
            rows = rows[~np.isnan(rows).any(axis=1)]
            if len(rows):
                yield rows

    return subcarriers.select_by_variance(packets(), SUBCARRIERS)


def _fill(amplitude: NDArray[np.float64]) -> None:
    """Put the mean of its packet in the place of what is missing, `[frames, 3, 114, packets]`."""
    missing = np.isnan(amplitude)
    if not missing.any():
        return
    present = (~missing).sum(axis=(1, 2))
    total = np.where(missing, 0, amplitude).sum(axis=(1, 2))
    mean = np.divide(total, present, out=np.full_like(total, np.nan), where=present > 0)
    amplitude[...] = np.where(missing, mean[:, None, None, :], amplitude)


def _read(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Amplitude and phase `[3, 114, 10]` of a file."""
    content = mat_arrays(path)
    arrays: list[NDArray[np.float64]] = []
    for name in ("CSIamp", "CSIphase"):
        array = content.get(name)
        if array is None or array.shape != (ANTENNAS, MEASURED, PACKETS) or array.dtype.kind not in "fiu":
            shown = "missing" if array is None else f"{array.dtype} {list(array.shape)}"
            raise TrainError(f"{path}: {name} is {shown}, not [3, 114, 10]", hint=files.REMEDY)
        arrays.append(array.astype(np.float64))
    return arrays[0], arrays[1]


def _labels(action: _Action) -> dict[str, Any]:
    """Keypoints in the room and in the picture, for each packet; of those that the folder holds."""
    labels: dict[str, Any] = {}
    truth = action.folder / "ground_truth.npy"
    if truth.exists():
        joints = files.npy_array(truth)
        if joints.shape != (FRAMES, 17, 3):
            raise TrainError(f"{truth} is {list(joints.shape)}, not [297, 17, 3]", hint=files.REMEDY)
        labels["keypoints3d"] = np.repeat(joints.astype(np.float32), PACKETS, axis=0)
    seen = action.folder / "rgb"
    if seen.is_dir():
        keypoints = np.stack([_seen(seen / f"frame{number + 1:03d}.npy") for number in range(FRAMES)])
        labels["keypoints"] = np.repeat(_in_picture(seen, keypoints, action.picture), PACKETS, axis=0)
    return labels


def _seen(path: Path) -> NDArray[np.float64]:
    keypoints = files.npy_array(path)
    if keypoints.shape != (17, 2):
        raise TrainError(f"{path} is {list(keypoints.shape)}, not [17, 2]", hint=files.REMEDY)
    return keypoints.astype(np.float64)


def _in_picture(
    folder: Path, keypoints: NDArray[np.float64], picture: tuple[float, float] | None
) -> NDArray[np.float32]:
    """Keypoints with width and height 1; where they are in pixels, the picture's size must be given."""
    if picture is not None:
        return np.asarray(keypoints / np.asarray(picture), dtype=np.float32)
    if np.nanmax(np.abs(keypoints - 0.5)) > 1.5:
        raise TrainError(
            f"{folder} holds keypoints in pixels, and nothing tells how large the picture is",
            hint="?picture=WIDTHxHEIGHT",
        )
    return np.asarray(keypoints, dtype=np.float32)
