"""The pose network that listens to changes and says how far off each joint may be."""

from __future__ import annotations

import torch
from torch import Tensor

from cogd.train.nets.base import JOINT_COUNT, Net
from cogd.train.nets.published import Encoder, Perceptron

CHANGE_SCALE = 50.0
"""Where a tone's change goes from straight to logarithmic: at a fiftieth of the window's level, twice the noise of a
good radio."""


class PoseNetV2(Net):
    """`csi_window [batch, 56, frames]`, not normalised, to `keypoints [batch, 34]` and `log_scale [batch, 17]`.

    Each tone's mean over the window is taken away, and what is left goes through sign(x) log(1 + 50 |x|): what stands
    still is another in every room, and weak changes tell as much as strong ones. Then come the published network's
    layers; the last one has an output more for each joint: the natural logarithm of the scale of a Laplace
    distribution around either coordinate, in picture widths (A. Kendall and Y. Gal, What uncertainties do we need in
    Bayesian deep learning for computer vision?, 2017). 130,931 parameters.
    """

    output_names = ("keypoints", "log_scale")
    wants_normaliser = False

    def __init__(self) -> None:
        super().__init__()
        self.enc = Encoder()
        self.pose = Perceptron(128, 256, 3 * JOINT_COUNT)

    def forward(self, csi_window: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the keypoints and how far off they may be."""
        change = csi_window - csi_window.mean(dim=2, keepdim=True)
        values = self.pose(self.enc(change.sign() * torch.log1p(CHANGE_SCALE * change.abs())))
        return torch.sigmoid(values[:, : 2 * JOINT_COUNT]), values[:, 2 * JOINT_COUNT :]
