"""CSV as ESP32-CSI-Tool writes it (https://github.com/StevenMHernandez/ESP32-CSI-Tool), one frame a line.

Twenty-six columns, the last of them the bins in brackets: `[imaginary real imaginary real ...]`; some recorders
append the
host's time. A header may come first. What is used of a line:

* the bins as they are in the brackets; the column `len` is not believed: it tells what the radio measured, and the tool
  may have been built to print less;
* `local_timestamp`, microseconds of the radio's clock, which begins anew every 2^32: the frame's time. The host's
  time has the serial line's delay in it;
* the transmitter's address.

A line that is cut off or garbled, as serial lines do, is left out and counted. Nothing is known of room and people.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cogd.errors import TrainError
from cogd.train.data.files import REMEDY
from cogd.train.data.frames import TrackBuilder, frame_of_bins
from cogd.train.data.options import refuse_other_options
from cogd.train.data.track import Dataset, Recording, Timing, Track

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MARK, _ADDRESS, _LOCAL_TIMESTAMP, _FIELDS = "CSI_DATA", 2, 18, 25
"""What a line begins with, columns by number, and how many come before the bins."""
_WRAP_US = 2**32


def open_recordings(place: str, options: Mapping[str, str]) -> Dataset:
    """Open a file, or a folder of `*.csv`; every file is a session of its own.

    Options: `address`, the transmitter whose frames are taken; `licence`.

    Raises:
        TrainError: there is no such file.
    """
    refuse_other_options("esp32-csv", options, ("address", "licence"))
    place_path = Path(place)
    root = place_path if place_path.is_dir() else place_path.parent
    paths = sorted(place_path.rglob("*.csv")) if place_path.is_dir() else [place_path]
    if not paths or not all(path.is_file() for path in paths):
        raise TrainError(f"there is no CSV at {place_path}", hint="give a file, or a folder of *.csv")
    listed = tuple(
        Recording(
            name=path.relative_to(root).with_suffix("").as_posix(),
            session=path.relative_to(root).with_suffix("").as_posix(),
            room=None,
            subject=None,
            chip=None,
            node=0,
            rate_hz=None,
            timing=Timing.MEASURED,
            files=(path,),
            load=partial(_load, path, options.get("address")),
        )
        for path in paths
    )
    return Dataset(f"esp32-csv {place_path.name}", options.get("licence", "not stated"), "ht56", listed, root)


def _load(path: Path, address: str | None) -> Track:
    builder = TrackBuilder()
    addresses: dict[str, None] = {}
    time_us, clock_us = 0, None
    try:
        for sender, local_us, bins in _lines(path, builder):
            addresses[sender] = None
            if address is not None and sender != address:
                builder.leave_out("other_transmitter")
                continue
            step_us = 0 if clock_us is None else (local_us - clock_us + _WRAP_US // 2) % _WRAP_US - _WRAP_US // 2
            time_us, clock_us = (local_us if clock_us is None else time_us + step_us), local_us
            builder.add(frame_of_bins(time_us / 1e6, bins))
    except OSError as error:
        raise TrainError(f"{path} can't be read: {error.strerror}", hint=REMEDY) from error
    if address is None and len(addresses) > 1:
        raise TrainError(
            f"{path} has frames of {len(addresses)} transmitters, whose channels differ",
            hint="choose one with ?address=: " + ", ".join(addresses),
        )
    track = builder.track()
    if len(track) == 0:
        why = ", ".join(f"{count} of {name.replace('_', ' ')}" for name, count in track.left_out.items())
        raise TrainError(f"{path} holds no frame that can be used (left out: {why or 'nothing'})", hint=REMEDY)
    return track


def _lines(path: Path, builder: TrackBuilder) -> Iterator[tuple[str, int, np.ndarray]]:
    """Transmitter, radio's clock and bins of each line that has them."""
    with path.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            before, bracket, rest = line.partition("[")
            fields = before.split(",")
            if not bracket and fields[0] != _MARK:
                continue  # a header, or what else went over the serial line
            parsed = _parse(fields, rest)
            if parsed is None:
                builder.leave_out("broken_line")
            else:
                yield parsed


def _parse(fields: list[str], rest: str) -> tuple[str, int, np.ndarray] | None:
    body, closing, _ = rest.partition("]")
    if not closing or len(fields) != _FIELDS + 1:
        return None
    try:
        values = np.asarray(body.split(), dtype=np.int64)
        local_us = int(fields[_LOCAL_TIMESTAMP])
    except (ValueError, OverflowError):
        return None
    if len(values) == 0 or len(values) % 2 or values.min() < -128 or values.max() > 127 or not 0 <= local_us < _WRAP_US:
        return None
    return fields[_ADDRESS], local_us, values.astype(np.int8).reshape(-1, 2)
