"""The last event of each kind, app and node, for late joiners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cogd.events import InferenceFields

if TYPE_CHECKING:
    from cogd.events import Event

MAX_KEPT: Final = 4096
"""Events of one name; as many as there may be nodes. Where more come, the one whose node came first goes."""


class LastEvents:
    """The last event by (event name, app, node)."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[tuple[str, str], Event]] = {}

    def keep(self, event: Event) -> None:
        """Put an event in the place of the one before."""
        fields = event.fields
        if isinstance(fields, InferenceFields):
            key = (fields.app, fields.node)
        else:
            node = getattr(fields, "node", None) or getattr(fields, "source", None)
            key = (getattr(fields, "app", None) or "", node or "")
        events = self._by_name.get(event.event)
        if events is None:
            events = self._by_name[event.event] = {}
        elif len(events) >= MAX_KEPT and key not in events:
            del events[next(iter(events))]
        events[key] = event

    def copy(self) -> dict[tuple[str, str, str], Event]:
        """All of them now."""
        return {(name, *key): event for name, events in self._by_name.items() for key, event in events.items()}
