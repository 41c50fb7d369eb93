"""The training loop: plain, the whole of the data on the device, resumable to the bit."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from typing import TYPE_CHECKING, TypedDict, cast

import numpy as np
import torch
from torch import Tensor

from cogd.errors import TrainError
from cogd.train.step import Steps, make_optimiser

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from cogd.train.data.split import Split
    from cogd.train.recipe import Recipe
    from cogd.train.step import Capture
    from cogd.train.tasks import Task

_EVALUATION_BATCH = 4096
_CPU = torch.device("cpu")


class _Checkpoint(TypedDict):
    """What a run needs to go on as if it had never stopped."""

    model: dict[str, Tensor]
    optimiser: dict[str, object]
    scheduler: dict[str, object]
    order_rng: Tensor
    dropout_rng: Tensor
    epoch: int
    best_score: float
    best_model: dict[str, Tensor]
    recipe: dict[str, object]
    data: str
    device: str


def data_fingerprint(csi: NDArray[np.float32], labels: tuple[Tensor, ...], split: Split) -> str:
    """Digest of the inputs, of the labels and of which rows train, calibrate and test."""
    digest = hashlib.sha256()
    for array in (csi, *(label.numpy() for label in labels), split.train, split.calibration, split.test):
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


class Loop:
    """Trains a task on model inputs `[n, 56, frames]`.

    Args:
        task: network and loss.
        csi: float32 `[n, 56, frames]`, normalised.
        split: which rows train, calibrate and test.
        recipe: how.
        checkpoint: file to write after every `every` epochs, and to resume from.
        every: epochs between checkpoints.
        device: where it is trained; order and dropout are drawn on the CPU and are the same everywhere.
        capture: how the device records steps (`cogd.train.device.capture_on`).
    """

    def __init__(
        self,
        task: Task,
        csi: NDArray[np.float32],
        split: Split,
        recipe: Recipe,
        checkpoint: Path | None = None,
        every: int = 10,
        device: torch.device = _CPU,
        capture: Capture | None = None,
    ) -> None:
        self._task, self._recipe, self._checkpoint, self._every, self._device = task, recipe, checkpoint, every, device
        self._data = data_fingerprint(csi, task.labels, split)
        task.to(device)
        self._csi = torch.from_numpy(csi).to(device)
        self._train, self._calibration = torch.from_numpy(split.train), torch.from_numpy(split.calibration).to(device)
        self._optimiser = make_optimiser(task, recipe, recorded=capture is not None)
        self._steps = Steps(task, self._csi, self._optimiser, capture)
        self._scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(self._optimiser, recipe.restart_epochs)
        self._order = torch.Generator().manual_seed(recipe.seed)
        self._dropout = torch.Generator().manual_seed(recipe.seed + 1)
        self._epoch = 0
        self._best_score = -float("inf")
        self._best = self._weights()

    def run(self, progress: Callable[[int, float, float], None] | None = None) -> None:
        """Train to the end, from wherever the loop stands; afterwards the network holds the weights to keep.

        `progress` is told epoch, loss and the calibration part's score after each epoch.
        """
        while self._epoch < self._recipe.epochs:
            loss = self._train_one_epoch()
            score = self.score(self._calibration)
            if score > self._best_score:
                self._best_score, self._best = score, self._weights()
            self._epoch += 1
            if self._checkpoint and (self._epoch % self._every == 0 or self._epoch == self._recipe.epochs):
                self.save(self._checkpoint)
            if progress is not None:
                progress(self._epoch, loss, score)
        if self._recipe.keep == "best":
            self._task.net.load_state_dict(self._best)

    def score(self, rows: Tensor) -> float:
        """The task's score over rows, in parts that fit into memory."""
        self._task.net.eval()
        rows = rows.to(self._device)
        with torch.no_grad():
            parts = [
                (self._task.score(self._csi[part], part), len(part)) for part in torch.split(rows, _EVALUATION_BATCH)
            ]
        return sum(score * size for score, size in parts) / len(rows)

    def _train_one_epoch(self) -> float:
        self._task.net.train()
        rows = self._train[torch.randperm(len(self._train), generator=self._order)]
        drop = self._epoch >= self._recipe.epochs - self._recipe.dropout_epochs
        for batch in torch.split(rows.to(self._device), self._recipe.batch_size or len(rows)):
            kept = None
            if drop and self._recipe.subcarrier_dropout:
                shape = (len(batch), self._csi.shape[1])
                kept = torch.rand(shape, generator=self._dropout) >= self._recipe.subcarrier_dropout
                kept = kept.to(self._device)
            self._steps.learn(batch, kept)
        self._scheduler.step()
        loss = self._steps.take_loss() / len(rows)
        if not math.isfinite(loss):  # one that is not stays in the sum
            raise TrainError(f"the loss is {loss} in epoch {self._epoch + 1}", hint="lower the learning rate")
        return loss

    def _weights(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self._task.net.state_dict().items()}

    def save(self, path: Path) -> None:
        """Write a checkpoint; the old one stays until the new one is whole."""
        state = _Checkpoint(
            model=self._weights(),
            optimiser=self._optimiser.state_dict(),
            scheduler=self._scheduler.state_dict(),
            order_rng=self._order.get_state(),
            dropout_rng=self._dropout.get_state(),
            epoch=self._epoch,
            best_score=self._best_score,
            best_model=self._best,
            recipe=dataclasses.asdict(self._recipe),
            data=self._data,
            device=self._device.type,
        )
        partial = path.with_suffix(".partial")
        try:
            torch.save(state, partial)
            partial.replace(path)
        except (OSError, RuntimeError) as error:  # RuntimeError: what torch says of a full disk
            partial.unlink(missing_ok=True)
            raise TrainError(f"{path} can't be written: {error}", hint="is the disk full?") from error

    def resume(self, path: Path) -> int:
        """Take up a checkpoint; returns the epochs done. More epochs than it was begun with may be asked for.

        Raises:
            TrainError: the file is no checkpoint, belongs to another recipe, other data or another kind of device, or
                has gone on for more epochs than are asked for.
        """
        state = _read_checkpoint(path, self._device)
        recipe = state["recipe"]
        mine = dataclasses.asdict(self._recipe)
        different = [key for key in mine if key != "epochs" and recipe.get(key) != mine[key]]
        if different:
            raise TrainError(
                f"{path} was begun with another {', '.join(different)}", hint="give the same options, or begin anew"
            )
        if state["data"] != self._data:
            raise TrainError(f"{path} belongs to other data or another split", hint="give the same data, or begin anew")
        if state["device"] != self._device.type:
            raise TrainError(
                f"{path} was begun on {state['device']}, this is {self._device.type}",
                hint=f"--device {state['device']}: elsewhere it would not go on to the same bits",
            )
        if state["epoch"] > self._recipe.epochs:
            raise TrainError(
                f"{path} has {state['epoch']} epochs behind it, more than the {self._recipe.epochs} asked for",
                hint="ask for more epochs, or begin anew",
            )
        self._task.net.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._steps.forget()
        self._scheduler.load_state_dict(state["scheduler"])
        self._order.set_state(state["order_rng"].cpu())
        self._dropout.set_state(state["dropout_rng"].cpu())
        self._epoch, self._best_score, self._best = state["epoch"], state["best_score"], state["best_model"]
        return self._epoch


def _read_checkpoint(path: Path, device: torch.device) -> _Checkpoint:
    try:
        state = torch.load(path, weights_only=True, map_location=device)
        missing = _Checkpoint.__required_keys__ - state.keys()
    except Exception as error:  # torch.load has no base for what its unpickler stumbles over
        raise TrainError(f"{path} is not a checkpoint: {error}", hint="train without --resume") from error
    if missing:
        raise TrainError(f"{path} is not a checkpoint: it lacks {min(missing)}", hint="train without --resume")
    return cast("_Checkpoint", state)
