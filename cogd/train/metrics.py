"""Figures, each with its exact definition. A figure without one can't be made: `Metric` carries it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cogd.bundle.manifest import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_RIGHT_SHOULDER, _LEFT_HIP = 6, 11  # COCO
_NO_TORSO = 1e-6

MPJPE = "mean over windows and 17 joints of the Euclidean distance in picture coordinates (width = height = 1)"
PCK = (
    "share of joints, over all windows together, no farther from the truth than {share:.0%} of the distance between "
    "the truth's right shoulder and left hip, in picture coordinates (width = height = 1); windows where these two "
    "coincide are left out"
)
AUROC = (
    "probability that the confidence of a right count is above that of a wrong one, ties counted half; the baseline "
    "is chance"
)
ECE = "expected calibration error, 10 bins of equal width over 0..1, weighted by the bins' sizes"


def pose_metrics(predicted: Array, truth: Array, mean_pose: Array, split: str) -> list[Metric]:
    """Figures of keypoints `[n, 17, 2]` beside those of the training part's mean pose `[17, 2]`.

    PCK is of the windows that have a torso, and is left out where none has one.
    """
    constant = np.broadcast_to(mean_pose, truth.shape)

    def figure(name: str, definition: str, value: float, baseline: float, n: int) -> Metric:
        return Metric(
            name=name,
            definition=definition,
            split=split,
            value=round(value, 6),
            baseline_name="mean pose of the training part",
            baseline_value=round(baseline, 6),
            n=n,
        )

    figures = [figure("mpjpe_picture", MPJPE, mpjpe(predicted, truth), mpjpe(constant, truth), len(truth))]
    with_torso = torso_length(truth) > _NO_TORSO
    for share in (0.2, 0.5) if with_torso.any() else ():
        name, definition = f"pck{share * 100:.0f}_torso_rsho_lhip", PCK.format(share=share)
        value, baseline = pck(predicted, truth, share), pck(constant, truth, share)
        figures.append(figure(name, definition, value, baseline, int(with_torso.sum())))
    return figures


def mpjpe(predicted: Array, truth: Array) -> float:
    """Mean per-joint position error of `[n, joints, 2]`."""
    return float(np.linalg.norm(predicted - truth, axis=-1).mean())


def torso_length(truth: Array) -> Array:
    """Distance `[n]` from the right shoulder to the left hip of `[n, 17, 2]`."""
    return np.asarray(np.linalg.norm(truth[:, _RIGHT_SHOULDER] - truth[:, _LEFT_HIP], axis=-1))


def pck(predicted: Array, truth: Array, share: float) -> float:
    """Percentage of correct keypoints, 0..1, by the torso's length; of the windows that have a torso."""
    torso = torso_length(truth)
    usable = torso > _NO_TORSO
    error = np.linalg.norm(predicted[usable] - truth[usable], axis=-1)
    return float((error <= share * torso[usable, None]).mean())


def count_metrics(predicted: NDArray[np.int64], truth: NDArray[np.int64], majority: int, split: str) -> list[Metric]:
    """Figures of counts `[n]` beside those of always saying the training part's most frequent count."""
    off, constant_off = np.abs(predicted - truth), np.abs(majority - truth)
    figures = {
        "accuracy": ("share of windows whose count is exactly right", np.mean(off == 0), np.mean(constant_off == 0)),
        "within_1": (
            "share of windows whose count is off by at most one", np.mean(off <= 1), np.mean(constant_off <= 1)
        ),
        "mae_persons": ("mean absolute error of the count", np.mean(off), np.mean(constant_off)),
    }  # fmt: skip
    return [
        Metric(
            name=name,
            definition=definition,
            split=split,
            value=round(float(value), 6),
            baseline_name=f"always {majority}, the training part's most frequent count",
            baseline_value=round(float(baseline), 6),
            n=len(truth),
        )
        for name, (definition, value, baseline) in figures.items()
    ]


def confidence_metrics(confidence: Array, right: NDArray[np.bool_], usual: float, split: str) -> list[Metric]:
    """Figures of a confidence `[n]`; `usual` is the calibration part's accuracy, said of every window as baseline.

    Where every count is right, or none, the area under the curve is not defined and left out.
    """
    figures = []
    if right.any() and not right.all():
        figures.append(
            Metric(
                name="confidence_auroc",
                definition=AUROC,
                split=split,
                value=round(auroc(confidence, right), 6),
                baseline_name="chance",
                baseline_value=0.5,
                n=len(right),
            )
        )
    figures.append(
        Metric(
            name="confidence_ece",
            definition=ECE,
            split=split,
            value=round(ece(confidence, right), 6),
            baseline_name="the calibration part's accuracy, for every window",
            baseline_value=round(ece(np.full(len(right), usual), right), 6),
            n=len(right),
        )
    )
    return figures


def auroc(score: Array, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve by the rank sum (Mann-Whitney), mid-ranks for ties."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    mid_rank = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = mid_rank[inverse][positive].sum()
    positives, negatives = int(positive.sum()), int((~positive).sum())
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def ece(confidence: Array, right: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error (Naeini et al. 2015)."""
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    total = 0.0
    for number in range(bins):
        inside = bin_of == number
        if inside.any():
            total += inside.sum() * abs(confidence[inside].mean() - right[inside].mean())
    return float(total / len(right))
