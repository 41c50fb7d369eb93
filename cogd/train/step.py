"""One step of training: gather a batch, lose, learn. As it comes, or recorded once and played again.

A recorded step reads its batch from buffers of its own, works on the very tensors of network and optimiser, and can't
look at a value on the way: the loss is added up on the device, and whoever wants it reads the sum.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cogd.train.recipe import Recipe
    from cogd.train.tasks import Task

    Capture = Callable[[Callable[[], None]], Callable[[], None]]


def make_optimiser(task: Task, recipe: Recipe, *, recorded: bool) -> torch.optim.AdamW:
    """AdamW; for recorded steps with its counters and the learning rate in tensors, which the steps read."""
    parameters = list(task.net.parameters())
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if not recorded:
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    device = parameters[0].device
    return torch.optim.AdamW(
        parameters,
        lr=torch.tensor(rate, device=device),
        weight_decay=decay,
        capturable=device.type == "cuda",
        fused=True,
    )


class Steps:
    """Steps of one task on one device.

    Args:
        task: network and loss.
        csi: float32 `[n, 56, frames]` on the device, the whole of the data.
        optimiser: of the task's network.
        capture: records work so that it can be played again (`cogd.train.device`); None: every step is launched anew.
    """

    def __init__(self, task: Task, csi: Tensor, optimiser: torch.optim.Optimizer, capture: Capture | None) -> None:
        self._task, self._csi, self._optimiser, self._capture = task, csi, optimiser, capture
        self._total = torch.zeros((), dtype=torch.float64, device=csi.device)
        self._recorded: dict[int, _Recorded] = {}

    def learn(self, rows: Tensor, kept: Tensor | None) -> None:
        """Learn from some rows of the data.

        Args:
            rows: int64 `[batch]` on the device.
            kept: bool `[batch, 56]` on the device, which subcarriers are not dropped; None: all of them are kept.
        """
        if self._capture is None:
            self._work(rows, kept)
            return
        if len(rows) not in self._recorded:
            self._recorded[len(rows)] = self._record(len(rows), self._capture)
        self._recorded[len(rows)].play(rows, kept)

    def take_loss(self) -> float:
        """The sum over windows of the losses since this was last asked; waits for the device."""
        total = self._total.item()
        self._total.zero_()
        return total

    def forget(self) -> None:
        """Forget what is recorded: the optimiser's tensors are others now."""
        self._recorded.clear()

    def _work(self, rows: Tensor, kept: Tensor | None) -> None:
        csi = self._csi[rows]
        if kept is not None:
            csi = csi * kept[:, :, None]
        loss = self._task.loss(csi, rows)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self._total += loss.detach().double() * len(rows)

    def _record(self, size: int, capture: Capture) -> _Recorded:
        """Record a step of this many windows; it leaves weights, optimiser and loss as they were."""
        rows = torch.zeros(size, dtype=torch.int64, device=self._csi.device)
        kept = torch.ones(size, self._csi.shape[1], dtype=torch.bool, device=self._csi.device)
        with unchanged([*self._task.net.parameters(), self._total], self._optimiser):
            replay = capture(lambda: self._work(rows, kept))
        return _Recorded(rows, kept, replay)


class _Recorded:
    """A recorded step and the buffers that it reads."""

    def __init__(self, rows: Tensor, kept: Tensor, replay: Callable[[], None]) -> None:
        self._rows, self._kept, self._replay = rows, kept, replay

    def play(self, rows: Tensor, kept: Tensor | None) -> None:
        """Do the step for these rows."""
        self._rows.copy_(rows)
        if kept is None:
            self._kept.fill_(value=True)
        else:
            self._kept.copy_(kept)
        self._replay()


@contextlib.contextmanager
def unchanged(tensors: list[Tensor], optimiser: torch.optim.Optimizer) -> Iterator[None]:
    """Tensors and the optimiser's state have their old values afterwards, in the place where they are then."""

    def state() -> dict[tuple[int, str], Tensor]:
        return {
            (id(parameter), name): value
            for parameter, values in optimiser.state.items()
            for name, value in values.items()
            if isinstance(value, Tensor)
        }

    before = [tensor.detach().clone() for tensor in tensors]
    state_before = {key: value.clone() for key, value in state().items()}
    yield
    with torch.no_grad():
        for tensor, value in zip(tensors, before, strict=True):
            tensor.copy_(value)
        for key, value in state().items():
            value.copy_(state_before.get(key, torch.zeros_like(value)))  # AdamW's state begins with zeros
