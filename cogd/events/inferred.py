"""The inferred events: what heads make of a model's outputs, and where each comes from. docs/events.md describes them.

`pose.frame` and `count` hold every field of the published cogs' `pose.frame` and `person.count`, so that what reads
those keeps working; where a published field can't be known here it is null.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from cogd.events.base import EventFields, Level


class WindowInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The window that an event was inferred from.

    Attributes:
        frames: how many frames, or cells, it holds.
        span_s: time from its oldest to its newest frame; of cells, from the oldest's beginning to the newest's end.
        measured_tones: how many tones of its newest frame were measured; the others were interpolated.
    """

    frames: int
    span_s: float
    measured_tones: int


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Where an inferred event comes from.

    Attributes:
        tick: number of the tick, from 1.
        app: the app's id.
        version: its version.
        digest: `sha256:` of its signed manifest, which covers every byte of it.
        backend: what ran the model.
        node: `<source>/<node_id>`.
        time: unix seconds of the newest frame, on its source's clock.
        origin: `live`, `replayed` or `simulated`.
        window: what it was inferred from.
    """

    tick: int
    app: str
    version: str
    digest: str
    backend: str
    node: str
    time: float
    origin: str
    window: WindowInfo

    def fields(self) -> dict[str, Any]:
        """The fields by name, as a head puts them into its event."""
        return msgspec.structs.asdict(self)


class InferenceFields(Context, EventFields, frozen=True, kw_only=True):
    """What every inferred event says about itself.

    Attributes:
        latency_ms: from the arrival of the newest frame to this event; the engine sets it last.
    """

    latency_ms: float = 0.0


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """One skeleton.

    Attributes:
        keypoints: 17 (x, y) in picture coordinates 0..1, COCO order.
        confidence: calibrated probability that the pose is right, the joints off by no more than half a torso's length
            on average; or null.
        error_50: for each joint the radius around it, in picture coordinates, that holds the true joint with a
            probability of 50 %; or null.
    """

    keypoints: list[list[float]]
    confidence: float | None
    error_50: list[float] | None


class PoseFields(InferenceFields, frozen=True, kw_only=True):
    """`pose.frame`. `n_persons` is the number of skeletons in `persons`, not a count of people."""

    event_name: ClassVar[str] = "pose.frame"

    n_persons: int
    persons: list[Person]


class CountFields(InferenceFields, frozen=True, kw_only=True):
    """`count`.

    Attributes:
        count: the median of `probs`: the number of persons with the least expected error.
        raw_count: the most probable number; null where the model's largest output was of one that it was never trained
            on.
        confidence: calibrated probability that `count` is right, or null.
        low_confidence: true where `raw_count` is null: the input is unlike the training data.
        count_p95_low: least number of a range that holds 95 % of the probability.
        count_p95_high: greatest number of that range.
        n_nodes: nodes that the count was inferred from.
        probs: probability of each number in `classes`.
        classes: the trained numbers of persons.
    """

    event_name: ClassVar[str] = "count"

    count: int
    raw_count: int | None
    confidence: float | None
    low_confidence: bool
    count_p95_low: int
    count_p95_high: int
    n_nodes: int
    probs: list[float]
    classes: list[int]

    def event_level(self) -> Level:
        """`warn` where the input is unlike the training data."""
        return "warn" if self.low_confidence else "info"


class FusedCountFields(EventFields, frozen=True, kw_only=True):
    """`count.fused`: the counts of several nodes of one source, made one.

    Attributes:
        tick: number of the tick that inferred the newest of them.
        app: the app's id.
        version: its version.
        digest: `sha256:` of its signed manifest.
        source: the source.
        nodes: whose counts these are, by name.
        n_nodes: how many.
        time: of the newest frame, unix seconds on the source's clock; the others' are at most a second apart.
        origin: `live`, `replayed` or `simulated`.
        count: the median of `probs`: the number of persons with the least expected error.
        confidence: calibrated probability that `count` is right, or null where the bundle has no calibration for it.
        count_p95_low: least number of a range that holds 95 % of the probability.
        count_p95_high: greatest number of that range.
        probs: probability of each number in `classes`.
        classes: the trained numbers of persons.
        latency_ms: from the arrival of the newest frame to its node's `count`.
    """

    event_name: ClassVar[str] = "count.fused"

    tick: int
    app: str
    version: str
    digest: str
    source: str
    nodes: list[str]
    n_nodes: int
    time: float
    origin: str
    count: int
    confidence: float | None
    count_p95_low: int
    count_p95_high: int
    probs: list[float]
    classes: list[int]
    latency_ms: float


class MotionFields(InferenceFields, frozen=True, kw_only=True):
    """`motion`.

    Attributes:
        moving: whether something moves: `probability` is 0.5 or more.
        probability: calibrated probability that something moves.
        confidence: calibrated probability that `moving` is right: the greater of `probability` and the rest.
        score: the model's raw output, a logit; greater where more moves.
        baseline: the node's score while nothing moves, as `cogd calibrate` measured it for this very bundle, or null.
        baseline_time: when it was measured, unix seconds, or null.
    """

    event_name: ClassVar[str] = "motion"

    moving: bool
    probability: float
    confidence: float
    score: float
    baseline: float | None
    baseline_time: float | None
