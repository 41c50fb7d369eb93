"""The part of a trainer head that needs torch, and what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from cogd.train.tasks import outputs_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from cogd.bundle.manifest import OutputSpec
    from cogd.csi.model_input import ModelInput
    from cogd.train.config import Config
    from cogd.train.data.split import Split
    from cogd.train.data.windows import Windows
    from cogd.train.metrics.confidence import Usual
    from cogd.train.nets.base import Net
    from cogd.train.predictions import Answer
    from cogd.train.tasks import Task

_BATCH = 4096


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network and what it is to be judged by.

    Attributes:
        net: on the CPU.
        model_input: how its input is made of windows.
        config: of the run.
        windows: the data that it was trained on a part of.
        split: the parts.
        folder: the run directory, for what the daemon's head needs beside the model.
    """

    net: Net
    model_input: ModelInput
    config: Config
    windows: Windows
    split: Split
    folder: Path

    def outputs(self, csi: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """The network's outputs of raw windows `[n, 56, frames]`, by name."""
        inputs = torch.from_numpy(self.model_input.prepare(csi))
        self.net.eval()
        with torch.no_grad():
            parts = [outputs_of(self.net, part) for part in torch.split(inputs, _BATCH)]
        return {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}


@dataclass(frozen=True, eq=False)
class Judged:
    """What a trained network gives, after calibration.

    Attributes:
        output: the bundle's description of it.
        answer: what it says of raw windows `[n, 56, frames]`.
        usual: one confidence for every window, as a baseline of its own; None where it has no confidence.
    """

    output: OutputSpec
    answer: Callable[[NDArray[np.float32]], Answer]
    usual: Usual | None = None


class Learning(Protocol):
    """The part of a head's trainer that needs torch."""

    @property
    def title(self) -> str:
        """What its models are, for people."""

    @property
    def limits(self) -> tuple[str, ...]:
        """What its models can't do, for people."""

    def make_task(self, windows: Windows, train_rows: NDArray[np.int64], config: Config) -> Task:
        """The task on these windows, of which these rows train; the network has fresh weights.

        Raises:
            TrainError: the labels can't be learnt from.
            ConfigError: the network does not fit the head or the loss.
        """

    def check_calibration(self, windows: Windows, calibration_rows: NDArray[np.int64], config: Config) -> None:
        """See, before anything is trained, that `judge` can calibrate on these rows.

        Raises:
            TrainError: it can't, whatever comes of the training.
        """

    def judge(self, trained: Trained) -> Judged:
        """Calibrate on the calibration part and describe the outputs; writes the calibration, if there is one."""


def active(weights: dict[str, float]) -> dict[str, float]:
    """The terms that count."""
    return {name: weight for name, weight in weights.items() if weight > 0}
