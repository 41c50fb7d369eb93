"""Motion: whether somebody moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from cogd.bundle.manifest import OutputSpec
from cogd.bundle.manifest import Tensor as TensorSpec
from cogd.errors import TrainError
from cogd.train import losses
from cogd.train.heads.base import Judged, active, make_net
from cogd.train.predictions import Answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.train.config import Config, MotionLoss
    from cogd.train.data.windows import Windows
    from cogd.train.heads.base import Trained
    from cogd.train.losses import Mean
    from cogd.train.tasks import Outputs

_LABELS = ("quiet", "moving")


class MotionTask:
    """Moving or quiet, by cross-entropy of one logit."""

    def __init__(self, windows: Windows, train_rows: NDArray[np.int64], config: Config) -> None:
        self._loss = cast("MotionLoss", config.loss)
        self.weights = active(self._loss.weights())
        self.net = make_net(config, ("motion_logits",))
        self._moving = torch.from_numpy(windows.moving.astype(np.int64))
        self.labels = (self._moving,)
        if len(np.unique(windows.moving[train_rows])) < 2:
            raise TrainError(
                "the training part holds only moving windows, or only quiet ones: a model of it could say nothing else",
                hint="record or simulate both",
            )
        weight = losses.class_weights(self._moving[torch.from_numpy(train_rows)], len(_LABELS))
        self._class_weight = weight if self._loss.class_weights else torch.ones_like(weight)

    def to(self, device: torch.device) -> None:
        """Move network, labels and class weights."""
        self.net.to(device)
        self._moving, self._class_weight = self._moving.to(device), self._class_weight.to(device)
        self.labels = (self._moving,)

    def inputs(self, rows: Tensor) -> Tensor:
        """The rows themselves."""
        return rows

    def terms(self, outputs: Outputs, rows: Tensor) -> dict[str, Mean]:
        """The only term."""
        logits, labels = outputs["motion_logits"][:, 0], self._moving[rows]
        return {"cross_entropy": losses.binary(logits, labels, self._class_weight, self._loss.label_smoothing)}

    def score(self, outputs: Outputs, rows: Tensor) -> float:
        """Balanced accuracy of rows that hold both; of others the share that is right."""
        right = (outputs["motion_logits"][:, 0] > 0) == (self._moving[rows] == 1)
        kinds = [right[self._moving[rows] == kind] for kind in range(len(_LABELS))]
        return float(torch.stack([kind.float().mean() for kind in kinds if len(kind)]).mean())


class MotionHead:
    """Moving or quiet."""

    title = "Whether somebody moves"
    limits = ("Who moves, and how many, it does not tell; somebody who keeps still is quiet.",)

    def make_task(self, windows: Windows, train_rows: NDArray[np.int64], config: Config) -> MotionTask:
        """One logit."""
        return MotionTask(windows, train_rows, config)

    def judge(self, trained: Trained) -> Judged:
        """Moving where the logit is above 0; nothing is calibrated."""
        output = OutputSpec(
            tensors=[TensorSpec(name="motion_logits", shape=[1])],
            labels=list(_LABELS),
            trained_classes=[0, 1],
            confidence="none",
            calibration=None,
            confidence_note="the logit is not calibrated; above 0 it means moving",
        )

        def answer(csi: NDArray[np.float32]) -> Answer:
            logits = trained.outputs(csi)["motion_logits"][:, 0].astype(np.float64)
            return Answer(logits > 0, _LABELS, score=logits)

        return Judged(output, answer)


HEAD = MotionHead()
