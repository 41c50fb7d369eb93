"""What sources, links and windows report: `source.state`, `link.state`, `window.reset`."""

from __future__ import annotations

from typing import ClassVar, Literal

from cogd.events.base import EventFields, Level


class LinkChanged(EventFields, frozen=True, kw_only=True):
    """`link.state`: what a node's input is worth has changed. `time` is of its last frame."""

    event_name: ClassVar[str] = "link.state"

    node: str
    state: str
    previous: str
    time: float | None

    def event_level(self) -> Level:
        """`warn` unless the link is live."""
        return "info" if self.state == "live" else "warn"


class WindowReset(EventFields, frozen=True, kw_only=True):
    """`window.reset`: these apps say nothing of this node until a window has filled again."""

    event_name: ClassVar[str] = "window.reset"

    node: str
    apps: list[str]
    reason: str
    time: float


class SourceChanged(EventFields, frozen=True, kw_only=True):
    """`source.state`: `up`, `down` (with the reason), `silent` (open, but nothing comes) or `ended`."""

    event_name: ClassVar[str] = "source.state"

    source: str
    state: Literal["up", "down", "silent", "ended"]
    reason: str | None

    def event_level(self) -> Level:
        """`warn` while the source delivers nothing and has not ended."""
        return "info" if self.state in {"up", "ended"} else "warn"
