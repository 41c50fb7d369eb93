"""Calibration of a pose's uncertainty on data that neither trained nor tests: a scale for each joint, a confidence.

A joint's error is taken to fall off exponentially with its distance r, in every direction alike: the density
exp(-r / s) / (2 pi s^2), whose r is distributed as Gamma(2, s). That is how the errors of the network trained with the
likelihood of Laplace are distributed: docs/ablations.md has the fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cogd.heads.pose.rules import LOG_SCALE
from cogd.train.calibration import fit_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_SHAPE = 2
_LEAST_SCALE = 1e-6


@dataclass(frozen=True, eq=False)
class PoseCalibration:
    """What the pose head applies.

    Attributes:
        joint_scale: float64 `[joints]`: times exp(log_scale) it is the scale s of a joint's error.
        slope: of the score, by which it makes the probability that the pose is right (Platt 1999).
        offset: added to it.
        informative: whether a higher score means a right pose, by more than chance would have it (Schwarz 1978).
    """

    joint_scale: Array
    slope: float
    offset: float
    informative: bool


def calibrate_pose(log_scale: NDArray[np.float32], error: Array, right: NDArray[np.bool_]) -> PoseCalibration:
    """Fit on the calibration part.

    Args:
        log_scale: `[n, joints]` as the network gives it.
        error: `[n, joints]` distance of each joint from the truth.
        right: `[n]` whether the pose is right (`cogd.train.heads.pose.uncertainty`).
    """
    # The most likely s of Gamma(2, s) is half the mean.
    joint_scale = (error / np.exp(clamped(log_scale))).mean(axis=0) / _SHAPE
    line = fit_line(score(log_scale), right)
    return PoseCalibration(np.maximum(joint_scale, _LEAST_SCALE), line.slope, line.offset, line.informative)


def clamped(log_scale: NDArray[np.float32]) -> Array:
    """Within the bounds that it was trained in."""
    return log_scale.astype(np.float64).clip(*LOG_SCALE)


def score(log_scale: NDArray[np.float32]) -> Array:
    """How sure a pose is, `[n]`: minus the mean of its joints' `[n, joints]`."""
    return np.asarray(-clamped(log_scale).mean(axis=1))
