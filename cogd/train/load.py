"""From a configuration to windows and their split. Nothing here loads torch."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cogd.csi.window import WindowSpec
from cogd.errors import ConfigError, TrainError
from cogd.sim.domain import DOMAINS
from cogd.train.configfile import changed
from cogd.train.data.dataset import cut_windows, open_dataset
from cogd.train.data.paired import read_paired
from cogd.train.data.simulated import SimulatedRooms, simulated_rooms
from cogd.train.data.split import group_split, random_split, temporal_split, with_training_rows
from cogd.train.data.windows import join

if TYPE_CHECKING:
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
    """

    windows: Windows
    held_out: Windows | None
    only_train: int


def load_windows(config: Config, progress: Progress) -> Loaded:
    """All windows of a run.

    Raises:
        ConfigError: the data are not specified as they must be.
        TrainError: they can't be used.
    """
    data, seed = config.data, config.train.seed
    windows = _load(data.spec, config, _TRAINING_ROOM + seed * 1000, data.rooms, ("simulating", progress))
    finer = changed(config, {"data.stride": data.also_stride or data.stride})
    also = [_load(spec, finer, _TRAINING_ROOM, 0, ("further data", progress)) for spec in data.also]
    held_out = None
    if data.held_out:
        held_out = _load(data.held_out, config, _HELD_OUT_ROOM, 0, ("held-out data", progress))
    elif data.spec == "sim" and data.held_out_rooms > 0:
        first = _HELD_OUT_ROOM + seed * 1000
        held_out = _load("sim", config, first, data.held_out_rooms, ("held-out rooms", progress))
    joined = join([windows, *also])
    if held_out is not None:
        _refuse_known(joined, held_out)
    return Loaded(joined, held_out, sum(map(len, also)))


def _refuse_known(windows: Windows, held_out: Windows) -> None:
    """Raise TrainError if a session of the held-out data is among those that train, calibrate or test."""
    known = set(windows.names["session"]) & set(held_out.names["session"])
    if known:
        raise TrainError(
            f"the held-out data hold {len(known)} sessions of the other data, such as {min(known)!r}",
            hint="data.held_out must be data of which nothing trains",
        )


def load_some(config: Config, progress: Progress) -> Windows:
    """A little of what would train: up to 4 rooms of half a minute, or 64 recordings and a tenth of their windows.

    Raises:
        ConfigError, TrainError: as `load_windows`.
    """
    data = config.data
    if data.spec == "sim":
        changes: dict[str, object] = {"data.minutes": min(data.minutes, 0.5)}
    else:
        changes = {"data.stride": 10 * data.stride}
    return _load(
        data.spec,
        changed(config, changes),
        _TRAINING_ROOM,
        min(data.rooms, 4),
        ("a little of the data", progress),
        most=64,
    )


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


def _load(spec: str, config: Config, first: int, rooms: int, label: tuple[str, Progress], most: int = 0) -> Windows:
    """Cut a data set; `most`: no more recordings than that, evenly spread."""
    data, motion = config.data, config.model.head == "motion"

    def tell(done: int, total: int) -> None:
        label[1](label[0], done, total)

    if spec.startswith("paired:"):
        return read_paired(Path(spec.removeprefix("paired:")), data.licence)  # they are windows already
    plan = SimulatedRooms(
        rooms=tuple(range(first, first + rooms)),
        persons=data.persons,
        minutes=data.minutes,
        nodes=data.nodes,
        seed=config.train.seed,
        domain=DOMAINS[data.domain],
        rates_hz=data.rates_hz,
        same_radios=motion,  # what moves is judged beside the empty room as the same node hears it
    )
    dataset = simulated_rooms(plan) if spec == "sim" else open_dataset(spec)
    if 0 < most < len(dataset.listed):
        dataset = replace(dataset, listed=dataset.listed[:: -(-len(dataset.listed) // most)])
    window = WindowSpec(
        dataset.tones, data.frames, 0.0 if data.cell_s else data.min_gap_s, data.max_gap_s, data.cell_s or None
    )
    windows = cut_windows(
        dataset,
        window,
        data.stride,
        transitions="leave_out" if motion else "unknown",  # the others learn from windows in which motion begins, too
        progress=tell,
        processes=data.processes or os.cpu_count() or 1,
    )
    origin = replace(windows.origin, name=f"{windows.origin.name}, stride {data.stride}")
    if spec == "sim" and not data.cell_s and plan.rates_hz[0] == plan.rates_hz[1]:
        windows = replace(windows, rate_hz=plan.rates_hz[0])
    return replace(windows, origin=origin)
