"""The emitter: adds time, level and name to an event's fields and passes the event on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogd.events.base import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from cogd.clock import Clock
    from cogd.events.base import EventFields, Level


class Emitter:
    """Makes events of their fields.

    Args:
        clock: gives the events' `ts`.
        sink: receives every event, in order; must not block.
    """

    def __init__(self, clock: Clock, sink: Callable[[Event], None]) -> None:
        self._clock, self._sink = clock, sink

    def emit(self, fields: EventFields, level: Level | None = None, *, ts: float | None = None) -> None:
        """Emit an event.

        Args:
            fields: its fields; the type names the event.
            level: instead of the type's own.
            ts: instead of the present time, for events of one moment.
        """
        self._sink(
            Event(
                self._clock.unix_s() if ts is None else ts,
                fields.event_level() if level is None else level,
                fields.event_name,
                fields,
            )
        )
