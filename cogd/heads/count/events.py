"""The events of the count head: `count` and `count.fused`. docs/events.md describes them.

`count` holds every field of the published cogs' `person.count`, so that their consumers keep working; a published field
that can't be known here is null.
"""

from __future__ import annotations

from typing import ClassVar

from cogd.events import EventFields, InferenceFields, Level
from cogd.events.units import Count, Origin, Probability, UnixTime


class CountFields(InferenceFields, frozen=True, kw_only=True):
    """The number of persons that a model infers from a window of one node.

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

    count: Count
    raw_count: Count | None
    confidence: Probability | None
    low_confidence: bool
    count_p95_low: Count
    count_p95_high: Count
    n_nodes: Count
    probs: list[Probability]
    classes: list[Count]

    def event_level(self) -> Level:
        """`warn` where the input is unlike the training data."""
        return "warn" if self.low_confidence else "info"


class FusedCountFields(EventFields, frozen=True, kw_only=True):
    """The number of persons, fused from the last counts of several nodes of one source.

    Attributes:
        tick: number of the tick that inferred the newest of them.
        app: the app's id.
        version: its version.
        digest: `sha256:` of its signed manifest.
        source: the source.
        nodes: whose counts these are, by name.
        n_nodes: how many.
        time: of the newest frame, unix time on the source's clock; the others' are at most a second apart.
        origin: `live`, `replayed` or `simulated`.
        count: the median of `probs`: the number of persons with the least expected error.
        confidence: calibrated probability that `count` is right, or null where the bundle has no calibration for it.
        count_p95_low: least number of a range that holds 95 % of the probability.
        count_p95_high: greatest number of that range.
        probs: probability of each number in `classes`.
        classes: the trained numbers of persons.
        latency_ms: time from the arrival of the newest frame to its node's `count`.
    """

    event_name: ClassVar[str] = "count.fused"

    tick: Count
    app: str
    version: str
    digest: str
    source: str
    nodes: list[str]
    n_nodes: Count
    time: UnixTime
    origin: Origin
    count: Count
    confidence: Probability | None
    count_p95_low: Count
    count_p95_high: Count
    probs: list[Probability]
    classes: list[Count]
    latency_ms: float
