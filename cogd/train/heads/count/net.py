"""The count network of this project: what changes within five seconds, and nothing of what stays.

What stays is the room: walls, furniture and the radio's own response make a pattern over the tones that is the same in
all windows of a room and in no other's, and a network that sees it learns rooms by heart. So each tone's mean over the
window is taken away. What is left is small where somebody breathes and large where somebody passes near a node;
x / (1 + |x|) brings both into one range. `docs/ablations.md` has what was tried beside this.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn
from torch.nn import functional

from cogd.train.nets.base import CLASS_COUNT, Net
from cogd.train.nets.published import Encoder, Perceptron

MIDDLE: Final = 0.1
"""What change is in the middle of that range, in a column's root mean square. x is the change divided by it."""

_WIDTHS: Final = (48, 80, 96)


class StridedEncoder(nn.Module):
    """Changes over time, every fourth column of them kept: `[batch, 56, frames]` to `[batch, 96]`."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv1d(56, _WIDTHS[0], 5, stride=2, padding=2)
        self.c2 = nn.Conv1d(_WIDTHS[0], _WIDTHS[1], 5, stride=2, padding=2)
        self.c3 = nn.Conv1d(_WIDTHS[1], _WIDTHS[2], 3, padding=2, dilation=2)

    def forward(self, csi_window: Tensor) -> Tensor:
        """Take the mean away, compress, encode, average over time."""
        change = csi_window - csi_window.mean(dim=2, keepdim=True)
        encoded = change / (MIDDLE + change.abs())
        for layer in (self.c1, self.c2, self.c3):
            encoded = functional.relu(layer(encoded))
        return encoded.mean(dim=2)


class StridedCountNet(Net):
    """`csi_window [batch, 56, frames]` to `count_logits [batch, 8]`, `conf_logits [batch, 1]`. 65,769 parameters.

    Columns are of unit root mean square; made for windows of 100 cells of 50 ms.
    """

    output_names = ("count_logits", "conf_logits")
    wants_normaliser = False

    def __init__(self) -> None:
        super().__init__()
        self.strided = StridedEncoder()
        self.count_head = Perceptron(_WIDTHS[-1], 64, CLASS_COUNT)
        self.conf_head = Perceptron(_WIDTHS[-1], 32, 1)

    def forward(self, csi_window: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the number of persons, and whether that estimate is right."""
        encoded = self.strided(csi_window)
        return self.count_head(encoded), self.conf_head(encoded)


class CountNet(Net):
    """`csi_window [batch, 56, frames]` to `count_logits [batch, 8]`, `conf_logits [batch, 1]`. 97,737 parameters."""

    output_names = ("count_logits", "conf_logits")

    def __init__(self) -> None:
        super().__init__()
        self.enc = Encoder()
        self.count_head = Perceptron(128, 64, CLASS_COUNT)
        self.conf_head = Perceptron(128, 32, 1)

    def forward(self, csi_window: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the number of persons, and whether that estimate is right."""
        encoded = self.enc(csi_window)
        return self.count_head(encoded), self.conf_head(encoded)
