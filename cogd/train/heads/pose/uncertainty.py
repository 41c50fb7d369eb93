"""Figures of what a pose says of its own error, and what it means for a pose to be right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import rankdata

from cogd.heads.pose.rules import RADIUS_50, RADIUS_90
from cogd.train.metrics.bootstrap import OfSums, ratio
from cogd.train.metrics.figure import Baseline, Definition, Sample, figure
from cogd.train.metrics.skeleton import COCO, TORSO

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.bundle.manifest import Metric

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

RIGHT_SHARE: Final = 0.5
RIGHT: Final = Definition(
    "pose_right_half_torso",
    f"share of windows whose pose is right: its joints are on average no farther from the truth than {RIGHT_SHARE:.0%} "
    f"of {TORSO.text}; a pose whose truth has no such length is not right",
    "higher",
)
_WITHIN: Final = "truth is within the radius that is stated to hold it with a probability of"
_JOINTS: Final = f"share of joints, over all windows together, whose {_WITHIN}"
_JOINT: Final = f"share of windows where this joint's {_WITHIN}"
_90: Final = f"90 %: {RADIUS_90 / RADIUS_50:.3f} times the one of 50 %"
COVERAGE_50: Final = Definition("error_50_coverage", f"{_JOINTS} 50 %", None, alone=f"{_JOINT} 50 %")
COVERAGE_90: Final = Definition("error_90_coverage", f"{_JOINTS} {_90}", None, alone=f"{_JOINT} {_90}")
PINBALL_50: Final = Definition(
    "error_50_pinball",
    "mean over windows and joints of half the difference between a joint's error and its radius of 50 %: the quantile "
    "loss, least where the radius is each error's median (Koenker and Bassett 1978); in picture coordinates",
    "lower",
)
CORRELATION: Final = Definition(
    "error_50_spearman",
    "mean over joints of Spearman's correlation over windows of a joint's radius with its error; intervals keep the "
    "ranks",
    "higher",
    "Spearman's correlation over windows of this joint's radius with its error; intervals keep the ranks",
)
_STATED_50: Final = Baseline("what is stated", 0.5)
_STATED_90: Final = Baseline("what is stated", 0.9)
_CHANCE: Final = Baseline("chance", 0.0)


def is_right(predicted: Array, truth: Array) -> Mask:
    """Which poses `[n, 17, 2]` are right, as `RIGHT` has it."""
    length = TORSO.length(truth, np.ones(truth.shape[:2], dtype=np.bool_))
    off = np.linalg.norm(predicted - truth, axis=-1).mean(axis=1)
    with np.errstate(invalid="ignore"):  # NaN, no pose or no length, is not within anything
        return np.asarray(off <= RIGHT_SHARE * length)


def right_figure(predicted: Array, truth: Array, baseline: Array, name: str, sample: Sample) -> list[Metric]:
    """The share of right poses, beside that of one pose `[17, 2]` of that name."""
    constant = is_right(np.broadcast_to(baseline, truth.shape), truth)
    return figure(RIGHT, ratio(is_right(predicted, truth)), Baseline(name, ratio(constant)), sample)


@dataclass(frozen=True, eq=False)
class Doubts:
    """Errors beside the radii that were stated.

    Attributes:
        error: `[n, joints]`.
        radius: `[n, joints]` that was to hold the error with a probability of 50 %.
    """

    error: Array
    radius: Array

    def figures(self, sample: Sample) -> list[Metric]:
        """Of all joints together."""
        usual = np.broadcast_to(np.median(self.error, axis=0), self.error.shape)
        constant = Baseline(
            "one radius for each joint, its median error on these very windows", _pinball(self.error, usual)
        )
        return [
            *figure(COVERAGE_50, self._coverage(1.0), _STATED_50, sample),
            *figure(COVERAGE_90, self._coverage(RADIUS_90 / RADIUS_50), _STATED_90, sample),
            *figure(PINBALL_50, _pinball(self.error, self.radius), constant, sample),
            *figure(CORRELATION, _correlation(self.error, self.radius), _CHANCE, sample),
        ]

    def of_joints(self, sample: Sample) -> list[Metric]:
        """Coverage and correlation of each joint."""
        metrics: list[Metric] = []
        for number, joint in enumerate(COCO.joints):
            alone = Doubts(self.error[:, [number]], self.radius[:, [number]])
            statistics = (
                (COVERAGE_50, alone._coverage(1.0), _STATED_50),
                (COVERAGE_90, alone._coverage(RADIUS_90 / RADIUS_50), _STATED_90),
                (CORRELATION, _correlation(alone.error, alone.radius), _CHANCE),
            )
            for definition, statistic, baseline in statistics:
                metrics += figure(definition.of(joint, joint), statistic, baseline, sample)
        return metrics

    def _coverage(self, factor: float) -> OfSums:
        return ratio((self.error <= factor * self.radius).mean(axis=1))


def _pinball(error: Array, radius: Array) -> OfSums:
    return ratio(np.abs(error - radius).mean(axis=1) / 2)


def _correlation(error: Array, radius: Array) -> OfSums:
    """Mean over joints of the correlation of ranks, which are those among all windows, in resamples too."""
    x, y = (rankdata(values, axis=0) / len(values) - 0.5 for values in (radius, error))
    joints = error.shape[1]
    terms = np.concatenate([np.ones((len(x), 1)), x, y, x * x, y * y, x * y], axis=1)

    def of(sums: Array) -> Array:
        means = (sums[..., 1:] / sums[..., :1]).reshape(*sums.shape[:-1], 5, joints)
        x, y, xx, yy, xy = np.moveaxis(means, -2, 0)
        return np.asarray(((xy - x * y) / np.sqrt((xx - x * x) * (yy - y * y))).mean(axis=-1))

    return OfSums(terms, of)
