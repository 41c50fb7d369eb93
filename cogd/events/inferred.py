"""The inferred events: what heads make of a model's outputs, and where each comes from. docs/events.md describes them.

`pose.frame` and `count` hold every field of the published cogs' `pose.frame` and `person.count`, so that what reads
those keeps working; where a published field can't be known here it is null.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cogd.events.base import EventFields
from cogd.events.units import Count, Origin, UnixTime


class WindowInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The window that an event was inferred from.

    Attributes:
        frames: how many frames, or cells, it holds.
        span_s: from its oldest to its newest frame; of cells, from the oldest's beginning to the newest's end.
        measured_tones: how many tones of its newest frame were measured; the others were interpolated.
    """

    frames: Count
    span_s: float
    measured_tones: Count


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Where an inferred event comes from.

    Attributes:
        tick: number of the tick, from 1.
        app: the app's id.
        version: its version.
        digest: `sha256:` of its signed manifest, which covers every byte of it.
        backend: what ran the model.
        node: `<source>/<node_id>`.
        time: of the newest frame, unix time on its source's clock.
        origin: `live`, `replayed` or `simulated`.
        window: what it was inferred from.
    """

    tick: Count
    app: str
    version: str
    digest: str
    backend: str
    node: str
    time: UnixTime
    origin: Origin
    window: WindowInfo

    def fields(self) -> dict[str, Any]:
        """The fields by name, as a head puts them into its event."""
        return msgspec.structs.asdict(self)


class InferenceFields(Context, EventFields, frozen=True, kw_only=True):
    """Base of inferred events.

    Attributes:
        latency_ms: time from the arrival of the newest frame to this event; the engine sets it last.
    """

    latency_ms: float = 0.0
