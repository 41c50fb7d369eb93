"""The pose network that hears changes apart from what stands still, and says how far off each joint may be."""

from __future__ import annotations

import torch
from torch import Tensor

from cogd.train.nets.base import JOINT_COUNT, Net
from cogd.train.nets.published import Encoder, Perceptron

CHANGE_SCALE = 50.0
"""Where a tone's change goes from straight to logarithmic: at a fiftieth of the window's level, about the noise of a
good radio."""

STILL_SCALE = 3.0
"""One by the standard deviation of a tone's mean over rooms, in units of the window's level."""


class PoseNetV2(Net):
    """`csi_window [batch, 56, frames]`, not normalised, to `keypoints [batch, 34]` and `log_scale [batch, 17]`.

    Each tone's mean over the window is taken away, and the change that is left goes through sign(x) log(1 + 50 |x|), so
    that weak changes tell as much as strong ones; then come the published network's convolutions. The means themselves
    join behind these: as part of every frame they drown the changes, and are learnt by heart room by room.

    The last layer has an output more for each joint: the natural logarithm of the scale of a Laplace distribution
    around either coordinate, in picture widths (A. Kendall and Y. Gal, What uncertainties do we need in Bayesian deep
    learning for computer vision?, 2017). 145,267 parameters.
    """

    output_names = ("keypoints", "log_scale")
    wants_normaliser = False

    def __init__(self) -> None:
        super().__init__()
        self.enc = Encoder()
        self.pose = Perceptron(128 + 56, 256, 3 * JOINT_COUNT)

    def forward(self, csi_window: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the keypoints and how far off they may be."""
        mean = csi_window.mean(dim=2, keepdim=True)
        change = csi_window - mean
        encoded = self.enc(change.sign() * torch.log1p(CHANGE_SCALE * change.abs()))
        still = STILL_SCALE * (mean.squeeze(2) - 1)
        values = self.pose(torch.cat([encoded, still], dim=1))
        return torch.sigmoid(values[:, : 2 * JOINT_COUNT]), values[:, 2 * JOINT_COUNT :]


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
