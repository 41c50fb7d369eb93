"""The file that a run goes on from: written whole or not at all, read without running anything that it holds."""

from __future__ import annotations

import hashlib
import pickle
from typing import TYPE_CHECKING, NotRequired, TypedDict, cast

import msgspec
import numpy as np
import torch
from torch import Tensor

from cogd.errors import TrainError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from cogd.train.config import Config


class Checkpoint(TypedDict):
    """What a run needs to go on as if it had never stopped, in the middle of an epoch too.

    model, optimiser, average, average_steps   weights, AdamW's state, the moving average and its steps (empty: none)
    epoch, step, totals, elapsed_s             epochs done; of the one begun: steps, sums of the loss's terms, time
    order_rng                                  state before the order of the epoch was drawn
    augment_rng, torch_rng                     states now; the second is what networks with dropout draw from
    best_score, best_epoch, best_model         of the calibration part
    recipe, data, split, device, processes     what it was begun with, and must go on with
    chosen                                     keys that data and split were made by, to tell what is another; earlier
                                               checkpoints lack it
    """

    model: dict[str, Tensor]
    optimiser: dict[str, object]
    average: dict[str, Tensor]
    average_steps: int
    epoch: int
    step: int
    totals: Tensor
    elapsed_s: float
    order_rng: Tensor
    augment_rng: dict[str, Tensor]
    torch_rng: Tensor
    best_score: float
    best_epoch: int
    best_model: dict[str, Tensor]
    recipe: dict[str, object]
    data: str
    split: str
    device: str
    processes: int
    chosen: NotRequired[dict[str, object]]


def data_fingerprint(csi: NDArray[np.float32], labels: tuple[Tensor, ...]) -> str:
    """Digest of the inputs and of the labels."""
    digest = hashlib.sha256()
    for array in (csi, *(label.cpu().numpy() for label in labels)):
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def recipe_of(config: Config) -> dict[str, object]:
    """The keys that must not change when a run goes on; more epochs may be asked for, data are told by their digest."""
    return _keys(config, ("model", "train", "loss"), without=("train.epochs", "train.device"))


def chosen_of(config: Config) -> dict[str, object]:
    """The keys that data and split are made by."""
    return _keys(config, ("data", "split"), without=("data.processes", "data.licence"))


def _keys(config: Config, sections: tuple[str, ...], without: tuple[str, ...]) -> dict[str, object]:
    tables = {name: msgspec.to_builtins(getattr(config, name)) for name in sections}
    keys = {f"{section}.{key}": value for section, table in tables.items() for key, value in table.items()}
    return {key: value for key, value in keys.items() if key not in without}


def write_checkpoint(path: Path, state: Checkpoint) -> None:
    """Write a checkpoint; the old one stays until the new one is whole.

    Raises:
        TrainError: it can't be written.
    """
    partial = path.with_suffix(".partial")
    try:
        torch.save(state, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: what torch says of a full disk
        partial.unlink(missing_ok=True)
        raise TrainError(f"{path} can't be written: {error}", hint="is the disk full?") from error


def read_checkpoint(path: Path, device: torch.device) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        TrainError: the file is none.
    """
    try:
        state = torch.load(path, weights_only=True, map_location=device)
        missing = Checkpoint.__required_keys__ - state.keys()
    except pickle.UnpicklingError as error:  # its text advises to execute what the file holds
        raise TrainError(
            f"{path} is not a checkpoint: it is broken, or holds more than numbers, such as code; nothing was executed",
            hint="--overwrite instead of --resume begins anew",
        ) from error
    except Exception as error:  # torch.load has no base for what its unpickler stumbles over
        raise TrainError(
            f"{path} is not a checkpoint: {error}", hint="--overwrite instead of --resume begins anew"
        ) from error
    if missing:
        raise TrainError(
            f"{path} is not a checkpoint: it lacks {min(missing)}", hint="--overwrite instead of --resume begins anew"
        )
    return cast("Checkpoint", state)


def check_same_run(path: Path, state: Checkpoint, mine: Checkpoint, epochs: int) -> None:
    """See that a checkpoint belongs to this run.

    Args:
        path: its file, for messages.
        state: what it holds.
        mine: what this run would write.
        epochs: how many this run asks for.

    Raises:
        TrainError: it was begun with another recipe, other data, another split, kind of device or number of processes,
            or has gone on for more epochs than are asked for.
    """
    if different := _differences(state["recipe"], mine["recipe"]):
        raise TrainError(f"{path} was begun with another {different}", hint="give the same options, or begin anew")
    for key, what in (("split", "another split, or to other data"), ("data", "other data")):
        if state[key] != mine[key]:  # type: ignore[literal-required]
            raise TrainError(
                f"{path} belongs to {what}{_why_other(state, mine)}",
                hint="give the same data and split, or begin anew",
            )
    if state["device"] != mine["device"]:
        raise TrainError(
            f"{path} was begun on {state['device']}, this is {mine['device']}",
            hint=f"--device {state['device']}: elsewhere it would not go on to the same bits",
        )
    if state["processes"] != mine["processes"]:
        raise TrainError(
            f"{path} was begun by {state['processes']} process(es), this is {mine['processes']}",
            hint="with another number it would not go on to the same bits",
        )
    if state["epoch"] > epochs:
        raise TrainError(
            f"{path} has {state['epoch']} epochs behind it, more than the {epochs} asked for",
            hint="ask for more epochs, or begin anew",
        )


def _differences(begun: Mapping[str, object], given: Mapping[str, object]) -> str:
    """Keys whose values are others, each with that of the checkpoint and the one given."""
    return ", ".join(
        f"{key} ({_shown(begun.get(key))}, now {_shown(given.get(key))})"
        for key in sorted(begun.keys() | given.keys())
        if begun.get(key) != given.get(key)
    )


def _why_other(state: Checkpoint, mine: Checkpoint) -> str:
    """Of data or a split that are others, the keys that make them so."""
    if "chosen" not in state or "chosen" not in mine:
        return ""
    different = _differences(state["chosen"], mine["chosen"])
    return f": {different}" if different else ": no key is another, so what the data hold is"


def _shown(value: object) -> str:
    return "nothing" if value is None else msgspec.json.encode(value).decode()
