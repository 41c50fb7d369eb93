"""The training loop: plain, the whole of the data on the device, resumable to the bit after any step."""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cogd.errors import TrainError
from cogd.train.augment import Augmentation
from cogd.train.checkpoint import (
    Checkpoint,
    check_same_run,
    chosen_of,
    data_fingerprint,
    read_checkpoint,
    recipe_of,
    write_checkpoint,
)
from cogd.train.distributed import ALONE
from cogd.train.history import Epoch
from cogd.train.schedule import MovingAverage, learning_rate
from cogd.train.step import Steps, make_optimiser, set_rate
from cogd.train.tasks import outputs_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from cogd.train.config import Config
    from cogd.train.data.split import Split
    from cogd.train.distributed import World
    from cogd.train.step import Capture
    from cogd.train.tasks import Task

_EVALUATION_BATCH = 4096
_CPU = torch.device("cpu")


class Loop:
    """Trains a task on model inputs `[n, 56, frames]`.

    Args:
        task: network and loss.
        csi: float32 `[n, 56, frames]`, normalised.
        split: which rows train, calibrate and test.
        config: how.
        checkpoint: file to write after every `config.output.checkpoint_epochs` epochs, and when stopped.
        device: where it is trained; order and augmentation are drawn on the CPU and are the same everywhere.
        capture: how the device records steps (`cogd.train.device.capture_on`).
        world: the processes that train together; the first one writes.
    """

    def __init__(
        self,
        task: Task,
        csi: NDArray[np.float32],
        split: Split,
        config: Config,
        checkpoint: Path | None = None,
        device: torch.device = _CPU,
        capture: Capture | None = None,
        world: World = ALONE,
    ) -> None:
        self._task, self._config, self._recipe = task, config, config.train
        self._checkpoint, self._device, self._world = checkpoint, device, world
        self._data, self._split = data_fingerprint(csi, task.labels), split.digest
        world.check(task.net)
        task.to(device)
        self._csi = torch.from_numpy(csi).to(device)
        self._train, self._calibration = torch.from_numpy(split.train), torch.from_numpy(split.calibration).to(device)
        self._captured = capture is not None and world.size == 1
        self._optimiser = make_optimiser(task, self._recipe, recorded=self._captured)
        self._steps = Steps(task, self._csi, self._optimiser, self._recipe, capture if self._captured else None, world)
        self._order = torch.Generator().manual_seed(self._recipe.seed)
        self._order_before = self._order.get_state()
        self._augmentation = Augmentation(self._recipe, (csi.shape[1], csi.shape[2]))
        self._average = MovingAverage(task.net, self._recipe.ema_decay) if self._recipe.ema_decay else None
        self._epoch = self._step = 0
        self._elapsed_s = 0.0
        self._best_score, self._best_epoch, self._best = -float("inf"), 0, self._weights()

    def run(self, on_epoch: Callable[[Epoch], None] | None = None, stop: Callable[[], bool] = lambda: False) -> bool:
        """Train to the end, from wherever the loop stands; afterwards the network holds the weights to keep.

        Args:
            on_epoch: told of each epoch, before it is in a checkpoint.
            stop: asked after each step whether to stop there.

        Returns:
            Whether it came to the end. If not, a checkpoint says where it stands.
        """
        while self._epoch < self._recipe.epochs and not self._is_stale():
            done = self._train_one_epoch(stop)
            if done is None:
                self.save()
                return False
            if on_epoch is not None:
                on_epoch(done)
            stopped = self._world.any(flag=stop(), device=self._device)
            if stopped or self._epoch % self._config.output.checkpoint_epochs == 0 or self._is_over():
                self.save()
            if stopped:
                return False
        if self._recipe.keep == "best":
            self._task.net.load_state_dict(self._best)
        elif self._average is not None:
            self._task.net.load_state_dict(self._average.tensors)
        return True

    @property
    def summary(self) -> dict[str, object]:
        """How far the training came, for reports."""
        return {
            "epochs": self._epoch,
            "stopped_early": self._is_stale() and self._epoch < self._recipe.epochs,
            "best_epoch": self._best_epoch,
            "best_score": self._best_score,
        }

    def score(self, rows: Tensor) -> float:
        """The task's score over rows, whose outputs are computed in parts that fit into memory."""
        rows = rows.to(self._device)
        with torch.no_grad():
            return self._task.score(self.outputs(rows), rows)

    def outputs(self, rows: Tensor) -> dict[str, Tensor]:
        """The network's outputs for rows, on its device."""
        self._task.net.eval()
        with torch.no_grad():
            split = torch.split(rows.to(self._device), _EVALUATION_BATCH)
            parts = [outputs_of(self._task.net, self._csi[part]) for part in split]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _is_stale(self) -> bool:
        return bool(self._recipe.patience) and self._epoch - self._best_epoch >= self._recipe.patience

    def _is_over(self) -> bool:
        return self._epoch == self._recipe.epochs or self._is_stale()

    def _train_one_epoch(self, stop: Callable[[], bool]) -> Epoch | None:
        """Train what is left of the epoch that is begun; None: stopped before its end."""
        started_s = time.perf_counter() - self._elapsed_s
        self._task.net.train()
        rate = learning_rate(self._recipe, self._epoch)
        set_rate(self._optimiser, rate)
        self._order_before = self._order.get_state()
        rows = self._train[torch.randperm(len(self._train), generator=self._order)]
        batches = torch.split(rows.to(self._device), self._recipe.batch_size or len(rows))
        drop = self._epoch >= self._recipe.epochs - self._recipe.dropout_epochs
        for batch in batches[self._step :]:
            draw = self._augmentation.draw(batch, drop=drop, complete=self._captured)
            self._steps.learn(batch, {name: tensor.to(self._device) for name, tensor in draw.items()})
            if self._average is not None:
                self._average.update()
            self._step += 1
            if self._step < len(batches) and self._world.any(flag=stop(), device=self._device):
                self._elapsed_s = time.perf_counter() - started_s
                return None
        terms = {name: total / len(rows) for name, total in self._steps.take_losses().items()}
        loss = sum(self._task.weights[name] * value for name, value in terms.items())
        if not math.isfinite(loss):  # one that is not stays in the sum
            raise TrainError(f"the loss is {loss} in epoch {self._epoch + 1}", hint="lower the learning rate")
        self._epoch, self._step, self._elapsed_s = self._epoch + 1, 0, 0.0
        self._order_before = self._order.get_state()
        with self._average.in_place() if self._average is not None else contextlib.nullcontext():
            score = self.score(self._calibration)
            if score > self._best_score:
                self._best_score, self._best_epoch, self._best = score, self._epoch, self._weights()
        seconds = time.perf_counter() - started_s
        return Epoch(epoch=self._epoch, loss=loss, terms=terms, score=score, learning_rate=rate, seconds=seconds)

    def _weights(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self._task.net.state_dict().items()}

    def _state(self) -> Checkpoint:
        return Checkpoint(
            model=self._weights(),
            optimiser=self._optimiser.state_dict(),
            average=self._average.tensors if self._average else {},
            average_steps=self._average.steps if self._average else 0,
            epoch=self._epoch,
            step=self._step,
            totals=self._world.sum(self._steps.totals.clone()) / self._world.size,
            elapsed_s=self._elapsed_s,
            order_rng=self._order_before,
            augment_rng=self._augmentation.state(),
            torch_rng=torch.cuda.get_rng_state() if self._device.type == "cuda" else torch.get_rng_state(),
            best_score=self._best_score,
            best_epoch=self._best_epoch,
            best_model=self._best,
            recipe=recipe_of(self._config),
            data=self._data,
            split=self._split,
            device=self._device.type,
            processes=self._world.size,
            chosen=chosen_of(self._config),
        )

    def save(self, path: Path | None = None) -> None:
        """Write a checkpoint, in the first of the processes; the old one stays until the new one is whole."""
        path, state = path or self._checkpoint, self._state()
        if path is not None and self._world.rank == 0:
            write_checkpoint(path, state)

    def resume(self, path: Path) -> int:
        """Take up a checkpoint; returns the epochs done. More epochs than it was begun with may be asked for.

        Raises:
            TrainError: the file is no checkpoint, or belongs to another run (`check_same_run`).
        """
        state = read_checkpoint(path, self._device)
        check_same_run(path, state, self._state(), self._recipe.epochs)
        self._task.net.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._steps.forget()
        self._steps.totals.copy_(state["totals"])
        self._order.set_state(state["order_rng"].cpu())
        self._order_before = self._order.get_state()
        self._augmentation.set_state(state["augment_rng"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(state["torch_rng"].cpu())
        else:
            torch.set_rng_state(state["torch_rng"])
        if self._average is not None:
            self._average.tensors, self._average.steps = state["average"], state["average_steps"]
        self._epoch, self._step, self._elapsed_s = state["epoch"], state["step"], state["elapsed_s"]
        self._best_score, self._best_epoch = state["best_score"], state["best_epoch"]
        self._best = state["best_model"]
        return self._epoch
