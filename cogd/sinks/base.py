"""The contract of a sink: the entry-point group `cogd.sinks`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from cogd.clock import Clock, SystemClock
from cogd.events import AppInfo, RunTotals

if TYPE_CHECKING:
    from pathlib import Path
    from urllib.parse import SplitResult

    from cogd.csi.link import LinkState
    from cogd.events import Event

AT_ONCE = 64
"""Events that `Feed.get_many` returns at most, if the sink does not ask for another number."""


class DaemonState(RunTotals, frozen=True, kw_only=True):
    """The daemon at one moment: the totals of `run.stopped`, the apps, the links, and the last event of each kind.

    Attributes:
        apps: the active versions.
        links: state of each node's link, and the age of its last new frame in seconds.
        last_events: the last event by (event name, app, node). Where an event has no app or no node, that is "";
            where it has a source and no node, the source stands for the node. At most 4096 of one name.
    """

    apps: list[AppInfo]
    links: dict[str, tuple[LinkState, float | None]]
    last_events: dict[tuple[str, str, str], Event]


class Feed(Protocol):
    """The events for one sink, oldest first: a bounded queue that the daemon owns.

    The daemon never waits for a sink: where the queue is full it drops the oldest event and counts it. Iteration
    ends after `run.stopped`. Every method must be called on the event loop's thread.

    An event that was returned is *in hand* until the sink asks for the next one, which means that it was delivered.
    If `run` raises or returns before, the events in hand go back to the queue and the next `run` gets them again.
    Three attempts that fail with anything but an `OSError` drop them, so that one event can't block the sink.
    """

    def __aiter__(self) -> Feed:
        """Return itself: `async for event in feed`."""

    async def __anext__(self) -> Event:
        """Wait for the next event.

        Raises:
            StopAsyncIteration: `run.stopped` was the last one.
        """

    async def get_many(self, limit: int = AT_ONCE) -> tuple[Event, ...]:
        """Wait for at least one event and return up to `limit` of those that are queued; empty after `run.stopped`."""

    def done(self, amount: int) -> None:
        """Report that the first `amount` of the events in hand were delivered; they will not be returned again."""

    def drop(self, reason: str, amount: int = 1) -> None:
        """Count events that the sink lost. `run.stopped` has them in `dropped`, as `sink_` and the reason."""

    def state(self) -> DaemonState:
        """Return a copy of the daemon's state now, for late joiners."""


@dataclass(frozen=True)
class SinkOptions:
    """Settings that sinks share.

    Attributes:
        credentials_file: the file with this sink's credentials (setting `sink_credentials`); its format is the
            sink's. Read it at each connect, so that it can be changed while the daemon runs.
        clock: where times come from, and how to wait.
    """

    credentials_file: Path | None = None
    clock: Clock = field(default_factory=SystemClock)


class Sink(Protocol):
    """A plugin that consumes events.

    The daemon makes a sink from `(name, url, options)`; `name` is the URL's `#name`, else its scheme. The constructor
    checks the URL and raises `ConfigError`; it opens nothing.
    """

    name: str

    def __init__(self, name: str, url: SplitResult, options: SinkOptions) -> None: ...

    async def run(self, feed: Feed) -> None:
        """Connect, and deliver the events of `feed` until it ends.

        The daemon runs each sink in a task of its own and restarts one that raises or returns before the feed ends,
        with back-off. When the daemon stops, a sink has 0.7 s to deliver what is queued, then it is cancelled.
        A call that may block belongs on a thread.

        Raises:
            SinkError: the sink can't work, and a restart can't change that.
            OSError: and any other exception: the sink failed for now; run it again.
        """
