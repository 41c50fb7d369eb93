"""What a sink is: the contract of the entry-point group `cogd.sinks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from cogd.events import Event


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
