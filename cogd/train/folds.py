"""A confidence that learns from answers out of fold.

A network is right about most of what it was trained on, and says so of what it never saw. So the training part is dealt
into folds of whole rooms; for each a network of its own is trained on the others and answers for it. From these answers
the final network's confidence learns, everything else of it kept as it is (stacking: D. Wolpert, 1992).

Each fold's training has a checkpoint of its own in the run directory, and `--resume` goes on with it. What the
confidence learns afterwards takes little time, and begins anew.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import torch

from cogd.errors import TrainError
from cogd.train.configfile import changed
from cogd.train.data.split import rows_split
from cogd.train.device import capture_on
from cogd.train.loop import Loop
from cogd.train.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from cogd.train.config import Config
    from cogd.train.data.split import Split
    from cogd.train.data.windows import Windows
    from cogd.train.distributed import World
    from cogd.train.history import Epoch
    from cogd.train.tasks import Outputs

    Rows = NDArray[np.int64]
    Tell = Callable[[str, Epoch], None]
    MakeTask = Callable[[Rows], "ConfidentTask"]

CONFIDENCE_SHARE: Final = 0.25
"""Of the epochs of the run: so long the confidence learns."""


class ConfidentTask(Task, Protocol):
    """A task whose network has a confidence that can learn apart."""

    def right(self, outputs: Outputs, rows: Tensor) -> Tensor:
        """Whether each row's answer is right, 1 or 0 `[n]`."""

    def confidence_task(self, right: Tensor) -> Task:
        """What the confidence learns by; `right` `[rows of the data]` is 1 or 0."""


def deal(windows: Windows, rows: Rows, folds: int, seed: int) -> list[Rows]:
    """So many folds of whole rooms, or of sessions where rooms are not known; each room or session is in one.

    Raises:
        TrainError: there are too few.
    """
    by = "room" if (windows.room[rows] >= 0).all() else "session"
    numbers: Rows = getattr(windows, by)[rows]
    present = np.unique(numbers)
    if len(present) < folds:
        raise TrainError(
            f"{len(present)} {by}(s) train, which can't be dealt into {folds} folds", hint="fewer train.folds, or 0"
        )
    shuffled = np.random.default_rng(seed).permutation(present)
    return [rows[np.isin(numbers, shuffled[number::folds])] for number in range(folds)]


class Folds:
    """The trainings that follow on that of the network itself.

    Args:
        config: of the run.
        windows: its data.
        inputs: what the network sees of them, float32 `[n, 56, frames]`.
        split: its parts; the training part is dealt into folds.
        make_task: makes the task of some rows, with fresh weights.
        folder: where checkpoints are; None: there are none.
        device: where it is trained.
        world: the processes that train together.
    """

    def __init__(
        self,
        config: Config,
        windows: Windows,
        inputs: NDArray[np.float32],
        split: Split,
        make_task: MakeTask,
        folder: Path | None,
        device: torch.device,
        world: World,
    ) -> None:
        self._config, self._inputs, self._split, self._make_task = config, inputs, split, make_task
        self._folder, self._device, self._world = folder, device, world
        self._count = len(windows)
        self.rows = deal(windows, split.train, config.train.folds, config.train.seed)

    def learn_confidence(self, task: ConfidentTask, tell: Tell, stop: Callable[[], bool], *, resume: bool) -> bool:
        """Train a network for each fold, then the confidence of `task`'s, which counts already.

        Returns:
            Whether it came to the end. If not, checkpoints say where it stands.

        Raises:
            TrainError: a checkpoint can't be used.
        """
        right = torch.zeros(self._count)
        for number, held in enumerate(self.rows, start=1):
            others = np.setdiff1d(self._split.train, held)
            torch.manual_seed(self._config.train.seed + number)
            fold_task = self._make_task(others)
            name = f"fold-{number}"
            checkpoint = None if self._folder is None else self._folder / f"{name}.pt"
            loop = self._loop(
                fold_task, self._config, rows_split(name, others, self._split.calibration, held), checkpoint
            )
            if resume and checkpoint is not None and checkpoint.exists():
                loop.resume(checkpoint)
            if not loop.run(functools.partial(tell, name), stop):
                return False
            rows = torch.from_numpy(held).to(self._device)
            right[torch.from_numpy(held)] = fold_task.right(loop.outputs(rows), rows).cpu()
        torch.manual_seed(self._config.train.seed)
        epochs = max(1, round(CONFIDENCE_SHARE * self._config.train.epochs))
        once_down = {"schedule": "cosine", "milestones": [], "warmup_epochs": 0, "restart_epochs": epochs}
        short = changed(
            self._config, {f"train.{key}": value for key, value in ({"epochs": epochs} | once_down).items()}
        )
        loop = self._loop(task.confidence_task(right), short, self._split)
        return loop.run(functools.partial(tell, "confidence"), stop)

    def _loop(self, task: Task, config: Config, split: Split, checkpoint: Path | None = None) -> Loop:
        capture = capture_on(self._device)
        return Loop(task, self._inputs, split, config, checkpoint, self._device, capture, self._world)
