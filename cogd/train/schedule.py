"""What changes from epoch to epoch and step to step: the learning rate, and the moving average of the weights.

Both are functions of how far the training is, not of a history: a resumed run has nothing to restore but that.
"""

from __future__ import annotations

import bisect
import contextlib
import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from cogd.train.config import TrainConfig


def learning_rate(train: TrainConfig, epoch: int) -> float:
    """The rate of an epoch, counted from 0.

    A warm-up of w epochs takes the rate up in a line: 1/w of it in the first, all of it in the last. Then `cosine`
    falls from the full rate towards 0 within `restart_epochs`, again and again (Loshchilov and Hutter 2017); `steps`
    multiplies by gamma behind each milestone, which counts all epochs; `constant` stays.
    """
    rate = train.learning_rate
    if epoch < train.warmup_epochs:
        return rate * (epoch + 1) / train.warmup_epochs
    if train.schedule == "cosine":
        place = (epoch - train.warmup_epochs) % train.restart_epochs
        return rate * (1 + math.cos(math.pi * place / train.restart_epochs)) / 2
    if train.schedule == "steps":
        return float(rate * train.gamma ** bisect.bisect_right(train.milestones, epoch))
    return rate


class MovingAverage:
    """Exponential moving average of a network's weights.

    The decay of step t is min(decay, t / (t + 9)), so that the first weights, which are random, are soon forgotten.

    Args:
        net: the network.
        decay: how much of the average a step keeps.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self._net, self._decay = net, decay
        self.steps = 0
        self.tensors = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}

    def update(self) -> None:
        """Take in the weights of the step that was just done; what is not a float is copied."""
        self.steps += 1
        decay = min(self._decay, self.steps / (self.steps + 9))
        for name, tensor in self._net.state_dict().items():
            if tensor.is_floating_point():
                self.tensors[name].lerp_(tensor, 1 - decay)
            else:
                self.tensors[name].copy_(tensor)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The network has the averaged weights inside, and its own again afterwards, in the same memory."""
        own = {name: tensor.detach().clone() for name, tensor in self._net.state_dict().items()}
        _copy(self.tensors, self._net)
        try:
            yield
        finally:
            _copy(own, self._net)


def _copy(tensors: dict[str, Tensor], net: nn.Module) -> None:
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            tensor.copy_(tensors[name])
