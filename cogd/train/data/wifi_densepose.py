"""The layout that wifi-densepose-train reads (converted from MM-Fi by its users; it is not MM-Fi's own).

`DIR/S01/A01/wifi_csi.npy` is float32 `[frames, transmitters, receivers, subcarriers]`; beside it there may be
`wifi_csi_phase.npy` of the same shape and `gt_keypoints.npy`, `[frames, 17, 3]` = x, y (0..1) and visibility (0 not
labelled, 1 hidden, 2 seen) in COCO's order. Each pair of antennas is a recording of its own, a node. With 56
subcarriers the amplitudes are memory-mapped; of other numbers 56 are made, by linear interpolation or as the option
`resample` says.

The layout doesn't tell how many frames a second there are: `?rate=HZ` must.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cogd.csi.input_rules import SUBCARRIERS
from cogd.errors import ConfigError, TrainError
from cogd.train.data import files, resample, subcarriers
from cogd.train.data.options import refuse_other_options
from cogd.train.data.resample import Resampling, parse_resampling
from cogd.train.data.track import Dataset, Recording, Timing, Track, even_times_s, named_after

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True)
class _Reading:
    """How recordings are read."""

    rate_hz: float
    resampling: Resampling
    fitted_on: tuple[Path, ...]


def open_recordings(place: str, options: Mapping[str, str]) -> Dataset:
    """Open the folder that holds the subjects; a session is one action of one subject.

    Options: `rate`, frames a second (needed); `resample` and `fit` (`cogd.train.data.resample`); `licence`.

    Raises:
        ConfigError: there is no rate.
        TrainError: there is no action, or one's CSI is missing or broken.
    """
    refuse_other_options("wifi-densepose", options, ("rate", "licence", *resample.OPTIONS))
    try:
        rate_hz = float(options["rate"])
    except (KeyError, ValueError) as error:
        raise ConfigError(
            "wifi-densepose: its layout doesn't tell how many frames a second there are", hint="?rate=HZ"
        ) from error
    if not 0 < rate_hz <= 1e5:
        raise ConfigError(f"wifi-densepose: rate={rate_hz:g}", hint="frames a second, above 0")
    root = Path(place)
    actions = [
        folder
        for folder in sorted(root.glob("S*/A*"))
        if re.fullmatch(r"S\d+/A\d+", folder.relative_to(root).as_posix())
    ]
    if not actions:
        raise TrainError(f"{root} holds no action such as S01/A01", hint="give the folder that holds the subjects")
    resampling = parse_resampling("wifi-densepose", options)
    sessions = [folder.relative_to(root).as_posix() for folder in actions]
    fitted_on = tuple(root / session / "wifi_csi.npy" for session in resampling.fits(sessions))
    how = _Reading(rate_hz, resampling, fitted_on)
    listed = tuple(recording for folder in actions for recording in _recordings(root, folder, how))
    return Dataset(named_after("wifi-densepose", root), options.get("licence", "not stated"), "ht56", listed, root)


def _recordings(root: Path, folder: Path, how: _Reading) -> list[Recording]:
    session = folder.relative_to(root).as_posix()
    _, transmitters, receivers, _ = _csi(folder / "wifi_csi.npy").shape
    names = ("wifi_csi.npy", "wifi_csi_phase.npy", "gt_keypoints.npy")
    return [
        Recording(
            name=f"{session} antennas {sender}-{receiver}",
            session=session,
            room=None,
            subject=session.split("/")[0],
            chip=None,
            node=sender * receivers + receiver,
            rate_hz=how.rate_hz,
            timing=Timing.NOMINAL,
            files=tuple(folder / name for name in names if (folder / name).exists()),
            load=partial(_load, folder, sender, receiver, how),
        )
        for sender in range(transmitters)
        for receiver in range(receivers)
    ]


def _csi(path: Path) -> NDArray[Any]:
    """Memory-mapped `[frames, transmitters, receivers, subcarriers]`; nothing but the header is read."""
    array = files.npy_array(path, mapped=True)
    if array.ndim != 4 or array.dtype.kind != "f" or 0 in array.shape:
        raise TrainError(
            f"{path} is {array.dtype} {list(array.shape)}, not float [frames, transmitters, receivers, subcarriers]",
            hint=files.REMEDY,
        )
    return array


def _load(folder: Path, sender: int, receiver: int, how: _Reading) -> Track:
    csi = _csi(folder / "wifi_csi.npy")
    count = len(csi)
    amplitude = csi[:, sender, receiver]
    labels: dict[str, Any] = {}
    truth = folder / "gt_keypoints.npy"
    if truth.exists():
        joints = files.npy_array(truth)
        if joints.shape != (count, 17, 3):
            raise TrainError(f"{truth} is {list(joints.shape)}, not [{count}, 17, 3]", hint=files.REMEDY)
        labels = {
            "keypoints": joints[:, :, :2].astype(np.float32),
            "visible": joints[:, :, 2].astype(np.uint8),
            "persons": np.ones(count, dtype=np.int64),
        }
    phase = folder / "wifi_csi_phase.npy"
    if phase.exists():
        radians = _csi(phase)
        if radians.shape != csi.shape:
            raise TrainError(f"{phase} is {list(radians.shape)}, not {list(csi.shape)}", hint=files.REMEDY)
        labels["phase"] = radians[:, sender, receiver]
    if csi.shape[3] != SUBCARRIERS:
        amplitude = np.where(np.isinf(amplitude), np.nan, amplitude)
        chosen = _select(how.fitted_on) if how.resampling.method == "variance" else None
        amplitude, resampled = how.resampling.apply(amplitude, labels.get("phase"), chosen)
        if resampled is not None:
            labels["phase"] = resampled
    return Track(
        time_s=even_times_s(count, how.rate_hz),
        amplitude=amplitude if amplitude.dtype == np.float32 else amplitude.astype(np.float32),
        kind=np.zeros(count, dtype=np.int16),
        kinds=(f"wifi-densepose-{csi.shape[3]}",),
        segment=np.zeros(count, dtype=np.int32),
        **labels,
    )


@lru_cache(maxsize=4)
def _select(paths: tuple[Path, ...]) -> NDArray[np.int64]:
    """The subcarriers that vary most in these files."""

    def packets() -> Iterator[NDArray[Any]]:
        for path in paths:
            csi = _csi(path)
            rows = csi.reshape(-1, csi.shape[3])
            rows = rows[np.isfinite(rows).all(axis=1)]
            if len(rows):
                yield rows

    return subcarriers.select_by_variance(packets(), SUBCARRIERS)
