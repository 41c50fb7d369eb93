"""Motion: whether somebody moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import numpy as np
import torch
from torch import Tensor

from cogd.bundle.manifest import OutputSpec
from cogd.bundle.manifest import Tensor as TensorSpec
from cogd.errors import TrainError
from cogd.train import losses, rundir
from cogd.train.calibration import fit_balanced_line
from cogd.train.heads.learning import Judged, active
from cogd.train.heads.motion import MotionTrainer
from cogd.train.heads.motion.net import MotionNet
from cogd.train.heads.motion.training_rows import links_of, training_rows
from cogd.train.heads.networks import make_net
from cogd.train.metrics.confidence import Usual
from cogd.train.predictions import Answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.train.config import Config
    from cogd.train.data.windows import Windows
    from cogd.train.heads.learning import Trained
    from cogd.train.heads.motion.config import MotionLoss
    from cogd.train.losses import Mean
    from cogd.train.tasks import Outputs

_LABELS = ("quiet", "moving")

STILL_SHARE: Final = 0.15
"""Of what is quiet, in the fit of the line that goes without a baseline, so much is somebody who keeps still. With none
of it a chest that rises near a link is motion; with half, weak motion is quiet (docs/motion.md)."""


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
        if isinstance(self.net, MotionNet):
            self.net.standardise(torch.from_numpy(windows.csi[train_rows]))
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


def fit_motion(windows: Windows, rows: NDArray[np.int64], scores: NDArray[np.float64]) -> dict[str, float]:
    """What the daemon's head applies, fitted on these rows' scores, by name.

    Both kinds count as equally frequent: how often something moves is for whoever uses the probability to know.

    * Without a baseline `STILL_SHARE` of quiet is somebody who keeps still, the rest an empty room, if both are known.
    * A node's baseline is what `cogd calibrate` would measure: the median score of the earlier half of its empty room.
      Of the other half, and of its motion, is the line that goes with it, and how much of a baseline counts: noise
      raises what is quiet by more than what moves. Nodes that were not heard empty have no part in it.

    Args:
        windows: that hold the rows.
        rows: ascending, all moving or quiet.
        scores: of each row.

    Raises:
        TrainError: no node has both quiet and moving windows, or scores don't rise with motion.
    """
    moving, quiet = _kinds(windows, rows)
    weight = np.where(quiet | moving, 1.0, 0.0)
    if still := int((~quiet & ~moving).sum()):
        weight[~quiet & ~moving] = STILL_SHARE / (1 - STILL_SHARE) * quiet.sum() / still
    baseline, judged = _baselines(windows, rows, moving, quiet, scores)
    line = fit_balanced_line(scores, moving, weight)
    share, above = min(
        (
            (float(share), fit_balanced_line(scores[judged] - share * baseline[judged], moving[judged]))
            for share in np.linspace(0, 1, 21)
        ),
        key=lambda tried: tried[1].loss,
    )
    if min(line.slope, above.slope) <= 0:
        raise TrainError("the calibration part's scores do not rise with motion", hint="train for longer")
    return {
        "slope": line.slope,
        "offset": line.offset,
        "baseline_slope": above.slope,
        "baseline_offset": above.offset,
        "baseline_share": share,
    }


def _kinds(windows: Windows, rows: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows are motion, and which the quiet room: the empty one, where it is known."""
    moving, empty = windows.moving[rows] == 1, (windows.moving[rows] == 0) & (windows.persons[rows] == 0)
    return moving, empty if empty.any() else ~moving


def _baselines(
    windows: Windows,
    rows: NDArray[np.int64],
    moving: NDArray[np.bool_],
    quiet: NDArray[np.bool_],
    scores: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Each row's baseline, NaN where its link has none; and which rows have one that they had no part in.

    Raises:
        TrainError: no link has a moving window beside two quiet ones. Which have does not hang on the scores.
    """
    links = links_of(windows, rows)
    baseline, judged = np.full(len(scores), np.nan), np.zeros(len(scores), dtype=np.bool_)
    for link in np.unique(links[quiet]):
        mine, own = links == link, np.flatnonzero((links == link) & quiet)
        watched = own[: len(own) // 2]
        if len(watched):
            baseline[mine] = np.median(scores[watched])
            judged |= mine
            judged[watched] = False
    judged &= quiet | moving
    if not (moving & judged).any():
        raise TrainError(
            "no node of the calibration part has a moving window and two quiet ones in one room: "
            "a baseline's line can't be fitted",
            hint="let more calibrate, such as split.calibration=0.5; where a recording is quiet or moving throughout, "
            "one of each of the same node must be among them, by name: split.calibration=['*_c6_*']",
        )
    return baseline, judged


class MotionLearning:
    """Moving or quiet."""

    title = "Whether somebody moves"
    limits = ("Who moves, and how many, it does not tell; somebody who keeps still is quiet.",)

    def make_task(self, windows: Windows, train_rows: NDArray[np.int64], config: Config) -> MotionTask:
        """One logit."""
        return MotionTask(windows, train_rows, config)

    def check_calibration(self, windows: Windows, calibration_rows: NDArray[np.int64], config: Config) -> None:
        """A node must be heard both quiet and moving."""
        rows = _calibrating(windows, calibration_rows, config)
        _baselines(windows, rows, *_kinds(windows, rows), np.zeros(len(rows)))

    def judge(self, trained: Trained) -> Judged:
        """Moving where that is more probable than not; probabilities are calibrated first, on what can be heard."""
        windows = trained.windows
        rows = _calibrating(windows, trained.split.calibration, trained.config)
        logits = _logits(trained, windows.csi[rows])
        fitted = fit_motion(windows, rows, logits)
        tensors = {name: np.asarray([number], dtype=np.float32) for name, number in fitted.items()}
        rundir.write_tensors(trained.folder / rundir.CALIBRATION, tensors)
        slope, offset = (float(tensors[name][0]) for name in ("slope", "offset"))
        right = (slope * logits + offset > 0) == (windows.moving[rows] == 1)
        usual = Usual("the calibration part's accuracy, for every window", float(right.mean()))
        output = OutputSpec(
            tensors=[TensorSpec(name="motion_logits", shape=[1])],
            labels=list(_LABELS),
            trained_classes=[0, 1],
            confidence="platt",
            calibration=rundir.CALIBRATION,
            confidence_note=(
                "probability that moving or quiet is right where both are equally frequent, fitted on windows that "
                f"neither trained nor tested; of these {MotionTrainer.training_rows_note}, and for "
                f"{STILL_SHARE:.0%} of quiet somebody who keeps still, wherever that is known"
            ),
        )

        def answer(csi: NDArray[np.float32]) -> Answer:
            logits = _logits(trained, csi)
            probability = 1 / (1 + np.exp(-(slope * logits + offset)))
            return Answer(probability >= 0.5, _LABELS, np.maximum(probability, 1 - probability), logits)

        return Judged(output, answer, usual)


def _calibrating(windows: Windows, part: NDArray[np.int64], config: Config) -> NDArray[np.int64]:
    """Of the calibration part what can be heard, and all that is quiet."""
    found: NDArray[np.int64] = np.union1d(training_rows(windows, part, config), part[windows.moving[part] == 0])
    return found


def _logits(trained: Trained, csi: NDArray[np.float32]) -> NDArray[np.float64]:
    return trained.outputs(csi)["motion_logits"][:, 0].astype(np.float64)
