"""What is learnt: a network, its loss and its score, for each head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cogd.errors import TrainError
from cogd.train.nets import CLASS_COUNT, JOINT_COUNT, CountNet, PoseNet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.train.data.windows import Windows


class Task(Protocol):
    """A network with its labels."""

    @property
    def net(self) -> PoseNet | CountNet:
        """The network."""

    @property
    def labels(self) -> tuple[Tensor, ...]:
        """What is learnt from, a row for each row of the data."""

    def to(self, device: torch.device) -> None:
        """Move network and labels; what the others are given must be there too."""

    def loss(self, csi: Tensor, rows: Tensor) -> Tensor:
        """Scalar loss of model inputs `[n, 56, frames]` that belong to these rows of the data."""

    def score(self, csi: Tensor, rows: Tensor) -> float:
        """How good the network is on these rows; higher is better."""


class PoseTask:
    """Keypoints by confidence-weighted SmoothL1, beta 0.1."""

    def __init__(self, windows: Windows) -> None:
        self.net = PoseNet()
        self._keypoints = torch.from_numpy(windows.keypoints)
        self._weight = torch.from_numpy(windows.weight)
        self.labels = (self._keypoints, self._weight)

    def to(self, device: torch.device) -> None:
        """Move network, keypoints and weights."""
        self.net.to(device)
        self.labels = self._keypoints, self._weight = self._keypoints.to(device), self._weight.to(device)

    def loss(self, csi: Tensor, rows: Tensor) -> Tensor:
        """Weighted mean over windows of the mean loss over coordinates."""
        error = functional.smooth_l1_loss(self._keypoints_of(csi), self._keypoints[rows], beta=0.1, reduction="none")
        weight = self._weight[rows]
        return (error.mean(dim=(1, 2)) * weight).sum() / weight.sum().clamp(min=1e-6)

    def score(self, csi: Tensor, rows: Tensor) -> float:
        """Minus the mean distance of joints."""
        return -float((self._keypoints_of(csi) - self._keypoints[rows]).norm(dim=-1).mean())

    def _keypoints_of(self, csi: Tensor) -> Tensor:
        keypoints: Tensor = self.net(csi)[0]
        return keypoints.reshape(-1, JOINT_COUNT, 2)


class CountTask:
    """Number of persons by cross-entropy, and a confidence that learns whether that number is right."""

    def __init__(self, windows: Windows, train_rows: NDArray[np.int64]) -> None:
        self.net = CountNet()
        self._persons = torch.from_numpy(windows.persons)
        self.labels = (self._persons,)
        if int(self._persons.min()) < 0 or int(self._persons.max()) >= CLASS_COUNT:
            raise TrainError(f"the labels hold counts outside 0..{CLASS_COUNT - 1}, which the network can't express")
        if len(np.unique(windows.persons[train_rows])) < 2:
            raise TrainError(
                "the training part holds one number of persons only: a model of it could say nothing else",
                hint="record or simulate other numbers too",
            )
        frequency = torch.bincount(self._persons[torch.from_numpy(train_rows)], minlength=CLASS_COUNT).float()
        present = frequency > 0
        weight = torch.zeros(CLASS_COUNT)
        weight[present] = frequency.sum() / (present.sum() * frequency[present])
        self._class_weight = weight

    def to(self, device: torch.device) -> None:
        """Move network, numbers of persons and class weights."""
        self.net.to(device)
        self._persons, self._class_weight = self._persons.to(device), self._class_weight.to(device)
        self.labels = (self._persons,)

    def loss(self, csi: Tensor, rows: Tensor) -> Tensor:
        """CE + 0.3 BCE + 0.1 Brier; the confidence's target is whether the count is right at this moment."""
        count_logits, conf_logits = self.net(csi)
        persons = self._persons[rows]
        right = (count_logits.argmax(dim=1) == persons).float()
        confidence = torch.sigmoid(conf_logits[:, 0])
        cross_entropy = functional.cross_entropy(count_logits, persons, weight=self._class_weight)
        bce = functional.binary_cross_entropy_with_logits(conf_logits[:, 0], right)
        brier = torch.mean((confidence - right) ** 2)
        return cross_entropy + 0.3 * bce + 0.1 * brier

    def score(self, csi: Tensor, rows: Tensor) -> float:
        """Accuracy."""
        count_logits, _ = self.net(csi)
        return float((count_logits.argmax(dim=1) == self._persons[rows]).float().mean())
