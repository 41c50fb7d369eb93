"""What sources, links and windows report: `source.state`, `link.state`, `window.reset`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from cogd.events.base import EventFields, Level
from cogd.events.units import UnixTime

Link = Annotated[str, Meta(examples=["live", "stale", "frozen", "simulated", "absent"])]
"""State of a node's link; the values of `cogd.csi.link.LinkState`."""

ResetReason = Annotated[str, Meta(examples=["gap", "width_changed", "restarted", "frozen"])]
"""Why a window was emptied; the values of `cogd.csi.window.Reset`."""

SourceState = Literal["up", "down", "silent", "ended"]


class LinkChanged(EventFields, frozen=True, kw_only=True):
    """The link of a node has changed its state.

    Attributes:
        node: `<source>/<node id>`.
        state: the state now.
        previous: the state before.
        time: of the node's last frame, unix time on its source's clock; null: there was none.
    """

    event_name: ClassVar[str] = "link.state"

    node: str
    state: Link
    previous: Link
    time: UnixTime | None

    def event_level(self) -> Level:
        """`warn` unless the link is live."""
        return "info" if self.state == "live" else "warn"


class WindowReset(EventFields, frozen=True, kw_only=True):
    """The windows of a node were emptied: no inferred events of it until they have filled again.

    Attributes:
        node: `<source>/<node id>`.
        apps: ids of the apps that infer from these windows.
        reason: why they were emptied.
        time: of the frame that emptied them, unix time on its source's clock.
    """

    event_name: ClassVar[str] = "window.reset"

    node: str
    apps: list[str]
    reason: ResetReason
    time: UnixTime


class SourceChanged(EventFields, frozen=True, kw_only=True):
    """A source has changed its state.

    Attributes:
        source: the source's name.
        state: `up`; `down`: broken or not open; `silent`: open, but no frame arrives; `ended`: no more frames follow.
        reason: why it is down or silent; null where there is no reason.
    """

    event_name: ClassVar[str] = "source.state"

    source: str
    state: SourceState
    reason: str | None

    def event_level(self) -> Level:
        """`warn` while the source delivers nothing and has not ended."""
        return "info" if self.state in {"up", "ended"} else "warn"
