"""What is learnt: a network, the terms of its loss and its score. Each head has one, in `cogd.train.heads`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

    from cogd.train.losses import Mean
    from cogd.train.nets.base import Net

    Outputs = Mapping[str, Tensor]


class Task(Protocol):
    """A network with its labels."""

    @property
    def net(self) -> Net:
        """The network."""

    @property
    def labels(self) -> tuple[Tensor, ...]:
        """What is learnt from, a row for each row of the data."""

    @property
    def weights(self) -> Mapping[str, float]:
        """The terms of the loss that count, and how much."""

    def to(self, device: torch.device) -> None:
        """Move network and labels; what the others are given must be there too."""

    def inputs(self, rows: Tensor) -> Tensor:
        """Rows of the data that the network must see to learn from these: themselves, and whatever behind them."""

    def terms(self, outputs: Outputs, rows: Tensor) -> Mapping[str, Mean]:
        """Those terms, of the network's outputs for `inputs(rows)`."""

    def score(self, outputs: Outputs, rows: Tensor) -> float:
        """How good outputs for these rows are; higher is better."""


def outputs_of(net: Net, csi: Tensor) -> dict[str, Tensor]:
    """Return a network's outputs by name: float64 where it computes in float64, else float32."""
    outputs = zip(net.output_names, net(csi), strict=True)
    return {name: tensor if tensor.element_size() == 8 else tensor.float() for name, tensor in outputs}
