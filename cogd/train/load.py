"""From a configuration to windows and their split. Nothing here loads torch."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cogd.csi.window import WindowSpec
from cogd.errors import ConfigError, TrainError
from cogd.sim.domain import DOMAINS
from cogd.train.configfile import changed
from cogd.train.data.dataset import Dataset, cut_windows, open_dataset
from cogd.train.data.paired import read_paired
from cogd.train.data.simulated import SimulatedRooms, simulated_rooms
from cogd.train.data.split import group_split, random_split, temporal_split, with_training_rows
from cogd.train.data.windows import join

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from cogd.train.config import Config, SplitConfig
    from cogd.train.data.split import Split
    from cogd.train.data.windows import Windows

_TRAINING_ROOM, _HELD_OUT_ROOM = 100_000, 1_000_000
"""Rooms are numbered from here, on by a thousand with each seed: training rooms, held-out ones and the small numbers
that people give to `sim:` never meet."""


class Progress(Protocol):
    """Told of what takes long."""

    def __call__(self, label: str, done: int, total: int) -> None:
        """So much of so much is done."""


class Loaded(NamedTuple):
    """The windows of a run.

    Attributes:
        windows: that train, calibrate and test.
        held_out: of which none trains; None where there are none.
        only_train: so many of the last of `windows` are of `data.also`, and only train.
        sampled: rooms or recordings of what trains, calibrates and tests were left out.
    """

    windows: Windows
    held_out: Windows | None
    only_train: int
    sampled: bool = False


def load_windows(config: Config, progress: Progress) -> Loaded:
    """All windows of a run. Every data set is opened before the first one, which may take an hour, is read.

    Raises:
        ConfigError: the data are not specified as they must be.
        TrainError: they can't be used.
    """
    data, seed = config.data, config.train.seed
    opened = _open(data.spec, config, "simulating", _rooms(_TRAINING_ROOM, seed, data.rooms))
    also = [_open(spec, _of_further(config), "further data") for spec in data.also]
    held_out = None
    if data.held_out:
        held_out = _open(data.held_out, config, "held-out data")
    elif data.spec == "sim" and data.held_out_rooms > 0:
        held_out = _open("sim", config, "held-out rooms", _rooms(_HELD_OUT_ROOM, seed, data.held_out_rooms))
    return _loaded(opened, also, held_out, progress)


def _loaded(opened: _Opened, also: Sequence[_Opened], held_out: _Opened | None, progress: Progress) -> Loaded:
    windows = _cut(opened, progress)
    further = [_cut(one, progress) for one in also]
    tested = None if held_out is None else _cut(held_out, progress)
    joined = join([windows, *further])
    if tested is not None:
        _refuse_known(joined, tested)
    return Loaded(joined, tested, sum(map(len, further)))


def _rooms(first: int, seed: int, count: int) -> range:
    return range(first + seed * 1000, first + seed * 1000 + count)


def _of_further(config: Config) -> Config:
    return changed(config, {"data.stride": config.data.also_stride or config.data.stride})


def _refuse_known(windows: Windows, held_out: Windows) -> None:
    """Raise TrainError if a session of the held-out data is among those that train, calibrate or test."""
    known = set(windows.names["session"]) & set(held_out.names["session"])
    if known:
        raise TrainError(
            f"the held-out data hold {len(known)} sessions of the other data, such as {min(known)!r}",
            hint="data.held_out must be data of which nothing trains",
        )


def load_some(config: Config, progress: Progress) -> Loaded:
    """A little of each data set that a configuration names.

    Of what would train up to 4 rooms of half a minute, or 64 recordings; of further and held-out data
    4 recordings and a tenth of their windows, and of simulated held-out rooms, which nobody can misspell,
    nothing.

    Raises:
        ConfigError, TrainError: as `load_windows`.
    """
    data, what = config.data, "a little of the data"
    brief = changed(config, {"data.minutes": min(data.minutes, 0.5)})
    main = brief if data.spec == "sim" else config
    opened = _open(data.spec, main, what, _rooms(_TRAINING_ROOM, 0, min(data.rooms, 4)))
    also = [_open(spec, _sparse(_of_further(config)), what) for spec in data.also]
    held_out = _open(data.held_out, _sparse(config), what) if data.held_out else None
    few = [one.only(4) for one in also]
    some = opened.only(64)
    loaded = _loaded(some, few, None if held_out is None else held_out.only(4), progress)
    left_out = data.rooms > 4 or data.minutes > 0.5 if data.spec == "sim" else some is not opened
    return loaded._replace(sampled=left_out)


def _sparse(config: Config) -> Config:
    return changed(config, {"data.stride": 10 * config.data.stride})


def split_windows(windows: Windows, rows: NDArray[np.int64], split: SplitConfig, only_train: int = 0) -> Split:
    """Cut usable rows of windows into parts, as configured; so many of the last windows only train.

    Raises:
        ConfigError: names are given for a split that has none.
        TrainError: a part would be empty, or the windows don't tell their groups.
    """
    if only_train:
        first = len(windows) - only_train
        return with_training_rows(split_windows(windows, rows[rows < first], split), windows, rows[rows >= first])
    if split.kind in {"session", "room", "subject"}:
        return group_split(
            windows,
            rows,
            split.kind,
            test=split.test,
            calibration=split.calibration,
            calibration_by=split.calibration_by or None,
            seed=split.seed,
        )
    if not (isinstance(split.test, float) and isinstance(split.calibration, float)):
        raise ConfigError(
            f"split.test and split.calibration by name do not go with split.kind = {split.kind!r}",
            hint="give shares such as 0.2, or split.kind session, room or subject",
        )
    if split.kind == "time":
        return temporal_split(windows, rows, test=split.test, calibration=split.calibration)
    return random_split(
        windows,
        rows,
        allow_leaky=split.allow_leaky,
        test=split.test,
        calibration=split.calibration,
        seed=split.seed,
    )


@dataclass(frozen=True, eq=False)
class _Opened:
    """A data set that is there, and of which nothing is read yet but what is windows already.

    Attributes:
        what: it is, for whoever waits.
        config: how it is cut.
        found: the data set, or its windows.
        rate_hz: of a simulation at one rate.
    """

    what: str
    config: Config
    found: Dataset | Windows
    rate_hz: float | None = None

    def only(self, most: int) -> _Opened:
        """No more recordings than that, evenly spread."""
        if not isinstance(self.found, Dataset) or len(self.found.listed) <= most:
            return self
        listed = self.found.listed
        places = [number * (len(listed) - 1) // (most - 1) for number in range(most)]
        return replace(self, found=replace(self.found, listed=tuple(listed[place] for place in places)))


def _open(spec: str, config: Config, what: str, rooms: range | None = None) -> _Opened:
    """Find a data set; `rooms` are what `sim` alone stands for."""
    data = config.data
    if spec.startswith("paired:"):
        return _Opened(what, config, read_paired(Path(spec.removeprefix("paired:")), data.licence))
    if spec != "sim" or rooms is None:
        return _Opened(what, config, open_dataset(spec))
    plan = SimulatedRooms(
        rooms=tuple(rooms),
        persons=data.persons,
        minutes=data.minutes,
        nodes=data.nodes,
        seed=config.train.seed,
        domain=DOMAINS[data.domain],
        rates_hz=data.rates_hz,
        same_radios=config.model.head
        == "motion",  # what moves is judged beside the empty room as the same node hears it
    )
    low, high = plan.rates_hz
    return _Opened(what, config, simulated_rooms(plan), low if low == high and not data.cell_s else None)


def _cut(opened: _Opened, progress: Progress) -> Windows:
    """Read a data set."""
    dataset, data = opened.found, opened.config.data
    if not isinstance(dataset, Dataset):
        return dataset

    def tell(done: int, total: int) -> None:
        progress(opened.what, done, total)

    windows = cut_windows(
        dataset,
        WindowSpec(
            dataset.tones, data.frames, 0.0 if data.cell_s else data.min_gap_s, data.max_gap_s, data.cell_s or None
        ),
        data.stride,
        # The others learn from windows in which motion begins, too.
        transitions="leave_out" if opened.config.model.head == "motion" else "unknown",
        progress=tell,
        processes=data.processes or os.cpu_count() or 1,
    )
    origin = replace(windows.origin, name=f"{windows.origin.name}, stride {data.stride}")
    return replace(windows, origin=origin, rate_hz=opened.rate_hz or windows.rate_hz)
