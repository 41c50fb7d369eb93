"""Object keypoint similarity and its average precision, as COCO's evaluator computes them.

https://cocodataset.org/#keypoints-eval and its reference implementation, pycocotools' COCOeval (`iouType="keypoints"`,
area range `all`, at most 20 detections an image). Two things differ, both said in the definitions: the area, because no
data set of CSI has a person's segment; and a person without a visible joint is no truth here, where COCO excuses
detections near it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cogd.train.metrics.bootstrap import OfWeights
from cogd.train.metrics.figure import Baseline, Definition, figure
from cogd.train.metrics.skeleton import box_sides

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from cogd.bundle.manifest import Metric
    from cogd.train.metrics.figure import Sample

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

THRESHOLDS: Final = np.linspace(0.5, 0.95, 10)
RECALLS: Final = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS: Final = 20
_NEARLY_ONE = 1 - 1e-10  # COCOeval's
_EPSILON = float(np.spacing(1))

KEYPOINT_BOX: Final = "keypoint_box"


def _keypoint_box(truth: Array, visible: Mask) -> Array:
    sides = box_sides(truth, visible)
    area = sides.prod(axis=-1)
    return np.where(area > 0, area, np.nan)


AREA: Final[Mapping[str, Callable[[Array, Mask], Array]]] = {KEYPOINT_BOX: _keypoint_box}
"""A person's area `[n]` from truths `[n, joints, 2]` and which joints are visible, by name; NaN where there is none."""

_SCALE = (
    "exp(-d^2 / (2 s^2 k^2)), d the distance, k twice COCO's sigma of the joint and s^2 the area of the box around the "
    "truth's visible joints (COCO takes the area of the person's segment, which is smaller: not to be compared with "
    "figures on COCO)"
)
OKS: Final = Definition(
    f"oks_{KEYPOINT_BOX}",
    f"mean over windows of the object keypoint similarity: mean over visible joints of {_SCALE}",
    "higher",
)
AP: Final = Definition(
    f"oks_ap_{KEYPOINT_BOX}",
    "average precision over the thresholds 0.50:0.05:0.95 of the object keypoint similarity, detections in the order "
    "of their confidence, matched greedily, precision interpolated at 101 recalls as COCO does; the similarity is the "
    f"mean over visible joints of {_SCALE}",
    "higher",
)


@dataclass(frozen=True, eq=False)
class Persons:
    """The poses of one picture.

    Attributes:
        predicted: `[p, joints, 2]`.
        score: `[p]` how sure each is.
        truth: `[t, joints, 2]`.
        visible: bool `[t, joints]`, at least one of each person.
        area: `[t]` of each true person, above 0.
    """

    predicted: Array
    score: Array
    truth: Array
    visible: Mask
    area: Array


def oks(predicted: Array, truth: Array, visible: Mask, area: Array, sigmas: Sequence[float]) -> Array:
    """Similarity `[...]` of poses `[..., joints, 2]`; a joint that was not given (NaN) adds 0."""
    variance = (2 * np.asarray(sigmas)) ** 2
    squared = ((predicted - truth) ** 2).sum(axis=-1)
    closeness = np.exp(-squared / variance / (area[..., None] + _EPSILON) / 2)
    closeness = np.where(visible & np.isfinite(squared), closeness, 0.0)
    return np.asarray(closeness.sum(axis=-1) / np.maximum(visible.sum(axis=-1), 1))


def similarities(persons: Persons, sigmas: Sequence[float]) -> Array:
    """OKS `[p, t]` of every pose with every true person."""
    return oks(persons.predicted[:, None], persons.truth[None], persons.visible[None], persons.area[None], sigmas)


@dataclass(frozen=True, eq=False)
class _Matched:
    """What COCO's greedy matching makes of a set of pictures: detections in the order of their scores."""

    picture: NDArray[np.int64]
    right: Mask  # [thresholds, detections]
    truths: NDArray[np.int64]  # [pictures]


def average_precision(pictures: Sequence[Persons], sigmas: Sequence[float]) -> OfWeights:
    """AP over the ten thresholds, of pictures that may be weighted; not defined where there is no true person."""
    scores: list[Array] = []
    right: list[Mask] = []
    for persons in pictures:
        order = np.argsort(-persons.score, kind="mergesort")[:MAX_DETECTIONS]
        scores.append(persons.score[order])
        right.append(_greedy(similarities(persons, sigmas)[order]))
    picture = np.repeat(np.arange(len(pictures)), [len(score) for score in scores])
    order = np.argsort(-np.concatenate(scores), kind="mergesort") if scores else np.empty(0, np.int64)
    matched = _Matched(
        picture[order],
        np.concatenate(right, axis=1)[:, order] if right else np.empty((len(THRESHOLDS), 0), np.bool_),
        np.asarray([len(persons.truth) for persons in pictures], dtype=np.int64),
    )
    return OfWeights(len(pictures), lambda weights: np.asarray([_interpolated(matched, row) for row in weights]))


def _greedy(similarity: Array) -> Mask:
    """Whether each detection `[p]`, in order of its score, gets a true person to itself, by threshold `[10, p]`."""
    right = np.zeros((len(THRESHOLDS), len(similarity)), dtype=np.bool_)
    for level, threshold in enumerate(THRESHOLDS):
        free = np.ones(similarity.shape[1], dtype=np.bool_)
        for detection, row in enumerate(similarity):
            fitting = np.where(free & (row >= min(threshold, _NEARLY_ONE)), row, -1.0)
            if fitting.max(initial=-1.0) >= 0:
                free[len(row) - 1 - int(np.argmax(fitting[::-1]))] = False  # of equals the last, as COCOeval
                right[level, detection] = True
    return right


def _interpolated(matched: _Matched, weight: Array) -> float:
    """The mean over thresholds and recalls of the interpolated precision, pictures counted `weight` times."""
    truths = float(weight @ matched.truths)
    if truths == 0:
        return float("nan")
    counted = weight[matched.picture]
    said = np.cumsum(counted)
    total = 0.0
    for right in matched.right:
        hit = np.cumsum(counted * right)
        precision = hit / (said + _EPSILON)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(hit / truths, RECALLS, side="left")
        total += float(precision[at[at < len(precision)]].sum())
    return total / (len(RECALLS) * len(THRESHOLDS))


def single_persons(predicted: Array, score: Array, truth: Array, visible: Mask, area: Array) -> list[Persons]:
    """Pictures of one pose and one true person each, from rows."""
    return [
        Persons(predicted[n : n + 1], score[n : n + 1], truth[n : n + 1], visible[n : n + 1], area[n : n + 1])
        for n in range(len(predicted))
    ]


def average_precision_figure(
    pictures: Sequence[Persons], beside: Sequence[Persons], baseline: str, sample: Sample, sigmas: Sequence[float]
) -> list[Metric]:
    """AP of pictures, `sample` counting these, beside that of a trivial answer on the same pictures."""
    trivial = Baseline(baseline, average_precision(beside, sigmas))
    return figure(AP, average_precision(pictures, sigmas), trivial, sample)
