"""What a sink is: the contract of the entry-point group `cogd.sinks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from cogd.events import AppInfo, RunTotals

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult

    from cogd.csi.link import LinkState
    from cogd.events import Event


class Totals(RunTotals, frozen=True, kw_only=True):
    """What `run.stopped` would say now, and what serves and how the links stand.

    Attributes:
        apps: the versions that serve.
        links: state of each node's link, and the age of its last new frame in seconds.
    """

    apps: list[AppInfo]
    links: dict[str, tuple[LinkState, float | None]]


class Sink(Protocol):
    """A plugin that takes events. Made by its class from its URL.

    A sink never makes the daemon wait: it has a bounded queue of its own and sheds the oldest event when that is full.
    """

    dropped: int

    def __init__(self, url: SplitResult) -> None: ...

    def open(self) -> None:
        """Start."""

    def put(self, event: Event) -> None:
        """Take an event; returns at once."""

    def close(self, timeout_s: float) -> int:
        """Write what is still queued, for at most so long; returns how many events are left. May be called again."""

    @property
    def room(self) -> bool:
        """Whether there is room in the queue; what must not be lost waits for it."""

    @property
    def broken(self) -> OSError | None:
        """What ended the sink, or None. `BrokenPipeError`: whoever read it has gone."""


@runtime_checkable
class WatchingSink(Protocol):
    """A sink that tells of more than events."""

    def watch(self, totals: Callable[[], Totals]) -> None:
        """Take the totals from here; called once, on the event loop's thread, as `totals` must be."""
