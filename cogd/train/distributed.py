"""Several processes that train as one, started by `torchrun`: each has all the data and its part of every batch.

Nothing is averaged that was not weighed: losses are divided by what the whole batch amounts to, gradients are summed.
So the result is one process's but for rounding, however unequal the parts are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.distributed
from torch import Tensor, nn

from cogd.errors import TrainError

if TYPE_CHECKING:
    from collections.abc import Iterable

_OF_THE_BATCH = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)  # noqa: SLF001  they have no other base


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes:
        rank: which one this is; 0 writes.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def part(self, count: int) -> slice:
        """This process's part of so many windows; parts differ by one window at most, and may be empty."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            torch.distributed.all_reduce(tensor)
        return tensor

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Each gradient becomes the sum over all processes; one that has none counts as zeros."""
        if self.size == 1:
            return
        learnt = [parameter for parameter in parameters if parameter.requires_grad]
        for parameter in learnt:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in learnt if parameter.grad is not None]
        flat = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, summed in zip(gradients, torch.split(flat, [len(g.flatten()) for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def any(self, *, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set in any process."""
        if self.size == 1:
            return flag
        return bool(self.sum(torch.tensor(float(flag), device=device)).item())

    def check(self, net: nn.Module) -> None:
        """See that the network learns the same from parts of a batch as from the whole.

        Raises:
            TrainError: it has batch statistics, or draws random numbers of its own.
        """
        for module in net.modules() if self.size > 1 else ():
            if isinstance(module, _OF_THE_BATCH):
                raise TrainError(
                    f"the network has a {type(module).__name__}: in parts of a batch it learns something else",
                    hint="train it in one process",
                )


ALONE = World()


def join_world(device: torch.device) -> World:
    """The processes that `torchrun` started, or this one alone; gloo on the CPU, NCCL on GPUs.

    Raises:
        TrainError: they can't be joined.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    try:
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:
        raise TrainError(
            f"{size} processes can't be joined: {error}",
            hint="torchrun --standalone --nproc_per_node=2 -m cogd.train.cli pose ...",
        ) from error
    return World(torch.distributed.get_rank(), size)


def leave_world() -> None:
    """End what `join_world` began."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
