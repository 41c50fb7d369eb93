"""Recordings of ESPectre: a quiet or a moving room, ten seconds a file, by room and chip.

`DIR/dataset_info.json` tells room (`environment`), chip and duration of every `DIR/<label>/<file>.npz`; a file holds
`csi_data`, int8 `[n, 128]`, 64 bins of (imaginary, real). Frames have no times of their own: they are laid out evenly
over the file's measured duration. `baseline` is a quiet room, which need not be an empty one, so persons stay
unknown.

Receivers are numbered by chip, the same in all sessions; a setup is what one chip recorded on end in one room.

Some frames of a C6 are of another kind (L-LTF, at half the gain); windows leave them out, as the daemon's do.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from cogd.errors import TrainError
from cogd.train.data.files import npz_arrays
from cogd.train.data.frames import track_of_bins
from cogd.train.data.options import refuse_other_options
from cogd.train.data.track import Dataset, Recording, Timing, Track, even_times_s, named_after

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LICENCE = "GPL-3.0"
MOVING = {"baseline": 0, "movement": 1}
"""What the folders' names mean."""


_ON_END = timedelta(minutes=5)
"""Files of one room and chip that were begun within so much of each other are of one setup."""


class _File(msgspec.Struct):
    filename: str
    chip: str
    duration_ms: float
    num_packets: int
    environment: str
    collected_at: datetime | None = None


class _Info(msgspec.Struct):
    files: dict[str, list[_File]]


def open_recordings(place: str, options: Mapping[str, str]) -> Dataset:
    """Open a folder; every file is a session of its own.

    Raises:
        TrainError: there is no `dataset_info.json`, or it is not what it should be.
    """
    refuse_other_options("espectre", options)
    root = Path(place)
    index = root / "dataset_info.json"
    try:
        info = msgspec.json.decode(index.read_bytes(), type=_Info)
    except OSError as error:
        raise TrainError(
            f"{index} can't be read: {error.strerror}", hint="give the folder that holds dataset_info.json"
        ) from error
    except msgspec.DecodeError as error:
        raise TrainError(f"{index}: {error}") from error
    unknown = info.files.keys() - MOVING.keys()
    if unknown:
        raise TrainError(f"{index} has files of the unknown label {min(unknown)!r}", hint=f"known are {list(MOVING)}")
    known = [file for files in info.files.values() for file in files]
    chips, setups = sorted({file.chip for file in known}), _setups(known)
    listed = tuple(
        _recording(root, label, file, chips.index(file.chip), setups.get(file.filename))
        for label, files in info.files.items()
        for file in files
    )
    return Dataset(named_after("espectre", root), LICENCE, "ht56", listed, root, (index,))


def _setups(files: Sequence[_File]) -> dict[str, str]:
    """The setup of each file that tells when it was made: room, chip, and when the first one was made."""
    setups: dict[str, str] = {}
    newest: dict[tuple[str, str], tuple[datetime, str]] = {}
    dated = [(file.collected_at, file) for file in files if file.collected_at is not None]
    for made_at, file in sorted(dated, key=lambda one: one[0]):
        place = (file.environment, file.chip)
        name = f"{file.environment}, {file.chip}, {made_at:%Y-%m-%d %H:%M}"
        if place in newest and made_at - newest[place][0] < _ON_END:
            name = newest[place][1]
        newest[place] = made_at, name
        setups[file.filename] = name
    return setups


def _recording(root: Path, label: str, file: _File, node: int, setup: str | None) -> Recording:
    path = root / label / file.filename
    return Recording(
        name=path.stem,
        session=path.stem,
        room=file.environment,
        subject=None,
        chip=file.chip,
        node=node,
        rate_hz=round(1000 * file.num_packets / file.duration_ms, 3),
        timing=Timing.DURATION,
        files=(path,),
        load=partial(_load, path, MOVING[label]),
        setup=setup,
    )


def _load(path: Path, moving: int) -> Track:
    bins, duration_ms = npz_arrays(path, "csi_data", "duration_ms")
    if bins.dtype != np.int8 or bins.ndim != 2 or bins.shape[1] != 128 or len(bins) == 0:
        raise TrainError(f"{path}: csi_data is {bins.dtype} {list(bins.shape)}, not int8 [n, 128]")
    duration_s = float(duration_ms) / 1000
    if not 0 < duration_s < 1e6:
        raise TrainError(f"{path}: duration_ms is {float(duration_ms):g}")
    track = track_of_bins(even_times_s(len(bins), len(bins) / duration_s).tolist(), bins.reshape(-1, 64, 2))
    return replace(track, moving=np.full(len(track), moving, dtype=np.int8))
