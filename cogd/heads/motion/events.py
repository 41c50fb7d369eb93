"""The event of the motion head: `motion`. docs/events.md describes it."""

from __future__ import annotations

from typing import ClassVar

from cogd.events import InferenceFields
from cogd.events.units import Number, Probability, UnixTime


class MotionFields(InferenceFields, frozen=True, kw_only=True):
    """Whether something moves, as a model infers it from a window of one node.

    Attributes:
        moving: whether something moves: `probability` is 0.5 or more.
        probability: calibrated probability that something moves.
        confidence: calibrated probability that `moving` is right: the greater of `probability` and the rest.
        score: the model's raw output, a logit; greater where more moves.
        baseline: the node's score while nothing moves, as `cogd calibrate` measured it for this very bundle, or null.
        baseline_time: when it was measured, unix time, or null.
    """

    event_name: ClassVar[str] = "motion"

    moving: bool
    probability: Probability
    confidence: Probability
    score: Number
    baseline: Number | None
    baseline_time: UnixTime | None
