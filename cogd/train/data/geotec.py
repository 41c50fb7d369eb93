"""Activities of one person in one room, as GEOTEC recorded them (doi:10.5281/zenodo.7991716, ODC-By 1.0).

`DIR/D1/e01_rx_tx.npz` holds `amplitude`, float32 `[n, 56]`, already processed by its authors, and `label`, an
activity for each frame. Frames have no times: they are laid out at the nominal 100 Hz, which nobody measured. The
receiver was an ESP32-S2 on HT-LTF, five metres from the transmitter.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cogd.csi.input_rules import SUBCARRIERS
from cogd.errors import TrainError
from cogd.train.data.files import npz_arrays
from cogd.train.data.options import refuse_other_options
from cogd.train.data.track import Dataset, Recording, Timing, Track, even_times_s, named_after

if TYPE_CHECKING:
    from collections.abc import Mapping

LICENCE = "ODC-By 1.0; cite Matey-Sanz, Torres-Sospedra, Moreira, IPIN 2023, doi:10.1109/IPIN57070.2023.10332214"
RATE_HZ = 100.0

MOVING = {
    f"{activity}_{side}": moving
    for activity, moving in (("SEATED", 0), ("STANDING_UP", 1), ("SITTING_DOWN", 1), ("WALKING", 1), ("TURN", 1))
    for side in ("RX", "TX")
}
"""Which activities are motion: all but being seated."""


def open_recordings(place: str, options: Mapping[str, str]) -> Dataset:
    """Open a folder with sessions below it, or one session's; every file is a session of its own.

    Raises:
        TrainError: there is no .npz.
    """
    refuse_other_options("geotec", options)
    root = Path(place)
    paths = sorted(root.rglob("*.npz"))
    if not paths:
        raise TrainError(f"{root} holds no .npz", hint="give the folder that holds D1, D2, ...")
    return Dataset(named_after("geotec", root), LICENCE, "ht56", tuple(_recording(root, path) for path in paths), root)


def _recording(root: Path, path: Path) -> Recording:
    name = path.relative_to(root).with_suffix("").as_posix()
    return Recording(
        name=name,
        session=name,
        room="geotec",
        subject="geotec",
        chip="S2",
        node=0,
        rate_hz=RATE_HZ,
        timing=Timing.NOMINAL,
        files=(path,),
        load=partial(_load, path),
    )


def _load(path: Path) -> Track:
    amplitude, label = npz_arrays(path, "amplitude", "label")
    count = len(label)
    if amplitude.shape != (count, SUBCARRIERS) or not np.issubdtype(amplitude.dtype, np.floating):
        raise TrainError(f"{path}: amplitude is {amplitude.dtype} {list(amplitude.shape)}, not float [{count}, 56]")
    unknown = sorted({str(name) for name in np.unique(label)} - MOVING.keys())
    if unknown:
        raise TrainError(f"{path} has frames of the unknown label {unknown[0]!r}", hint=f"known are {list(MOVING)}")
    return Track(
        time_s=even_times_s(count, RATE_HZ),
        amplitude=amplitude.astype(np.float32),
        kind=np.zeros(count, dtype=np.int16),
        kinds=("ready-56",),
        segment=np.zeros(count, dtype=np.int32),
        persons=np.ones(count, dtype=np.int64),
        moving=np.asarray([MOVING[str(name)] for name in label], dtype=np.int8),
    )
