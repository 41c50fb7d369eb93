"""Pose: the keypoints of one person."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from cogd.bundle.manifest import OutputSpec
from cogd.bundle.manifest import Tensor as TensorSpec
from cogd.heads.pose.rules import RADIUS_50
from cogd.sim.bodies import JOINTS
from cogd.train import losses, rundir
from cogd.train.heads.learning import Judged, active
from cogd.train.heads.networks import make_net
from cogd.train.heads.pose.error_scale import calibrate_pose, clamped, score
from cogd.train.heads.pose.uncertainty import RIGHT, is_right
from cogd.train.metrics.confidence import Usual
from cogd.train.nets.base import JOINT_COUNT
from cogd.train.predictions import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from cogd.train.config import Config
    from cogd.train.data.windows import Windows
    from cogd.train.heads.learning import Trained
    from cogd.train.heads.pose.config import PoseLoss
    from cogd.train.heads.pose.error_scale import PoseCalibration
    from cogd.train.losses import Mean
    from cogd.train.nets.base import Net
    from cogd.train.tasks import Outputs

_NEEDS = {"heatmap": "heatmaps", "nll": "log_scale"}
"""Outputs beside the keypoints that a term of the loss is of."""


class PoseTask:
    """Keypoints `[n, 17, 2]` of windows, by the terms of `cogd.train.heads.pose.config.PoseLoss`."""

    def __init__(self, windows: Windows, train_rows: NDArray[np.int64], config: Config) -> None:
        self._loss = cast("PoseLoss", config.loss)
        self.weights = active(self._loss.weights())
        needed = [output for term, output in _NEEDS.items() if term in self.weights]
        self.net = make_net(config, ("keypoints", *needed))
        self._keypoints = torch.from_numpy(windows.keypoints)
        self._weight = torch.from_numpy(windows.weight)
        self._next = torch.from_numpy(next_rows(windows, train_rows)) if "temporal" in self.weights else None
        self.labels = (self._keypoints, self._weight)

    def to(self, device: torch.device) -> None:
        """Move network, keypoints, weights and which window follows which."""
        self.net.to(device)
        self.labels = self._keypoints, self._weight = self._keypoints.to(device), self._weight.to(device)
        self._next = None if self._next is None else self._next.to(device)

    def inputs(self, rows: Tensor) -> Tensor:
        """The rows, and for the temporal term the windows that follow them, themselves where none does."""
        return rows if self._next is None else torch.cat([rows, self._following(self._next, rows)])

    def terms(self, outputs: Outputs, rows: Tensor) -> dict[str, Mean]:
        """Each term of the loss that has a weight."""
        count, every = len(rows), _joints(outputs["keypoints"])
        predicted, truth, weight = every[:count], self._keypoints[rows], self._weight[rows]
        terms: dict[str, Mean] = {}
        for name in self.weights:
            if name == "keypoint":
                terms[name] = losses.keypoints(predicted, truth, weight, self._loss.beta)
            elif name == "bone":
                terms[name] = losses.bones(predicted, truth, weight)
            elif name == "oks":
                terms[name] = losses.oks(predicted, truth, weight)
            elif name == "heatmap":
                terms[name] = losses.heatmaps(outputs["heatmaps"][:count], truth, weight)
            elif name == "nll":
                log_scale = outputs["log_scale"][:count]
                terms[name] = losses.likelihood(predicted, log_scale, truth, weight, self._loss.nll_form)
            elif self._next is not None:
                after = self._following(self._next, rows)
                believed = torch.minimum(weight, self._weight[after]) * (after != rows)
                pair = (predicted, every[count:], truth, self._keypoints[after])
                terms[name] = losses.temporal(*pair, believed, self._loss.beta)
        return terms

    def score(self, outputs: Outputs, rows: Tensor) -> float:
        """Minus the mean distance of joints."""
        return -float((_joints(outputs["keypoints"]) - self._keypoints[rows]).norm(dim=-1).mean())

    @staticmethod
    def _following(following: Tensor, rows: Tensor) -> Tensor:
        after = following[rows]
        return torch.where(after >= 0, after, rows)


def next_rows(windows: Windows, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every window of the data the row of the next one of its session and node; -1 where none follows.

    Only these rows follow anything and are followed, and only where both windows lie less than two windows' time
    apart: across a longer pause a body may have gone anywhere.
    """
    after = np.full(len(windows), -1, dtype=np.int64)
    order = rows[np.lexsort((windows.end_s[rows], windows.node[rows], windows.session[rows]))]
    first, second = order[:-1], order[1:]
    span_s = windows.end_s[first] - windows.start_s[first]
    near = windows.end_s[second] - windows.end_s[first] < 2 * span_s
    same = (windows.session[first] == windows.session[second]) & (windows.node[first] == windows.node[second])
    after[first[near & same]] = second[near & same]
    return after


class PoseLearning:
    """One skeleton a window."""

    title = "Pose of one person"
    limits = ("Assumes exactly one person: it draws a skeleton for an empty room and for a crowd alike.",)

    def make_task(self, windows: Windows, train_rows: NDArray[np.int64], config: Config) -> PoseTask:
        """Keypoints by the weighted terms of the loss."""
        return PoseTask(windows, train_rows, config)

    def check_calibration(self, windows: Windows, calibration_rows: NDArray[np.int64], config: Config) -> None:
        """Any labelled window calibrates."""

    def judge(self, trained: Trained) -> Judged:
        """Keypoints; where the network gives their scale, that and the confidence are calibrated first."""
        if "log_scale" not in trained.net.output_names:
            return Judged(_output(trained.net, "the network estimates no confidence"), partial(_answer, trained, None))
        windows, rows = trained.windows, trained.split.calibration
        outputs = trained.outputs(windows.csi[rows])
        predicted, truth = _poses(outputs), windows.keypoints[rows].astype(np.float64)
        right = is_right(predicted, truth)
        fitted = calibrate_pose(outputs["log_scale"], np.linalg.norm(predicted - truth, axis=-1), right)
        if not fitted.informative:
            note = (
                "the scales that the network estimates told nothing about right and wrong on the calibration part, by "
                "Schwarz's criterion; so the radii are not stated either"
            )
            return Judged(_output(trained.net, note), partial(_answer, trained, None))
        tensors = {
            "joint_scale": fitted.joint_scale.astype(np.float32),
            "slope": np.asarray([fitted.slope], dtype=np.float32),
            "offset": np.asarray([fitted.offset], dtype=np.float32),
        }
        rundir.write_tensors(trained.folder / rundir.CALIBRATION, tensors)
        note = f"probability that the pose is right, fitted on windows that neither trained nor tested: {RIGHT.text}"
        usual = Usual("the calibration part's share of right poses, for every window", float(right.mean()))
        return Judged(_output(trained.net, note, rundir.CALIBRATION), partial(_answer, trained, fitted), usual)


def _output(net: Net, note: str, calibration: str | None = None) -> OutputSpec:
    widths = {"keypoints": 2 * JOINT_COUNT, "log_scale": JOINT_COUNT}
    return OutputSpec(
        tensors=[TensorSpec(name=name, shape=[widths[name]]) for name in net.output_names],
        labels=list(JOINTS),
        trained_classes=None,
        confidence="none" if calibration is None else "platt",
        calibration=calibration,
        confidence_note=note,
    )


def _answer(trained: Trained, fitted: PoseCalibration | None, csi: NDArray[np.float32]) -> Answer:
    outputs = trained.outputs(csi)
    keypoints = outputs["keypoints"].reshape(-1, JOINT_COUNT, 2)
    if fitted is None:
        return Answer(keypoints, JOINTS)
    log_scale = outputs["log_scale"]
    confidence = 1 / (1 + np.exp(-(score(log_scale) * fitted.slope + fitted.offset)))
    return Answer(keypoints, JOINTS, confidence, radius=RADIUS_50 * fitted.joint_scale * np.exp(clamped(log_scale)))


def _poses(outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    return outputs["keypoints"].reshape(-1, JOINT_COUNT, 2).astype(np.float64)


def _joints(keypoints: Tensor) -> Tensor:
    return keypoints.reshape(-1, JOINT_COUNT, 2)
