"""One step of training: gather a batch, lose, learn. As it comes, or recorded once and played again.

A recorded step reads its batch from buffers of its own, works on the very tensors of network and optimiser, and can't
look at a value on the way: the losses are added up on the device, and whoever wants them reads the sums.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cogd.train import augment
from cogd.train.distributed import ALONE
from cogd.train.tasks import outputs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cogd.train.augment import Draw
    from cogd.train.config import TrainConfig
    from cogd.train.distributed import World
    from cogd.train.losses import Mean
    from cogd.train.tasks import Task

    Capture = Callable[[Callable[[], None]], Callable[[], None]]


def make_optimiser(task: Task, train: TrainConfig, *, recorded: bool) -> torch.optim.AdamW:
    """AdamW; for recorded steps with its counters and the learning rate in tensors, which the steps read."""
    parameters = list(task.net.parameters())
    rate, decay = train.learning_rate, train.weight_decay
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


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate, in the tensor that recorded steps read where it is one."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


class Steps:
    """Steps of one task on one device.

    Args:
        task: network and loss.
        csi: `[n, 56, frames]` on the device, the whole of the data: float32, or float64 where the network computes so.
        optimiser: of the task's network.
        train: precision and clipping.
        capture: records work so that it can be played again (`cogd.train.device`); None: every step is launched anew.
        world: the processes that share each batch.
    """

    def __init__(
        self,
        task: Task,
        csi: Tensor,
        optimiser: torch.optim.Optimizer,
        train: TrainConfig,
        capture: Capture | None = None,
        world: World = ALONE,
    ) -> None:
        self._task, self._csi, self._optimiser, self._capture, self._world = task, csi, optimiser, capture, world
        self._half, self._clip = train.precision == "bf16", train.clip_norm
        self._names = list(task.weights)
        self.totals = torch.zeros(len(self._names), dtype=torch.float64, device=csi.device)
        self._recorded: dict[int, _Recorded] = {}

    def learn(self, rows: Tensor, draw: Draw) -> None:
        """Learn from some rows of the data.

        Args:
            rows: int64 `[batch]` on the device.
            draw: their augmentation (`cogd.train.augment`), on the device.
        """
        if self._capture is None:
            self._work(rows, draw)
            return
        if len(rows) not in self._recorded:
            self._recorded[len(rows)] = self._record(rows, draw, self._capture)
        self._recorded[len(rows)].play(rows, draw)

    def take_losses(self) -> dict[str, float]:
        """The sums over windows of each term since this was last asked; waits for the device."""
        totals: list[float] = self._world.sum(self.totals.clone()).tolist()
        self.totals.zero_()
        return dict(zip(self._names, totals, strict=True))

    def forget(self) -> None:
        """Forget what is recorded: the optimiser's tensors are others now."""
        self._recorded.clear()

    def _work(self, rows: Tensor, draw: Draw) -> None:
        mine = self._world.part(len(rows))
        values = self._values(rows[mine], augment.part(draw, mine))
        self._optimiser.zero_grad()
        if values is not None:
            weighted = (self._task.weights[name] * value for name, value in zip(self._names, values, strict=True))
            loss = functools.reduce(torch.add, weighted)
            loss.backward()  # type: ignore[no-untyped-call]
            self.totals += torch.stack([value.detach() for value in values]).double() * len(rows)
        self._world.sum_gradients(self._task.net.parameters())
        if self._clip:
            torch.nn.utils.clip_grad_norm_(self._task.net.parameters(), self._clip)
        self._optimiser.step()

    def _values(self, rows: Tensor, draw: Draw) -> list[Tensor] | None:
        """This process's share of each term; None where it has none of the batch."""
        mixed = "partner" in draw
        if len(rows) == 0:
            self._world.sum(self._csi.new_zeros(len(self._names) * (1 + mixed)))
            return None
        seen = self._task.inputs(rows)
        repeated = {
            name: tensor.repeat(len(seen) // len(rows), *[1] * (tensor.ndim - 1)) for name, tensor in draw.items()
        }
        csi = augment.apply(self._csi[seen], repeated, self._csi[repeated["partner"]] if mixed else None)
        with torch.autocast(csi.device.type, torch.bfloat16, enabled=self._half, cache_enabled=False):
            outputs = outputs_of(self._task.net, csi)
        means = self._listed(self._task.terms(outputs, rows))
        if mixed:
            means += self._listed(self._task.terms(outputs, draw["partner"]))
        values = self._shares(means)
        if not mixed:
            return values
        share, count = draw["share"][0], len(self._names)
        return [share * own + (1 - share) * other for own, other in zip(values[:count], values[count:], strict=True)]

    def _listed(self, means: Mapping[str, Mean]) -> list[Mean]:
        return [means[name] for name in self._names]

    def _shares(self, means: Sequence[Mean]) -> list[Tensor]:
        """Means over the whole batch: of each, what this process's windows add to it."""
        if self._world.size == 1:
            return [mean.value for mean in means]
        amounts = torch.stack([mean.amount.detach().to(self._csi.dtype) for mean in means])
        whole = self._world.sum(amounts.clone())
        return [mean.value * share for mean, share in zip(means, amounts / whole.clamp(min=1e-6), strict=True)]

    def _record(self, rows: Tensor, draw: Draw, capture: Capture) -> _Recorded:
        """Record a step of as many windows; it leaves weights, optimiser and losses as they were."""
        rows = torch.zeros_like(rows)
        draw = {name: torch.zeros_like(tensor) for name, tensor in draw.items()}
        with unchanged([*self._task.net.state_dict(keep_vars=True).values(), self.totals], self._optimiser):
            replay = capture(lambda: self._work(rows, draw))
        return _Recorded(rows, draw, replay)


class _Recorded:
    """A recorded step and the buffers that it reads."""

    def __init__(self, rows: Tensor, draw: Draw, replay: Callable[[], None]) -> None:
        self._rows, self._draw, self._replay = rows, draw, replay

    def play(self, rows: Tensor, draw: Draw) -> None:
        """Do the step for these rows."""
        self._rows.copy_(rows)
        for name, buffer in self._draw.items():
            buffer.copy_(draw[name])
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
