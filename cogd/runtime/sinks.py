"""Supervise the sinks: a feed and a task for each, restarts with back-off, and the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog

from cogd.errors import SinkError
from cogd.runtime.feed import EventFeed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cogd.clock import Clock
    from cogd.events import Event
    from cogd.sinks.base import DaemonState, Sink

FIRST_RESTART_S: Final = 0.25
MAX_RESTART_S: Final = 10.0
"""How long a sink that failed is left alone: doubled each time. The queue holds what three nodes give meanwhile."""

LAST_WRITE_S: Final = 0.5
"""What the sinks get to deliver what is queued when the daemon must end soon ..."""
LAST_EVENT_S: Final = 0.2
"""... and then for `run.stopped` ..."""
CANCEL_S: Final = 0.1
"""... and to clean up."""

_LAST_RESTART_S: Final = 0.1
"""How long a sink that failed is left alone when the daemon ends."""
_LOOK_S: Final = 0.5
"""How often to look whether a sink that is waited for has stalled."""


class Sinks:
    """Runs every sink in a task of its own; one that fails, hangs or returns changes nothing for the others.

    Args:
        sinks: what to run.
        clock: where times come from.
        state: returns the daemon's state.
        all_over: called with the reason when the last sink has ended for good.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        clock: Clock,
        state: Callable[[], DaemonState],
        all_over: Callable[[str], None],
    ) -> None:
        self._clock, self._all_over = clock, all_over
        self._log = structlog.get_logger()
        self._supervised = [_Supervised(sink, clock, state) for sink in sinks]
        self._feeds = [each.feed for each in self._supervised]
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = asyncio.Event()
        self._over = False

    @property
    def all(self) -> list[Sink]:
        """The sinks, in the order of the settings."""
        return [each.sink for each in self._supervised]

    def open(self) -> None:
        """Start every sink."""
        self._tasks = [asyncio.create_task(self._run(each), name=each.sink.name) for each in self._supervised]

    def put(self, event: Event) -> None:
        """Queue an event for every sink."""
        for feed in self._feeds:
            feed.put(event)

    def have_room(self) -> bool:
        """Whether input that must not be lost may go on; see `_waited_for`."""
        return all(feed.has_room or not self._waited_for(feed) for feed in self._feeds)

    @property
    def dropped(self) -> Counter[str]:
        """Events that were lost in all sinks, by reason."""
        total: Counter[str] = Counter()
        for feed in self._feeds:
            total.update(feed.dropped)
        return total

    async def drain(self, hurry: asyncio.Event) -> None:
        """Wait until what is queued is delivered; in a hurry for 0.5 s, then the rest is dropped and counted."""
        self._ending.set()
        await self._delivered(hurry, LAST_WRITE_S)
        for each in self._supervised:
            each.failed_at_end = each.feed.failing
            each.feed.clear("sink_overload" if each.feed.failing is None else "sink_failed")

    async def close(self, hurry: asyncio.Event) -> None:
        """End after the event that was put last: wait until it is delivered, in a hurry for 0.2 s."""
        for feed in self._feeds:
            feed.close()
        await self._delivered(hurry, LAST_EVENT_S)
        self._over = True
        running = [task for task in self._tasks if not task.done()]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=CANCEL_S)
        for each in self._supervised:
            if left := each.feed.left:
                self._log.error("events lost: the sink did not take them in time", sink=each.sink.name, events=left)

    def failure(self) -> SinkError | None:
        """Why the run was a failure: no sink was left, or one had failed at the end and lost events."""
        if all(each.ended for each in self._supervised):
            errors = [each.ended for each in self._supervised if each.ended is not None]
            if not errors or any(error.reader_gone for error in errors):
                return None
            return SinkError(f"nothing takes events any more: {errors[0]}", hint=errors[0].hint)
        for each in self._supervised:
            lost = each.feed.dropped["sink_failed"] + each.feed.left
            reason = each.feed.failing or each.failed_at_end
            if lost and reason is not None and not (each.ended and each.ended.reader_gone):
                return SinkError(f"the sink {each.sink.name} lost {lost} events: {reason}")
        return None

    async def _delivered(self, hurry: asyncio.Event, limit_s: float) -> None:
        """Wait until every sink has delivered everything; in a hurry no longer than the limit."""
        joining, hurrying = asyncio.create_task(self._join()), asyncio.create_task(hurry.wait())
        try:
            while not joining.done() and not hurrying.done():
                if not any(feed.left and self._waited_for(feed) for feed in self._feeds):
                    return
                await asyncio.wait({joining, hurrying}, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({joining}, timeout=limit_s)
        finally:
            joining.cancel()
            hurrying.cancel()
            await asyncio.gather(joining, hurrying, return_exceptions=True)

    async def _join(self) -> bool:
        for feed in self._feeds:  # nothing is put meanwhile
            await feed.join()
        return True

    def _waited_for(self, feed: EventFeed) -> bool:
        """Whether to wait for a sink: not for one that has stalled, if it has failed or others wait with it."""
        return not feed.over and not (feed.stalled and (feed.failing is not None or len(self._feeds) > 1))

    async def _run(self, each: _Supervised) -> None:
        """Run a sink to the end of its feed."""
        failures = 0
        while True:
            begun_s = self._clock.monotonic_s()
            try:
                await each.sink.run(each.feed)
            except SinkError as error:
                self._end(each, error)
                return
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if self._over or task is None or task.cancelling():
                    raise
                each.failed("the sink cancelled itself")
            except Exception as error:  # noqa: BLE001  # the plugin border: one sink must not stop the others
                if not self._over:
                    each.raised(error)
            else:
                if self._over or (each.feed.closed and not each.feed.left):
                    return
                each.failed("the sink ended before its feed")
            if self._over:
                return
            failures = 1 if self._clock.monotonic_s() - begun_s >= MAX_RESTART_S else failures + 1
            await self._pause(min(FIRST_RESTART_S * 2.0 ** min(failures - 1, 10), MAX_RESTART_S))

    async def _pause(self, seconds: float) -> None:
        """Wait until it is time for the next try; shorter when the daemon ends."""
        if self._ending.is_set():
            await self._clock.sleep(_LAST_RESTART_S)
            return
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        ending = asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait({sleeping, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            ending.cancel()

    def _end(self, each: _Supervised, error: SinkError) -> None:
        """Go on without a sink that can't work."""
        each.ended = error
        each.feed.end(str(error))
        if all(each.ended for each in self._supervised):
            self._all_over(f"nothing takes events any more: {self._supervised[0].ended}")
        else:
            self._log.error("sink ended", sink=each.sink.name, error=str(error), hint=error.hint)


class _Supervised:
    """One sink and its feed.

    Attributes:
        ended: the error that ended it for good.
        failed_at_end: why it had failed when the daemon ended.
    """

    def __init__(self, sink: Sink, clock: Clock, state: Callable[[], DaemonState]) -> None:
        self.sink = sink
        self.feed = EventFeed(clock, state, self._recovered)
        self.ended: SinkError | None = None
        self.failed_at_end: str | None = None
        self._log = structlog.get_logger()

    def failed(self, reason: str, *, outside: bool = False, error: Exception | None = None) -> None:
        """Note that a run of the sink has ended too early; logged once for each reason until it works again."""
        if reason != self.feed.failing:
            self._log.error("sink failed", sink=self.sink.name, error=reason, exc_info=error)
        self.feed.fail(reason, outside=outside)

    def raised(self, error: Exception) -> None:
        """Note that a run of the sink has raised: an `OSError` is the world's fault, any other is a bug."""
        if isinstance(error, OSError):
            self.failed(error.strerror or str(error) or type(error).__name__, outside=True)
        else:
            self.failed(f"{type(error).__name__}: {error}", error=error)

    def _recovered(self) -> None:
        lost = self.feed.dropped["sink_failed"]
        self._log.warning("sink works again", sink=self.sink.name, events_lost=lost)
