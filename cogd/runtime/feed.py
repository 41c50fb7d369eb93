"""The bounded queue of events between the daemon and one sink."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from cogd.sinks.base import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from cogd.clock import Clock
    from cogd.events import Event
    from cogd.sinks.base import DaemonState

QUEUED_EVENTS: Final = 4096
STALLED_S: Final = 10.0
"""A sink that has taken nothing for so long, though something is queued, is stalled."""

_ATTEMPTS: Final = 3


class EventFeed:
    """Implements `cogd.sinks.base.Feed` for one sink.

    `put` only appends; the sink's task is woken once, by the first event that it waits for, and runs when the tick is
    over. Whatever that tick emits is then there to be taken in one call.

    Args:
        clock: where times come from.
        state: returns the daemon's state.
        recovered: called when the sink has delivered an event after it had failed.

    Attributes:
        dropped: events lost, by the reason as `run.stopped` has it.
        failing: why the sink's last run ended, until it delivers again; None while it works.
        closed: nothing more is put: iteration ends when the queue is empty.
        over: the sink will take nothing any more.
    """

    def __init__(
        self, clock: Clock, state: Callable[[], DaemonState], recovered: Callable[[], None] = lambda: None
    ) -> None:
        self.state = state
        self.dropped: Counter[str] = Counter()
        self.failing: str | None = None
        self.closed = False
        self.over = False
        self._clock, self._recovered = clock, recovered
        self._queue: deque[Event] = deque()
        self._in_hand: tuple[Event, ...] = ()
        self._failures = 0
        """Of attempts to deliver what is in hand."""
        self._news: asyncio.Future[None] | None = None
        """What the sink waits for."""
        self._delivered: asyncio.Future[None] | None = None
        """What `join` waits for."""
        self._taken_s = clock.monotonic_s()

    def put(self, event: Event) -> None:
        """Queue an event; drops and counts the oldest where the queue is full."""
        if self.over:
            self.dropped["sink_failed"] += 1
            return
        self._queue.append(event)
        if self._news is not None:
            self._wake()
        if len(self._queue) > QUEUED_EVENTS:
            self._queue.popleft()
            self.dropped["sink_overload" if self.failing is None else "sink_failed"] += 1

    def close(self) -> None:
        """Let iteration end after the events that are queued."""
        self.closed = True
        self._wake()

    def __aiter__(self) -> EventFeed:
        return self

    async def __anext__(self) -> Event:
        events = await self.get_many(1)
        if not events:
            raise StopAsyncIteration
        return events[0]

    async def get_many(self, limit: int = AT_ONCE) -> tuple[Event, ...]:
        """Wait for events; asking means that those in hand were delivered."""
        if self._in_hand:
            self.done(len(self._in_hand))
        queue = self._queue
        while not queue:
            if self.closed:
                return ()
            self._news = asyncio.get_running_loop().create_future()
            try:
                await self._news
            finally:
                self._news = None
        if len(queue) <= limit:
            events = tuple(queue)
            queue.clear()
        else:
            events = tuple([queue.popleft() for _ in range(limit)])
        self._in_hand = events
        self._taken_s = self._clock.monotonic_s()
        return events

    def done(self, amount: int) -> None:
        """Forget the first so many events in hand: they were delivered."""
        if amount <= 0 or not self._in_hand:
            return
        self._in_hand = self._in_hand[amount:]
        self._failures = 0
        self._taken_s = self._clock.monotonic_s()
        if self.failing is not None:
            self.failing = None
            self._recovered()
        self._check_joined()

    def drop(self, reason: str, amount: int = 1) -> None:
        """Count events that the sink lost."""
        self.dropped[f"sink_{reason}"] += amount

    @property
    def left(self) -> int:
        """Events that are queued or in hand."""
        return len(self._queue) + len(self._in_hand)

    @property
    def has_room(self) -> bool:
        """Whether the queue is less than half full, or the sink is over."""
        return self.over or len(self._queue) < QUEUED_EVENTS // 2

    @property
    def stalled(self) -> bool:
        """Whether the sink has taken nothing for 10 s though something is queued or in hand."""
        waits = self._news is not None or self.over or not self.left
        return not waits and self._clock.monotonic_s() - self._taken_s >= STALLED_S

    async def join(self) -> None:
        """Wait until everything was delivered, or the sink is over."""
        while self.left and not self.over:
            self._delivered = self._delivered or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._delivered)

    def fail(self, reason: str, *, outside: bool) -> None:
        """The sink's run has ended too early: queue again what it had in hand, for the next run.

        Args:
            reason: why it ended.
            outside: whether the fault is of the world outside: then no event is to blame, however often it fails.
        """
        self.failing = reason
        if not self._in_hand:
            return
        self._failures += not outside
        if self._failures >= _ATTEMPTS:
            self.dropped["sink_failed"] += len(self._in_hand)
            self._failures = 0
        else:
            self._queue.extendleft(reversed(self._in_hand))
        self._in_hand = ()
        self._check_joined()

    def end(self, reason: str) -> None:
        """The sink will take nothing any more: what is left is lost, and counted."""
        self.failing = reason
        self._in_hand, given_up = (), len(self._in_hand)
        self.over = True
        if given_up:
            self.dropped["sink_failed"] += given_up
        self.clear("sink_failed")

    def clear(self, reason: str) -> None:
        """Drop and count what is queued; what is in hand may still be delivered."""
        if self._queue:
            self.dropped[reason] += len(self._queue)
            self._queue.clear()
        self._check_joined()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _check_joined(self) -> None:
        if self._delivered is not None and not (self.left and not self.over):
            self._delivered.set_result(None)
            self._delivered = None
