"""From a configuration to windows and their split. Nothing here loads torch."""

from __future__ import annotations

import fnmatch
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cogd.csi.window import WindowSpec
from cogd.errors import ConfigError, TrainError
from cogd.sim.domain import DOMAINS
from cogd.train.configfile import changed
from cogd.train.data.cut import cut_windows
from cogd.train.data.dataset import open_dataset
from cogd.train.data.mmfi_split import mmfi_split
from cogd.train.data.paired import read_paired
from cogd.train.data.simulated import SimulatedRooms, simulated_rooms
from cogd.train.data.split import group_split, random_split, refuse_unknown, temporal_split, with_training_rows
from cogd.train.data.track import Dataset
from cogd.train.data.windows import join
from cogd.train.heads.registry import trainer_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from cogd.train.config import Config, SplitConfig
    from cogd.train.data.split import Group, Share, Split
    from cogd.train.data.track import Recording
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
    _refuse_misnamed(opened, config.split)
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

    Of what would train 4 rooms of half a minute, or 64 recordings, and some of each name in the split; of further and
    held-out data 4 recordings and a tenth of their windows, and of simulated held-out rooms, which nobody can misspell,
    nothing.

    Raises:
        ConfigError, TrainError: as `load_windows`.
    """
    data, what, rooms = config.data, "a little of the data", config.data.spec == "sim"
    main = changed(config, {"data.minutes": _brief_minutes(config)}) if rooms else config
    opened = _open(data.spec, main, what, _rooms(_TRAINING_ROOM, config.train.seed, data.rooms))
    _refuse_misnamed(opened, config.split)
    also = [_open(spec, _sparse(_of_further(config)), what) for spec in data.also]
    held_out = _open(data.held_out, _sparse(config), what) if data.held_out else None
    few = [one.only(4) for one in also]
    some = opened.only(4 if rooms else 64, config.split, by_room=rooms)
    loaded = _loaded(some, few, None if held_out is None else held_out.only(4), progress)
    return loaded._replace(sampled=some is not opened or main.data.minutes < data.minutes)


def _brief_minutes(config: Config) -> float:
    """Half a minute, or what a part that is cut by time needs for a window or two."""
    data, split = config.data, config.split
    shares = [share for share in (split.test, split.calibration) if isinstance(share, float)]
    span_s = data.frames * (data.cell_s or 1 / data.rates_hz[0])
    needed = 3 * span_s / min(shares) / 60 if split.kind == "time" and shares else 0.0
    return min(data.minutes, max(0.5, needed))


def _named(split: SplitConfig) -> list[tuple[str, Group, tuple[str, ...]]]:
    """Parts that are given by names: which, of which groups, and the names."""
    if split.kind not in {"session", "room", "subject"}:
        return []
    kind = split.kind
    parts: list[tuple[str, Group, Share]] = [
        ("test", kind, split.test),
        ("calibration", split.calibration_by or kind, split.calibration),
    ]
    return [(part, by, share) for part, by, share in parts if isinstance(share, tuple)]


def _refuse_misnamed(opened: _Opened, split: SplitConfig) -> None:
    """Raise TrainError if the split names a group that no recording is of: this is known before one is read."""
    if isinstance(opened.found, Dataset):
        for part, by, patterns in _named(split):
            names = dict.fromkeys(getattr(recording, by) for recording in opened.found.listed)
            if None not in names:  # else the split itself says that the windows don't tell
                refuse_unknown(by, patterns, tuple(names), part)


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
    if split.kind == "mmfi":
        return mmfi_split(
            windows,
            rows,
            split.protocol,
            split.setting,
            ratio=round(1 - split.test, 9),
            calibration=split.calibration,
            seed=split.seed,
        )
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

    def only(self, most: int, split: SplitConfig | None = None, *, by_room: bool = False) -> _Opened:
        """Not many more recordings than that, or rooms: some of each name in the split, the others evenly spread."""
        if not isinstance(self.found, Dataset):
            return self
        listed = self.found.listed

        def units(recordings: Iterable[Recording]) -> list[str]:
            return [*dict.fromkeys(str(one.room) if by_room else one.name for one in recordings)]

        if len(units(listed)) <= most:
            return self
        kept: set[str] = set()
        others = listed
        for _, by, patterns in [] if split is None else _named(split):
            for pattern in patterns:
                fits = {one.name for one in others if fnmatch.fnmatchcase(str(getattr(one, by)), pattern)}
                kept.update(_spread(units(one for one in others if one.name in fits), 2))
                others = tuple(one for one in others if one.name not in fits)
        kept.update(_spread(units(others), max(2, most - len(kept))))
        some = tuple(one for one in listed if (str(one.room) if by_room else one.name) in kept)
        return replace(self, found=replace(self.found, listed=some))


def _spread(names: Sequence[str], most: int) -> list[str]:
    """No more names than that, evenly spread."""
    if len(names) <= most:
        return [*names]
    return [names[number * (len(names) - 1) // (most - 1)] for number in range(most)]


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
        same_radios=trainer_of(config.model.head).same_radios,
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
        transitions=trainer_of(opened.config.model.head).transitions,
        progress=tell,
        processes=data.processes or os.cpu_count() or 1,
    )
    origin = replace(windows.origin, name=f"{windows.origin.name}, stride {data.stride}")
    return replace(windows, origin=origin, rate_hz=opened.rate_hz or windows.rate_hz)
