"""Calibration of a pose's uncertainty on data that neither trained nor tests: a radius for each joint, a confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from cogd.heads.rules import LOG_SCALE
from cogd.train.calibration import fit_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.train.calibration import FittedLine

    Array = NDArray[np.float64]

@dataclass(frozen=True, eq=False)
class PoseCalibration:
    """What the pose head applies.

    Attributes:
        joint_scale: float64 `[joints]`: times exp(log_scale) it is the radius that holds a joint half of the time.
        line: of the score -mean(log_scale), to the probability that the pose is right.
    """

    joint_scale: Array
    line: FittedLine
