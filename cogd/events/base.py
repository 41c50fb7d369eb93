"""The event line and the base of every event type."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec

Level = Literal["debug", "info", "warn", "error"]

SCHEMA: Final = 1
"""Version of all events' schemas together: docs/stability.md says when it changes."""


class EventFields(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every event type: the fields of one event, and what the type knows about its line.

    Attributes:
        event_name: the line's `event`.
        usual_level: the line's `level`, unless the type overrides `event_level` or the emitter's caller gives another.
    """

    event_name: ClassVar[str]
    usual_level: ClassVar[Level] = "info"

    def event_level(self) -> Level:
        """The level of this event; a type overrides it where the level depends on the fields."""
        return self.usual_level


class Event(msgspec.Struct, gc=False):
    """One event line: `{"ts", "level", "event", "fields"}`; `ts` is the unix time in seconds of its making."""

    ts: float
    level: Level
    event: str
    fields: EventFields


_ENCODER = msgspec.json.Encoder()


def encode(event: Event) -> bytes:
    """The event as one line of JSON, with its newline."""
    return _ENCODER.encode(event) + b"\n"
