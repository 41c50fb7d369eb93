"""Figures of predictions, by head: the one place that says what each head is scored by.

A new head is an entry in `SCORING`, and one in `cogd.train.predictions` for its labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from cogd.train.metrics import count, motion
from cogd.train.metrics.confidence import Usual, confidence_figures
from cogd.train.metrics.figure import Sample
from cogd.train.metrics.pose import Poses, joint_figures, pck_figure, pose_figures
from cogd.train.metrics.skeleton import COCO
from cogd.train.metrics.uncertainty import Doubts, is_right, right_figure
from cogd.train.predictions import TRUTH, Answer, Counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cogd.bundle.manifest import Metric
    from cogd.heads.base import Reading
    from cogd.heads.platt import Line
    from cogd.train.data.windows import Windows
    from cogd.train.predictions import HeadName, Predictions

    Outputs = Mapping[str, NDArray[np.float32]]

TRAINING_PART = "the training part"


@dataclass(frozen=True, eq=False)
class Baselines:
    """Trivial answers that figures are put beside.

    Attributes:
        constant: one answer for every window: a pose `[17, 2]` or numbers of persons; motion needs none.
        name: what answer that is; for counts, what it is the best of.
        usual: one confidence for every window; None where the model has no confidence.
    """

    constant: Any
    name: str
    usual: Usual | None = None


def baselines(
    head: HeadName, windows: Windows, rows: NDArray[np.int64], of: str = TRAINING_PART, usual: Usual | None = None
) -> Baselines:
    """The best constant answer on these rows, which are those of `of`."""
    return SCORING[head].constant(TRUTH[head](windows)[rows], of, usual)


def score(predictions: Predictions, beside: Baselines) -> list[Metric]:
    """The figures of a part as a whole: what goes into a manifest."""
    return SCORING[predictions.head].figures(predictions, beside, _sample(predictions))


def score_closely(
    predictions: Predictions, beside: Baselines, further: Mapping[str, Sequence[str | None]] | None = None
) -> list[Metric]:
    """The figures of each joint or class, and the first one of each room and session: what reports add.

    Args:
        predictions: of the part.
        beside: trivial answers.
        further: other groupings by name, such as `chip`: the group of each window, None where it isn't known.
    """
    head = SCORING[predictions.head]
    figures = head.parts(predictions, beside, _sample(predictions))
    for group in ("room", "session"):
        for part in predictions.by(group):
            figures += head.first(part, beside, _sample(part))
    for name, groups in (further or {}).items():
        known = sorted({group for group in groups if group is not None})
        for group in known if len(known) > 1 else ():
            part = predictions.take(np.asarray([one == group for one in groups]), f"{predictions.part}; {name} {group}")
            figures += head.first(part, beside, _sample(part))
    return figures


def right(predictions: Predictions) -> NDArray[np.bool_]:
    """Which answers are right, as the confidence is the probability of: exactly, or a pose as `RIGHT` has it."""
    if predictions.head == "pose":
        return is_right(predictions.predicted.astype(np.float64), predictions.truth.astype(np.float64))
    return np.asarray(predictions.predicted == predictions.truth)


def _sample(predictions: Predictions) -> Sample:
    return Sample(predictions.part, len(predictions), predictions.groups())


class Scoring(Protocol):
    """How one head is scored.

    Attributes:
        headline: the name of the first figure, which is also given for each room and session.
    """

    headline: str

    def answer(
        self, outputs: Outputs, readings: Sequence[Reading], labels: tuple[str, ...], fused_line: Line | None
    ) -> Answer:
        """What the daemon's head made of a model's outputs; `fused_line` is the count head's."""

    def constant(self, truth: NDArray[Any], of: str, usual: Usual | None) -> Baselines:
        """The best constant answer to labels `[n]`, those of `of`."""

    def figures(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        """As a whole."""

    def first(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        """The headline alone."""

    def parts(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        """Each joint or class alone."""


class _Pose:
    headline = COCO.tolerances[0].name

    def answer(
        self, outputs: Outputs, readings: Sequence[Reading], labels: tuple[str, ...], fused_line: Line | None
    ) -> Answer:
        del outputs, fused_line
        persons = [_fields(reading)["persons"][0] for reading in readings]
        return Answer(
            np.asarray([person.keypoints for person in persons], dtype=np.float32),
            labels,
            _known([person.confidence for person in persons]),
            radius=_known([person.error_50 for person in persons]),
        )

    def constant(self, truth: NDArray[Any], of: str, usual: Usual | None) -> Baselines:
        return Baselines(truth.mean(axis=0, dtype=np.float64), f"mean pose of {of}", usual)

    def figures(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        poses = self._poses(predictions, beside)
        figures = pose_figures(poses, sample)
        figures += right_figure(poses.predicted, poses.truth, beside.constant, beside.name, sample)
        figures += _confidence(predictions, beside, sample)
        return figures + [figure for doubts in _doubts(predictions) for figure in doubts.figures(sample)]

    def first(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        return pck_figure(self._poses(predictions, beside), sample, COCO.tolerances[0])

    def parts(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        figures = joint_figures(self._poses(predictions, beside), sample)
        return figures + [figure for doubts in _doubts(predictions) for figure in doubts.of_joints(sample)]

    @staticmethod
    def _poses(predictions: Predictions, beside: Baselines) -> Poses:
        truth = predictions.truth.astype(np.float64)
        return Poses(
            predictions.predicted.astype(np.float64),
            truth,
            np.ones(truth.shape[:2], dtype=np.bool_),
            beside.constant,
            beside.name,
            predictions.confidence,
        )


class _Count:
    headline = count.ACCURACY.name

    def answer(
        self, outputs: Outputs, readings: Sequence[Reading], labels: tuple[str, ...], fused_line: Line | None
    ) -> Answer:
        del outputs
        fields = [_fields(reading) for reading in readings]
        return Answer(
            np.asarray([one["count"] for one in fields], dtype=np.int64),
            labels,
            _known([one.confidence for one in readings]),
            counted=Counted([one["probs"] for one in fields], fields[0]["classes"], fused_line),
        )

    def constant(self, truth: NDArray[Any], of: str, usual: Usual | None) -> Baselines:
        return Baselines(count.Constants.best(truth), of, usual)

    def figures(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        return count.count_figures(self._counts(predictions, beside), sample) + _confidence(predictions, beside, sample)

    def first(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        return count.accuracy_figure(self._counts(predictions, beside), sample)

    def parts(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        return count.class_figures(self._counts(predictions, beside), sample)

    @staticmethod
    def _counts(predictions: Predictions, beside: Baselines) -> count.Counts:
        return count.Counts(predictions.predicted, predictions.truth, beside.constant, beside.name)


class _Motion:
    headline = motion.BALANCED.name

    def answer(
        self, outputs: Outputs, readings: Sequence[Reading], labels: tuple[str, ...], fused_line: Line | None
    ) -> Answer:
        del fused_line
        moving = [_fields(reading)["moving"] for reading in readings]
        return Answer(
            np.asarray(moving, dtype=np.bool_),
            labels,
            _known([one.confidence for one in readings]),
            outputs["motion_logits"].reshape(-1).astype(np.float64),
        )

    def constant(self, truth: NDArray[Any], of: str, usual: Usual | None) -> Baselines:
        del truth
        return Baselines(None, f"none of {of}: each figure names its own", usual)

    def figures(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        return motion.motion_figures(self._motions(predictions), sample) + _confidence(predictions, beside, sample)

    def first(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        del beside
        return motion.balanced_figure(self._motions(predictions), sample)

    def parts(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        del beside
        return motion.class_figures(self._motions(predictions), sample)

    @staticmethod
    def _motions(predictions: Predictions) -> motion.Motions:
        return motion.Motions(predictions.predicted, predictions.score, predictions.truth)


SCORING: Mapping[HeadName, Scoring] = {"pose": _Pose(), "count": _Count(), "motion": _Motion()}
"""By head."""


def _confidence(predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
    if predictions.confidence is None or beside.usual is None:
        return []
    return confidence_figures(predictions.confidence, right(predictions), beside.usual, sample)


def _doubts(predictions: Predictions) -> list[Doubts]:
    """What poses say of their errors; nothing where they say nothing."""
    if predictions.radius is None:
        return []
    return [Doubts(np.linalg.norm(predictions.predicted - predictions.truth, axis=-1), predictions.radius)]


def _known(said: Sequence[float | Sequence[float] | None]) -> NDArray[np.float64] | None:
    """All of them; None where one is missing, which is where the model has none."""
    known = [one for one in said if one is not None]
    return np.asarray(known) if len(known) == len(said) else None


def _fields(reading: Reading) -> dict[str, Any]:
    return msgspec.structs.asdict(reading.fields)
