"""The count network of this project: what changes within five seconds, and nothing of what stays.

What stays is the room: walls, furniture and the radio's own response make a pattern over the tones that is the same in
all windows of a room and in no other's, and a network that sees it learns rooms by heart. So each tone's mean over the
window is taken away. What is left is small where somebody breathes and large where somebody passes near a node; the
logarithm brings both into one range. `docs/ablations.md` has what was tried beside this.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from cogd.train.nets.base import CLASS_COUNT, Net
from cogd.train.nets.published import Perceptron

KNEE: Final = 50.0
"""Changes above a fiftieth of the column's root mean square are compressed."""


class StridedCountNet(Net):
    """`csi_window [batch, 56, frames]` of unit columns to `count_logits [batch, 8]`, `conf_logits [batch, 1]`.

    Made for windows of 100 cells of 50 ms. 85,593 parameters.
    """

    output_names = ("count_logits", "conf_logits")
    wants_normaliser = False

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv1d(56, 48, 5, stride=2, padding=2)
        self.c2 = nn.Conv1d(48, 96, 5, stride=2, padding=2)
        self.c3 = nn.Conv1d(96, 112, 3, padding=2, dilation=2)
        self.count_head = Perceptron(112, 64, CLASS_COUNT)
        self.conf_head = Perceptron(112, 64, 1)

    def forward(self, csi_window: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the number of persons, and whether that estimate is right."""
        encoded = self.encode(csi_window)
        return self.count_head(encoded), self.conf_head(encoded)

    def encode(self, csi_window: Tensor) -> Tensor:
        """What both heads see, `[batch, 112]`."""
        change = csi_window - csi_window.mean(dim=2, keepdim=True)
        encoded = torch.sign(change) * torch.log1p(KNEE * change.abs())
        for layer in (self.c1, self.c2, self.c3):
            encoded = functional.relu(layer(encoded))
        return encoded.mean(dim=2)
