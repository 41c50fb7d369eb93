"""How the motion head is scored: its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cogd.train.heads.base import Baselines, Scoring
from cogd.train.metrics import motion
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

    Outputs = Mapping[str, NDArray[np.float32]]


class MotionScoring(Scoring):
    """Figures of moving against quiet."""

    headline = motion.BALANCED.name
    accuracy = motion.BALANCED.name

    def answer(self, outputs: Outputs, readings: Sequence[Reading], labels: tuple[str, ...], head: Head) -> Answer:
        """Return the daemon's readings as one answer."""
        del head
        moving = [fields_of(reading)["moving"] for reading in readings]
        return Answer(
            np.asarray(moving, dtype=np.bool_),
            labels,
            all_known([one.confidence for one in readings]),
            outputs["motion_logits"].reshape(-1).astype(np.float64),
        )

    def constant(self, truth: NDArray[Any], of: str, usual: Usual | None) -> Baselines:
        """Return the best constant answer."""
        del truth
        return Baselines(None, f"none of {of}: each figure names its own", usual)

    def figures(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        """Return the figures of a part as a whole."""
        return motion.motion_figures(self._motions(predictions), sample) + confidence_metrics(
            predictions, beside, sample
        )

    def first(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        """Return the headline figure alone."""
        del beside
        return motion.balanced_figure(self._motions(predictions), sample)

    def parts(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        """Return the figures of each joint or class."""
        del beside
        return motion.class_figures(self._motions(predictions), sample)

    @staticmethod
    def _motions(predictions: Predictions) -> motion.Motions:
        return motion.Motions(predictions.predicted, predictions.score, predictions.truth)

    def class_name(self, number: int, labels: Sequence[str]) -> str:
        """Return `quiet` or `moving`."""
        del labels
        return ("quiet", "moving")[number]
