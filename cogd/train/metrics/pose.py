"""Figures of poses: PCK and PCKh by named lengths, MPJPE, PA-MPJPE and OKS, in all and for each joint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cogd.train.metrics.bootstrap import ratio
from cogd.train.metrics.figure import Baseline, Definition, Sample, figure
from cogd.train.metrics.oks import AREA, KEYPOINT_BOX, OKS, average_precision_figure, oks, single_persons
from cogd.train.metrics.skeleton import COCO, PICTURE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cogd.bundle.manifest import Metric
    from cogd.train.metrics.bootstrap import OfSums
    from cogd.train.metrics.skeleton import Skeleton, Space, Tolerance

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Poses:
    """Poses beside the truth, row by row.

    Attributes:
        predicted: float64 `[n, joints, dims]`, 2 or 3 dims; NaN where none was given, which is wrong.
        truth: the same shape; NaN where not known.
        visible: bool `[n, joints]` which joints of the truth count; those that aren't finite never do.
        constant: `[joints, dims]` the baseline: one pose for every row.
        constant_name: what pose that is.
        confidence: `[n]` how sure each pose is; None: not known.
    """

    predicted: Array
    truth: Array
    visible: Mask
    constant: Array
    constant_name: str
    confidence: Array | None = None

    @property
    def seen(self) -> Mask:
        """The joints that count."""
        return np.asarray(self.visible & np.isfinite(self.truth).all(axis=-1))


def pose_figures(poses: Poses, sample: Sample, skeleton: Skeleton = COCO, space: Space = PICTURE) -> list[Metric]:
    """Every figure of poses over all joints.

    What has no sense is left out: the distances where a pose was not given, PCK where no row has the length, the
    average precision where there is no confidence, OKS where the joint set has no published fall-offs.
    """
    both = _Both(poses, sample, space)
    figures = both.compare(
        Definition(
            f"mpjpe_{space.name}",
            f"mean over windows and {len(skeleton.joints)} joints of the Euclidean distance {space.text}",
            "lower",
        ),
        errors,
    )
    figures += both.compare(
        Definition(
            f"pa_mpjpe_{space.name}",
            f"mean over windows and {len(skeleton.joints)} joints of the Euclidean distance {space.text}, after each "
            "pose was shifted, turned and scaled (not mirrored) onto its truth by Procrustes analysis; windows with "
            "fewer than two different joints are left out",
            "lower",
        ),
        aligned_errors,
    )
    for tolerance in skeleton.tolerances:
        figures += pck_figure(poses, sample, tolerance, space)
    if skeleton.sigmas is not None and poses.truth.shape[-1] == 2:
        figures += _oks_figures(poses, sample, skeleton.sigmas)
    return figures


def pck_figure(poses: Poses, sample: Sample, tolerance: Tolerance, space: Space = PICTURE) -> list[Metric]:
    """The share of joints within one tolerance."""
    return _Both(poses, sample, space).compare(_pck(tolerance, space), partial(hits, tolerance=tolerance))


def joint_figures(poses: Poses, sample: Sample, skeleton: Skeleton = COCO, space: Space = PICTURE) -> list[Metric]:
    """MPJPE and the first PCK of each joint."""
    distance = f"mean over windows of this joint's Euclidean distance {space.text}"
    mpjpe = Definition(f"mpjpe_{space.name}", distance, "lower")
    first = skeleton.tolerances[0]
    lengths = first.of(poses.truth, poses.seen)  # of the whole truth, whichever joint is looked at
    kinds = ((_pck(first, space), partial(_within, tolerance=lengths)), (mpjpe, errors))
    alone = [replace(poses, visible=poses.visible & joint) for joint in np.eye(len(skeleton.joints), dtype=np.bool_)]
    return [
        metric
        for definition, of in kinds
        for joint, seen_alone in zip(skeleton.joints, alone, strict=True)
        for metric in _Both(seen_alone, sample, space).compare(definition.of(joint, joint), of)
    ]


def errors(predicted: Array, truth: Array, seen: Mask) -> tuple[Array, Mask]:
    """Distance `[n, joints]` of each joint, and which count."""
    return np.linalg.norm(predicted - truth, axis=-1), seen


def hits(predicted: Array, truth: Array, seen: Mask, tolerance: Tolerance) -> tuple[Array, Mask]:
    """1.0 for each joint that is right, and which count: none of a pose that has no length to be measured by."""
    return _within(predicted, truth, seen, tolerance.of(truth, seen))


def _within(predicted: Array, truth: Array, seen: Mask, tolerance: Array) -> tuple[Array, Mask]:
    error, _ = errors(predicted, truth, seen)
    with np.errstate(invalid="ignore"):  # NaN, a pose that was not given, is not within anything
        return (error <= tolerance[:, None]).astype(np.float64), seen & np.isfinite(tolerance)[:, None]


def aligned_errors(predicted: Array, truth: Array, seen: Mask) -> tuple[Array, Mask]:
    """Distances after alignment by a similarity without reflection (Umeyama 1991), over the joints that count."""
    counted = seen & (seen.sum(axis=1) >= 2)[:, None]
    weight = counted.astype(np.float64)[..., None]
    number = np.maximum(weight.sum(axis=1, keepdims=True), 1)
    truth, predicted = np.where(counted[..., None], truth, 0.0), np.where(counted[..., None], predicted, 0.0)
    truth = (truth - (truth * weight).sum(axis=1, keepdims=True) / number) * weight
    predicted = (predicted - (predicted * weight).sum(axis=1, keepdims=True) / number) * weight
    spread = (predicted**2).sum(axis=(1, 2))
    given = np.isfinite(spread)
    covariance = np.where(given[:, None, None], predicted, 0.0).transpose(0, 2, 1) @ truth
    u, singular, vt = np.linalg.svd(covariance)
    mirrored = np.linalg.det(u @ vt) < 0
    sign = np.ones_like(singular)
    sign[mirrored, -1] = -1.0
    rotation = (u * sign[:, None, :]) @ vt
    # A prediction that is one point has no size to scale: it stays that point.
    scale = np.divide((singular * sign).sum(axis=1), spread, out=np.zeros_like(spread), where=given & (spread > 0))
    aligned = scale[:, None, None] * (predicted @ rotation)
    counted = counted & ((truth**2).sum(axis=(1, 2)) > 0)[:, None]
    return np.where(given[:, None], np.linalg.norm(aligned - truth, axis=-1), np.nan), counted


def mean_of(values: Array, counted: Mask) -> OfSums:
    """Mean over every joint that counts, of all windows together; not defined where one of them is not."""
    summed = np.where(counted, values, 0.0).sum(axis=1)
    return ratio(summed, counted.sum(axis=1))


@dataclass(frozen=True, eq=False)
class _Both:
    """Measures poses and their baseline alike."""

    poses: Poses
    sample: Sample
    space: Space

    def compare(self, definition: Definition, of: Callable[[Array, Array, Mask], tuple[Array, Mask]]) -> list[Metric]:
        poses, seen = self.poses, self.poses.seen
        constant = np.broadcast_to(poses.constant, poses.truth.shape)
        values, counted = of(poses.predicted, poses.truth, seen)
        beside, _ = of(constant, poses.truth, seen)
        rows = np.asarray(counted.any(axis=1))
        return figure(
            definition,
            mean_of(values[rows], counted[rows]),
            Baseline(poses.constant_name, mean_of(beside[rows], counted[rows])),
            self.sample.select(rows),
        )


def _pck(tolerance: Tolerance, space: Space) -> Definition:
    near = (
        f"no farther from the truth than {tolerance.text}, {space.text}; windows that have no such length are left out"
    )
    return Definition(
        tolerance.name,
        f"share of joints, over all windows together, {near}",
        "higher",
        f"share of windows where this joint is {near}",
    )


def _oks_figures(poses: Poses, sample: Sample, sigmas: tuple[float, ...]) -> list[Metric]:
    seen = poses.seen
    area = AREA[KEYPOINT_BOX](poses.truth, seen)
    rows = np.asarray(np.isfinite(area))
    if not rows.any():
        return []
    poses = Poses(
        poses.predicted[rows], poses.truth[rows], seen[rows], poses.constant, poses.constant_name,
        None if poses.confidence is None else poses.confidence[rows],
    )  # fmt: skip
    sample, area = sample.select(rows), area[rows]
    constant = np.broadcast_to(poses.constant, poses.truth.shape)
    figures = figure(
        OKS,
        ratio(oks(poses.predicted, poses.truth, poses.visible, area, sigmas)),
        Baseline(poses.constant_name, ratio(oks(constant, poses.truth, poses.visible, area, sigmas))),
        sample,
    )
    if poses.confidence is not None:
        persons = single_persons(poses.predicted, poses.confidence, poses.truth, poses.visible, area)
        beside = single_persons(constant, poses.confidence, poses.truth, poses.visible, area)
        name = f"{poses.constant_name}, each as sure as the model's pose"
        figures += average_precision_figure(persons, beside, name, sample, sigmas)
    return figures
