"""Count: the number of persons, and a confidence that it is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cogd.bundle.manifest import OutputSpec
from cogd.bundle.manifest import Tensor as TensorSpec
from cogd.errors import TrainError
from cogd.heads.count import head as daemons
from cogd.heads.count.distribution import log_odds
from cogd.train import losses, rundir
from cogd.train.calibration import fit_line, fit_temperature
from cogd.train.heads.count.fusion import fuse_moments, moments
from cogd.train.heads.learning import Judged, active
from cogd.train.heads.networks import make_net
from cogd.train.metrics.confidence import Usual
from cogd.train.nets.base import CLASS_COUNT
from cogd.train.predictions import Answer, Counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.train.config import Config
    from cogd.train.data.windows import Windows
    from cogd.train.heads.count.config import CountLoss
    from cogd.train.heads.learning import Trained
    from cogd.train.losses import Mean
    from cogd.train.tasks import Outputs

    Calibration = dict[str, NDArray[np.float32]]

_CONFIDENCE_TERMS = ("confidence", "brier")


class Medians:
    """The count that the daemon's head makes of logits `[n, classes]`, on their device.

    That is `cogd.heads.count.distribution.median` of their probabilities.

    Args:
        trained: bool `[classes]`, which classes were trained: the others have no probability.
    """

    def __init__(self, trained: Tensor) -> None:
        self._untrained = ~trained
        self._classes = torch.arange(len(trained))
        self._up_to = torch.ones(len(trained), len(trained)).triu()  # for a sum: cumsum has no fixed order on CUDA

    def to(self, device: torch.device) -> None:
        """Work there."""
        self._untrained, self._classes = self._untrained.to(device), self._classes.to(device)
        self._up_to = self._up_to.to(device)

    def __call__(self, count_logits: Tensor) -> Tensor:
        """Int64 `[n]`."""
        up_to = self._probabilities(count_logits) @ self._up_to.to(count_logits.dtype)
        return (2 * up_to[:, :-1] < up_to[:, -1:]).sum(dim=1)

    def log_odds(self, count_logits: Tensor) -> Tensor:
        """Of the count's probability, `[n]` (`cogd.heads.count.distribution.log_odds`)."""
        said = self._classes == self(count_logits)[:, None]
        return torch.logit((self._probabilities(count_logits) * said).sum(dim=1), eps=1e-6)

    def _probabilities(self, count_logits: Tensor) -> Tensor:
        return functional.softmax(count_logits.masked_fill(self._untrained, -torch.inf), dim=1)


class CountTask:
    """Number of persons by cross-entropy, and a confidence that learns whether the count is right.

    With `train.folds` the confidence learns nothing here but afterwards, from `ConfidenceTask`.
    """

    def __init__(self, windows: Windows, train_rows: NDArray[np.int64], config: Config) -> None:
        self._loss = cast("CountLoss", config.loss)
        self.weights = active(self._loss.weights())
        if config.train.folds:
            self.weights = {name: weight for name, weight in self.weights.items() if name not in _CONFIDENCE_TERMS}
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
        self._medians = Medians(weight > 0)
        self._class_weight = weight if self._loss.class_weights else (weight > 0).float()

    def to(self, device: torch.device) -> None:
        """Move network, numbers of persons and class weights."""
        self.net.to(device)
        self._medians.to(device)
        self._persons, self._class_weight = self._persons.to(device), self._class_weight.to(device)
        self.labels = (self._persons,)

    def inputs(self, rows: Tensor) -> Tensor:
        """The rows themselves."""
        return rows

    def terms(self, outputs: Outputs, rows: Tensor) -> dict[str, Mean]:
        """Each term that has a weight; the confidence's target is whether the count is right at this moment."""
        count_logits, conf_logits = outputs["count_logits"], outputs["conf_logits"][:, 0]
        terms: dict[str, Mean] = {}
        if "cross_entropy" in self.weights:
            smoothing = self._loss.label_smoothing
            terms["cross_entropy"] = losses.cross_entropy(
                count_logits, self._persons[rows], self._class_weight, smoothing
            )
        if not self.weights.keys().isdisjoint(_CONFIDENCE_TERMS):
            terms |= _confidence_terms(conf_logits, self.right(outputs, rows), self.weights)
        return terms

    def score(self, outputs: Outputs, rows: Tensor) -> float:
        """Minus the mean absolute error of the count."""
        return -float((self._medians(outputs["count_logits"]) - self._persons[rows]).abs().float().mean())

    def right(self, outputs: Outputs, rows: Tensor) -> Tensor:
        """Whether the count of each row is right, 1 or 0 `[n]`."""
        return (self._medians(outputs["count_logits"]) == self._persons[rows]).float()

    def log_odds(self, outputs: Outputs) -> Tensor:
        """Of each row's count, `[n]`; without a gradient."""
        return self._medians.log_odds(outputs["count_logits"].detach())

    def confidence_task(self, right: Tensor) -> ConfidenceTask:
        """What makes the network's confidence learn how often it is right about what it was not trained on.

        Args:
            right: for every row of the data 1 or 0, whether a network that was not trained on it counted it right; of
                what does not train it is not looked at.
        """
        weights = active(self._loss.weights())
        return ConfidenceTask(self, right, {name: weights[name] for name in _CONFIDENCE_TERMS if name in weights})


class ConfidenceTask:
    """A network's confidence alone, from answers that were given out of fold; all else of the network is kept.

    What it learns is how far the log-odds of the count's probability are off: it begins with nothing to add to them.

    Args:
        counting: its network counts already; the confidence of that begins anew.
        right: float `[rows]`, see `CountTask.confidence_task`.
        weights: of the confidence's terms.
    """

    def __init__(self, counting: CountTask, right: Tensor, weights: dict[str, float]) -> None:
        self.net, self.weights, self._right, self._counting = counting.net, weights, right, counting
        self.labels = (right,)
        for name, parameter in self.net.named_parameters():
            parameter.requires_grad_(name.startswith("conf_head."))
        layers = [
            layer for layer in self.net.modules() if isinstance(layer, torch.nn.Linear) and layer.weight.requires_grad
        ]
        for layer in layers:
            layer.reset_parameters()
        torch.nn.init.zeros_(layers[-1].weight)
        torch.nn.init.zeros_(layers[-1].bias)

    def to(self, device: torch.device) -> None:
        """Move network and labels."""
        self._counting.to(device)
        self._right = self._right.to(device)
        self.labels = (self._right,)

    def inputs(self, rows: Tensor) -> Tensor:
        """The rows themselves."""
        return rows

    def terms(self, outputs: Outputs, rows: Tensor) -> dict[str, Mean]:
        """Of the confidence alone."""
        return _confidence_terms(self._said(outputs), self._right[rows], self.weights)

    def score(self, outputs: Outputs, rows: Tensor) -> float:
        """Minus the confidence's cross-entropy with whether the network itself is right, of rows that didn't train."""
        right = self._counting.right(outputs, rows)
        return -float(losses.confidence(self._said(outputs), right).value)

    def _said(self, outputs: Outputs) -> Tensor:
        return outputs["conf_logits"][:, 0] + self._counting.log_odds(outputs)


def _confidence_terms(conf_logits: Tensor, right: Tensor, weights: dict[str, float]) -> dict[str, Mean]:
    terms = {"confidence": losses.confidence, "brier": losses.brier}
    return {name: terms[name](conf_logits, right) for name in _CONFIDENCE_TERMS if name in weights}


class CountLearning:
    """How many persons there are."""

    title = "Number of persons"
    limits = ()

    def make_task(self, windows: Windows, train_rows: NDArray[np.int64], config: Config) -> CountTask:
        """Classes and their confidence."""
        return CountTask(windows, train_rows, config)

    def check_calibration(self, windows: Windows, calibration_rows: NDArray[np.int64], config: Config) -> None:
        """Any labelled window calibrates."""

    def judge(self, trained: Trained) -> Judged:
        """Counts as the daemon's head makes them; it is calibrated first."""
        windows, rows = trained.windows, trained.split.calibration
        classes = sorted({int(value) for value in windows.persons[trained.split.train]})
        outputs = trained.outputs(windows.csi[rows])
        output, fitted = _calibrated(outputs, windows, rows, classes, with_odds=trained.config.train.folds > 0)
        if fitted:
            rundir.write_tensors(trained.folder / rundir.CALIBRATION, fitted)
        head = daemons.CountHead(output, fitted)
        accuracy = float((_numbers(head.counted(outputs)) == windows.persons[rows]).mean())

        def answer(csi: NDArray[np.float32]) -> Answer:
            counted = head.counted(trained.outputs(csi))
            confidences = [one.confidence for one in counted]
            known = None if None in confidences else np.asarray(confidences, dtype=np.float64)
            together = Counted([one.probabilities for one in counted], head.numbers, head.combiner.line)
            return Answer(_numbers(counted), tuple(output.labels), known, counted=together)

        usual = Usual("the calibration part's accuracy, for every window", accuracy)
        return Judged(output, answer, usual)


def _numbers(counted: list[daemons.Counted]) -> NDArray[np.int64]:
    return np.asarray([one.persons for one in counted], dtype=np.int64)


def _calibrated(
    outputs: dict[str, NDArray[np.float32]],
    windows: Windows,
    rows: NDArray[np.int64],
    classes: list[int],
    *,
    with_odds: bool,
) -> tuple[OutputSpec, Calibration]:
    """Temperature, the line of one node's confidence and that of several nodes', fitted on these rows one by one.

    Each is fitted on what the daemon's head makes of the calibration so far. Where a line tells nothing it is left out.
    `with_odds`: the confidence is what is to be added to the log-odds of the count.
    """
    persons = windows.persons[rows]
    learnt = np.where(np.isin(persons, classes), np.searchsorted(classes, persons), -1)
    fitted = _floats(temperature=fit_temperature(outputs["count_logits"][:, classes], learnt))
    fitted |= _floats(slope=1.0, offset=0.0)
    output = _output(classes, calibrated=True)
    counted = daemons.CountHead(output, fitted).counted(outputs)
    score = outputs["conf_logits"][:, 0].astype(np.float64)
    if with_odds:
        score += [log_odds(one.probabilities[one.middle]) for one in counted]
    line = fit_line(score, _numbers(counted) == persons)
    if not line.informative:
        return _output(classes, calibrated=False), {}
    fitted |= _floats(slope=line.slope, offset=line.offset)
    if with_odds:
        fitted |= _floats(odds=line.slope)
    together = moments(windows, rows)
    if together:
        head = daemons.CountHead(output, fitted)
        counted = head.counted(outputs)
        confidences = np.asarray([one.confidence for one in counted], dtype=np.float64)
        fused = fuse_moments(together, [one.probabilities for one in counted], confidences, head.numbers)
        fused_line = fit_line(fused.score, fused.count == persons[[rows_[0] for rows_ in together]])
        if fused_line.informative:
            fitted |= _floats(fused_slope=fused_line.slope, fused_offset=fused_line.offset)
    return output, fitted


def _floats(**numbers: float) -> Calibration:
    return {name: np.asarray([number], dtype=np.float32) for name, number in numbers.items()}


def _output(classes: list[int], *, calibrated: bool) -> OutputSpec:
    return OutputSpec(
        tensors=[TensorSpec(name="count_logits", shape=[CLASS_COUNT]), TensorSpec(name="conf_logits", shape=[1])],
        labels=[str(count) for count in range(CLASS_COUNT)],
        trained_classes=classes,
        confidence="platt" if calibrated else "none",
        calibration=rundir.CALIBRATION if calibrated else None,
        confidence_note=(
            "probability that the count is exactly right, fitted on windows that neither trained nor tested"
            if calibrated
            else "the confidence head told nothing about right and wrong on the calibration part (Schwarz's criterion)"
        ),
    )
