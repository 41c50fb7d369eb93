"""The supervisor of the sinks: restarts, back-off, what is logged, and how it ends."""

import asyncio

import pytest
import structlog
from structlog.testing import capture_logs

from cogd.errors import SinkError
from cogd.events import Event, SourceChanged
from cogd.runtime.sinks import Sinks

PATIENCE_S = 5.0


class Clock:
    """A clock on which time passes only by sleeping."""

    def __init__(self):
        self.now_s = 0.0
        self.slept = []

    def monotonic_s(self):
        return self.now_s

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)


class Scripted:
    """A sink that delivers so many events in each run and then raises; at the end of the script it works."""

    name = "mine"

    def __init__(self, clock, *script):
        self.clock, self.script = clock, list(script)
        self.got = []
        self.works = asyncio.Event()

    async def run(self, feed):
        amount, error = self.script.pop(0) if self.script else (None, None)
        if amount is None:
            self.works.set()
        while amount is None or amount:
            events = await feed.get_many(1)
            if not events:
                return
            self.got.append(events[0].fields.source)
            amount = amount if amount is None else amount - 1
        if error is not None:
            raise error


def event(text):
    return Event(ts=1.0, level="info", event="x", fields=SourceChanged(source=text, state="up", reason=None))


LOST = ConnectionResetError(104, "Connection reset by peer")


@pytest.fixture
async def run():
    """Starts a supervisor; gives it, its clock, and the reasons for which it has ended the daemon."""
    made = []

    def start(*script):
        clock = Clock()
        sink, reasons = Scripted(clock, *script), []
        sinks = Sinks([sink], clock, lambda: None, reasons.append)
        sinks.open()
        made.append(sinks)
        return sinks, sink, clock, reasons

    yield start
    hurry = asyncio.Event()
    hurry.set()
    for sinks in made:
        await sinks.close(hurry)


async def test_a_sink_that_fails_is_started_again_ever_more_slowly(run):
    _, sink, clock, _ = run(*[(0, LOST)] * 9)
    await asyncio.wait_for(sink.works.wait(), PATIENCE_S)
    assert clock.slept == [0.25, 0.5, 1, 2, 4, 8, 10, 10, 10]


@pytest.mark.parametrize("failure", [LOST, ValueError("a bug"), asyncio.CancelledError(), None])
async def test_what_was_not_delivered_comes_again(run, failure):
    sinks, sink, *_ = run((2, failure), (1, failure))
    for text in "abcd":
        sinks.put(event(text))
    await asyncio.wait_for(sinks.drain(asyncio.Event()), PATIENCE_S)
    assert sink.got == ["a", "b", "b", "b", "c", "d"]
    assert not sinks.dropped
    assert sinks.failure() is None


async def test_a_failure_is_logged_once_until_it_works_again():
    with capture_logs() as logged:
        structlog.get_logger()
        clock = Clock()
        sink = Scripted(clock, (0, LOST), (0, LOST), (2, LOST))
        sinks = Sinks([sink], clock, lambda: None, print)
        sinks.put(event("a"))
        sinks.put(event("b"))
        sinks.open()
        await asyncio.wait_for(sinks.drain(asyncio.Event()), PATIENCE_S)
        await asyncio.wait_for(sinks.close(asyncio.Event()), PATIENCE_S)
    assert [entry["event"] for entry in logged] == [
        "sink failed", "sink works again", "sink failed", "sink works again",
    ]  # fmt: skip
    assert {entry["sink"] for entry in logged} == {"mine"}


async def test_a_sink_that_can_not_work_is_not_started_again(run):
    sinks, sink, clock, reasons = run((1, SinkError("wrong password", hint="ask")))
    sinks.put(event("a"))
    await asyncio.sleep(0.01)
    assert (sink.got, clock.slept) == (["a"], [])
    assert reasons == ["nothing takes events any more: wrong password"]
    failure = sinks.failure()
    assert (str(failure), failure.hint) == ("nothing takes events any more: wrong password", "ask")
    assert sinks.dropped == {"sink_failed": 1}


async def test_a_run_that_lasted_starts_the_back_off_anew(run):
    sinks, sink, clock, _ = run((0, LOST), (0, LOST), (1, LOST), (0, LOST))
    await asyncio.sleep(0.01)  # it waits for an event, in its third run
    assert clock.slept == [0.25, 0.5]
    clock.now_s += 100
    sinks.put(event("a"))
    await asyncio.wait_for(sink.works.wait(), PATIENCE_S)
    assert clock.slept == [0.25, 0.5, 0.25, 0.5]


async def test_a_supervisor_that_is_cancelled_ends(run):
    sinks, *_ = run()
    await asyncio.sleep(0)
    (task,) = sinks._tasks
    task.cancel()
    await asyncio.wait({task}, timeout=PATIENCE_S)
    assert task.cancelled()
