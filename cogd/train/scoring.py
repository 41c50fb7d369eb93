"""Figures of predictions: those of the head, with its baselines, for the whole and for each room and session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from cogd.train.heads.registry import trainer_of
from cogd.train.metrics.confidence import Usual, confidence_figures
from cogd.train.metrics.figure import Sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cogd.bundle.manifest import Metric
    from cogd.heads.base import Reading
    from cogd.train.data.windows import Windows
    from cogd.train.heads.base import Baselines
    from cogd.train.predictions import Predictions

TRAINING_PART = "the training part"


def baselines(
    head: str, windows: Windows, rows: NDArray[np.int64], of: str = TRAINING_PART, usual: Usual | None = None
) -> Baselines:
    """The best constant answer on these rows, which are those of `of`."""
    return trainer_of(head).scoring.constant(trainer_of(head).truth(windows)[rows], of, usual)


def score(predictions: Predictions, beside: Baselines) -> list[Metric]:
    """The figures of a part as a whole: what goes into a manifest."""
    return trainer_of(predictions.head).scoring.figures(predictions, beside, _sample(predictions))


def score_closely(
    predictions: Predictions, beside: Baselines, further: Mapping[str, Sequence[str | None]] | None = None
) -> list[Metric]:
    """The figures of each joint or class, and the first one of each room and session: what reports add.

    Args:
        predictions: of the part.
        beside: trivial answers.
        further: other groupings by name, such as `chip`: the group of each window, None where it isn't known.
    """
    head = trainer_of(predictions.head).scoring
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
    """Return which answers are right, as the confidence is the probability of."""
    return trainer_of(predictions.head).scoring.right(predictions)


def _sample(predictions: Predictions) -> Sample:
    return Sample(predictions.part, len(predictions), predictions.groups())


def confidence_metrics(predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
    """Return the figures of a part's confidence; none where the model has no confidence."""
    if predictions.confidence is None or beside.usual is None:
        return []
    return confidence_figures(predictions.confidence, right(predictions), beside.usual, sample)


def all_known(said: Sequence[float | Sequence[float] | None]) -> NDArray[np.float64] | None:
    """All of them; None where one is missing, which is where the model has none."""
    known = [one for one in said if one is not None]
    return np.asarray(known) if len(known) == len(said) else None


def fields_of(reading: Reading) -> dict[str, Any]:
    """Return the fields of a reading's event by name."""
    return msgspec.structs.asdict(reading.fields)
