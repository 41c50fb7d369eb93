"""The two networks of the published cogs, layer for layer, under the names of their weight files."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cogd.train.nets.base import CLASS_COUNT, JOINT_COUNT, Net


class Encoder(nn.Module):
    """Three dilated convolutions over time: `[batch, 56, frames]` to `[batch, 128]`."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv1d(56, 64, 3, padding=1)
        self.c2 = nn.Conv1d(64, 128, 3, padding=2, dilation=2)
        self.c3 = nn.Conv1d(128, 128, 3, padding=4, dilation=4)

    def forward(self, csi_window: Tensor) -> Tensor:
        """Encode and average over time."""
        encoded = functional.relu(self.c1(csi_window))
        encoded = functional.relu(self.c2(encoded))
        return functional.relu(self.c3(encoded)).mean(dim=2)


class Perceptron(nn.Module):
    """Two linear layers with a ReLU between."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc2 = nn.Linear(hidden, outputs)

    def forward(self, values: Tensor) -> Tensor:
        """Apply both layers."""
        hidden: Tensor = functional.relu(self.fc1(values))
        outputs: Tensor = self.fc2(hidden)
        return outputs


class PoseNet(Net):
    """`csi_window [batch, 56, frames]` to `keypoints [batch, 34]` in 0..1: x0, y0, x1, y1 ... 126,562 parameters."""

    output_names = ("keypoints",)

    def __init__(self) -> None:
        super().__init__()
        self.enc = Encoder()
        self.head = Perceptron(128, 256, 2 * JOINT_COUNT)

    def forward(self, csi_window: Tensor) -> tuple[Tensor]:
        """Estimate the keypoints."""
        return (torch.sigmoid(self.head(self.enc(csi_window))),)


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
