"""How the pose head is scored: its figures, gates and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cogd.train.heads.base import Bar, Baselines, Scoring
from cogd.train.heads.pose.uncertainty import RIGHT, Doubts, is_right, right_figure
from cogd.train.metrics.pose import Poses, joint_figures, pck_figure, pose_figures
from cogd.train.metrics.skeleton import COCO
from cogd.train.predictions import Answer
from cogd.train.scoring import all_known, confidence_metrics, fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cogd.bundle.manifest import Metric
    from cogd.heads.base import Head, Reading
    from cogd.train.metrics.confidence import Usual
    from cogd.train.metrics.figure import Sample
    from cogd.train.predictions import Predictions
    from cogd.train.report.panel import Panel

    Outputs = Mapping[str, NDArray[np.float32]]


class PoseScoring(Scoring):
    """Figures of one person's keypoints."""

    headline = COCO.tolerances[0].name
    accuracy = RIGHT.name
    has_classes = False
    parts_title = "Joints"
    bars = (Bar(COCO.tolerances[0].name, "times", 2.0),)
    condition = "in rooms of which nothing trained"

    def answer(self, outputs: Outputs, readings: Sequence[Reading], labels: tuple[str, ...], head: Head) -> Answer:
        """Return the daemon's readings as one answer."""
        del outputs, head
        persons = [fields_of(reading)["persons"][0] for reading in readings]
        return Answer(
            np.asarray([person.keypoints for person in persons], dtype=np.float32),
            labels,
            all_known([person.confidence for person in persons]),
            radius=all_known([person.error_50 for person in persons]),
        )

    def constant(self, truth: NDArray[Any], of: str, usual: Usual | None) -> Baselines:
        """Return the best constant answer."""
        return Baselines(truth.mean(axis=0, dtype=np.float64), f"mean pose of {of}", usual)

    def figures(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        """Return the figures of a part as a whole."""
        poses = self._poses(predictions, beside)
        figures = pose_figures(poses, sample)
        figures += right_figure(poses.predicted, poses.truth, beside.constant, beside.name, sample)
        figures += confidence_metrics(predictions, beside, sample)
        return figures + [figure for doubts in _doubts(predictions) for figure in doubts.figures(sample)]

    def first(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        """Return the headline figure alone."""
        return pck_figure(self._poses(predictions, beside), sample, COCO.tolerances[0])

    def parts(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        """Return the figures of each joint or class."""
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

    def right(self, predictions: Predictions) -> NDArray[np.bool_]:
        """Return which poses are right by the definition of `RIGHT`."""
        return is_right(predictions.predicted.astype(np.float64), predictions.truth.astype(np.float64))

    def panels(self, predictions: Predictions, grouped: Panel | None) -> tuple[list[Panel], list[Panel]]:
        """Return skeletons beside the truth, and whether the stated radii hold the joints."""
        from cogd.train.heads.pose.plots import pose_panels, radius_panels

        return [*([] if grouped is None else [grouped]), *pose_panels(predictions)], radius_panels(predictions)


def _doubts(predictions: Predictions) -> list[Doubts]:
    """What poses say of their errors; nothing where they say nothing."""
    if predictions.radius is None:
        return []
    return [Doubts(np.linalg.norm(predictions.predicted - predictions.truth, axis=-1), predictions.radius)]
