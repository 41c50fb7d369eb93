"""Count: the number of persons, and a confidence that it is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import safetensors.numpy
import torch
from torch import Tensor

from cogd.bundle.manifest import OutputSpec
from cogd.bundle.manifest import Tensor as TensorSpec
from cogd.errors import TrainError
from cogd.train import losses, rundir
from cogd.train.calibration import calibrate_count
from cogd.train.heads.base import Judged, active, make_net
from cogd.train.metrics.confidence import Usual
from cogd.train.nets import CLASS_COUNT
from cogd.train.predictions import Answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.train.config import Config, CountLoss
    from cogd.train.data.windows import Windows
    from cogd.train.heads.base import Trained
    from cogd.train.losses import Mean
    from cogd.train.tasks import Outputs


class CountTask:
    """Number of persons by cross-entropy, and a confidence that learns whether that number is right."""

    def __init__(self, windows: Windows, train_rows: NDArray[np.int64], config: Config) -> None:
        self._loss = cast("CountLoss", config.loss)
        self.weights = active(self._loss.weights())
        self.net = make_net(config, ("count_logits", "conf_logits"))
        self._persons = torch.from_numpy(windows.persons)
        self.labels = (self._persons,)
        if int(self._persons.min()) < -1 or int(self._persons.max()) >= CLASS_COUNT:
            raise TrainError(f"the labels hold counts outside 0..{CLASS_COUNT - 1}, which the network can't express")
        if len(np.unique(windows.persons[train_rows])) < 2:
            raise TrainError(
                "the training part holds one number of persons only: a model of it could say nothing else",
                hint="record or simulate other numbers too",
            )
        weight = losses.class_weights(self._persons[torch.from_numpy(train_rows)], CLASS_COUNT)
        self._class_weight = weight if self._loss.class_weights else (weight > 0).float()

    def to(self, device: torch.device) -> None:
        """Move network, numbers of persons and class weights."""
        self.net.to(device)
        self._persons, self._class_weight = self._persons.to(device), self._class_weight.to(device)
        self.labels = (self._persons,)

    def inputs(self, rows: Tensor) -> Tensor:
        """The rows themselves."""
        return rows

    def terms(self, outputs: Outputs, rows: Tensor) -> dict[str, Mean]:
        """Each term that has a weight; the confidence's target is whether the count is right at this moment."""
        count_logits, conf_logits = outputs["count_logits"], outputs["conf_logits"][:, 0]
        persons = self._persons[rows]
        right = (count_logits.argmax(dim=1) == persons).float()
        terms: dict[str, Mean] = {}
        if "cross_entropy" in self.weights:
            smoothing = self._loss.label_smoothing
            terms["cross_entropy"] = losses.cross_entropy(count_logits, persons, self._class_weight, smoothing)
        if "confidence" in self.weights:
            terms["confidence"] = losses.confidence(conf_logits, right)
        if "brier" in self.weights:
            terms["brier"] = losses.brier(conf_logits, right)
        return terms

    def score(self, outputs: Outputs, rows: Tensor) -> float:
        """Accuracy."""
        return float((outputs["count_logits"].argmax(dim=1) == self._persons[rows]).float().mean())


class CountHead:
    """How many persons there are."""

    title = "Number of persons"
    limits = ()

    def make_task(self, windows: Windows, train_rows: NDArray[np.int64], config: Config) -> CountTask:
        """Classes and their confidence."""
        return CountTask(windows, train_rows, config)

    def judge(self, trained: Trained) -> Judged:
        """Counts; the confidence is calibrated first."""
        windows, split = trained.windows, trained.split
        classes = sorted({int(value) for value in windows.persons[split.train]})
        outputs = trained.outputs(windows.csi[split.calibration])
        masked = _untrained_off(outputs["count_logits"], classes)
        known = windows.persons[split.calibration]
        learnt = np.where(np.isin(known, classes), np.searchsorted(classes, known), -1)
        calibration = calibrate_count(masked[:, classes], outputs["conf_logits"], learnt)
        usual = Usual(
            "the calibration part's accuracy, for every window", float((masked.argmax(axis=1) == known).mean())
        )
        labels = tuple(str(count) for count in range(CLASS_COUNT))

        def answer(csi: NDArray[np.float32]) -> Answer:
            outputs = trained.outputs(csi)
            conf = outputs["conf_logits"][:, 0].astype(np.float64)
            confidence = 1 / (1 + np.exp(-(conf * calibration.slope + calibration.offset)))
            predicted = _untrained_off(outputs["count_logits"], classes).argmax(axis=1)
            return Answer(predicted, labels, confidence if calibration.informative else None)

        fitted = {
            "temperature": np.asarray([calibration.temperature], dtype=np.float32),
            "slope": np.asarray([calibration.slope], dtype=np.float32),
            "offset": np.asarray([calibration.offset], dtype=np.float32),
        }
        if calibration.informative:
            safetensors.numpy.save_file(fitted, trained.folder / rundir.CALIBRATION)
        output = OutputSpec(
            tensors=[
                TensorSpec(name="count_logits", shape=[CLASS_COUNT]),
                TensorSpec(name="conf_logits", shape=[1]),
            ],
            labels=list(labels),
            trained_classes=classes,
            confidence="platt" if calibration.informative else "none",
            calibration=rundir.CALIBRATION if calibration.informative else None,
            confidence_note=(
                "probability that the count is exactly right, fitted on windows that neither trained nor tested"
                if calibration.informative
                else "the confidence head told nothing about right and wrong on the calibration part"
            ),
        )
        return Judged(output, answer, usual)


def _untrained_off(logits: NDArray[np.float32], trained: list[int]) -> NDArray[np.float32]:
    masked = np.full_like(logits, -np.inf)
    masked[:, trained] = logits[:, trained]
    return masked


HEAD = CountHead()
