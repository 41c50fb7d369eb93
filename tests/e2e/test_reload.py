"""A daemon in this process that runs on simulated nodes and is told to reload, by its socket and by SIGHUP.

What proves that nothing was lost and nothing doubled is a count: as many events as complete windows.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter

import numpy as np
import pytest

from cogd.control import client
from cogd.errors import ModelError
from cogd.plugins import load_plugin
from cogd.runtime import urls as urls_module
from cogd.runtime.daemon import Daemon
from cogd.settings import Settings
from tests.runtime.catalogue import FakeCatalogue
from tests.runtime.factory import FRAMES, fake_app

PATIENCE_S = 30.0
NODES = 2
RATE_HZ = 50
SOURCE = f"sim:?nodes={NODES}&rate={RATE_HZ}&seed=5"
CANARY_S = 0.5
TICK_S = 0.04


class ListSink:
    """Keeps events, and can be waited on."""

    def __init__(self, name, url, options):
        self.name = name
        self.events = []
        self.news = asyncio.Event()

    async def run(self, feed):
        async for event in feed:
            self.events.append(event)
            self.news.set()

    def named(self, name):
        return [event.fields for event in self.events if event.event == name]

    async def until(self, name, count):
        async with asyncio.timeout(PATIENCE_S):
            while len(self.named(name)) < count:
                self.news.clear()
                await self.news.wait()


class Run:
    """The daemon, what it said, and how to talk to it."""

    def __init__(self, daemon, catalogue, sink, path):
        self.daemon, self.catalogue, self.sink, self.path = daemon, catalogue, sink, path

    async def ask(self, command: str) -> dict:
        return await asyncio.to_thread(client.request, self.path, {"command": command}, PATIENCE_S)

    async def more_events(self, count: int = 40) -> None:
        await self.sink.until("pose.frame", len(self.sink.named("pose.frame")) + count)

    def assert_no_frame_lost_and_no_event_doubled(self, slowest: int = FRAMES) -> None:
        """By the daemon's own last word: frames by node, less those that filled its first window.

        (A node's own losses, which the simulator plays too, empty no window here.)
        """
        events, (stopped,) = self.sink.named("pose.frame"), self.sink.named("run.stopped")
        windows = {name: totals.frames - (slowest - 1) for name, totals in stopped.nodes.items()}
        assert len(windows) == NODES
        assert Counter(fields.node for fields in events) == windows
        assert len({(fields.node, fields.time) for fields in events}) == len(events) == sum(windows.values())
        assert stopped.inferences == {"pose-app": len(events)}
        assert stopped.dropped == {}
        assert not any(totals.dropped for totals in stopped.nodes.values())
        for node in windows:
            times = [fields.time for fields in events if fields.node == node]
            assert times == sorted(times)
        ticks = [fields.tick for fields in events]
        assert ticks == sorted(ticks)
        assert ticks[-1] <= stopped.ticks
        beats = stopped.uptime_s / TICK_S
        assert beats - 1 <= stopped.ticks + stopped.missed_ticks  # none vanished
        assert stopped.ticks <= beats + len(events) + 3  # the others had a window to infer; the last two are extra
        assert stopped.missed_ticks <= 5  # as on any busy machine; without an update it is the same
        assert not self.sink.named("app.failed")
        assert not self.sink.named("window.reset")


@pytest.fixture
async def running(tmp_path, monkeypatch):
    monkeypatch.setattr(
        urls_module, "load_plugin", lambda group, name: ListSink if name == "list" else load_plugin(group, name)
    )
    made = []

    async def start(**settings) -> Run:
        catalogue = FakeCatalogue(app(version="1.0.0"))
        socket = tmp_path / "control.sock"
        daemon = Daemon(
            [catalogue.load(catalogue.scan()[0][0])],
            [],
            Settings(sources=(SOURCE,), sinks=("list:",), control_socket=socket, canary_s=CANARY_S, **settings),
            catalogue=catalogue,
        )
        run = Run(daemon, catalogue, daemon._sinks.all[0], socket)
        made.append((run, asyncio.create_task(daemon.run())))
        await run.more_events()
        return run

    async def stop(run: Run) -> None:
        run.daemon.stop("enough")
        await asyncio.wait_for(next(task for each, task in made if each is run), PATIENCE_S)

    yield start, stop
    for run, task in made:
        run.daemon.stop("the test is over")
        await asyncio.wait_for(task, PATIENCE_S)


def app(**spec):
    """An app that takes a node's gaps as they come: no frame that was sent is left out."""
    return fake_app(**{"min_gap_s": 0.0, "max_gap_s": 10.0, "rate_hz": float(RATE_HZ)} | spec)


def not_finite(outputs):
    return {name: np.full_like(values, np.nan) for name, values in outputs.items()}


def versions(run: Run) -> list[str]:
    """The versions that gave events, in the order in which they began."""
    return list(dict.fromkeys(fields.version for fields in run.sink.named("pose.frame")))


@pytest.mark.parametrize("frames", [FRAMES, 3 * FRAMES], ids=["same window", "another window"])
async def test_an_update_by_the_socket_loses_no_frame_and_doubles_no_event(running, frames):
    start, stop = running
    run = await start()
    run.catalogue.install(app(version="2.0.0", frames=frames))
    answer = await run.ask("reload")
    assert answer["ok"]
    assert (answer["apps"]["pose-app"]["outcome"], answer["apps"]["pose-app"]["version"]) == ("confirmed", "2.0.0")
    await run.more_events()
    await stop(run)
    (updated,) = run.sink.named("app.updated")
    assert versions(run) == ["1.0.0", "2.0.0"]
    assert updated.tick <= next(f.tick for f in run.sink.named("pose.frame") if f.version == "2.0.0")
    assert all(f.tick <= updated.tick for f in run.sink.named("pose.frame") if f.version == "1.0.0")
    run.assert_no_frame_lost_and_no_event_doubled()


async def test_an_update_by_the_signal_that_fails_goes_back_and_loses_nothing(running):
    start, stop = running
    run = await start()
    bad = app(version="2.0.0")
    bad.session.spoil = not_finite
    run.catalogue.install(bad)
    os.kill(os.getpid(), signal.SIGHUP)
    await run.sink.until("app.rolled_back", 1)
    await run.more_events()
    await stop(run)
    (updated,), (back,) = run.sink.named("app.updated"), run.sink.named("app.rolled_back")
    assert (back.version, back.to_version, back.reason, back.kept) == (
        "2.0.0", "1.0.0", "its output is not finite", True,
    )  # fmt: skip
    assert back.tick > updated.tick
    assert versions(run) == ["1.0.0"]
    assert run.catalogue.installed("pose-app") == "1.0.0"
    run.assert_no_frame_lost_and_no_event_doubled()


async def test_update_upon_update_good_and_bad_loses_nothing(running):
    start, stop = running
    run = await start()
    outcomes = []
    for number in range(2, 8):
        new = app(version=f"{number}.0.0", frames=FRAMES + number % 3)
        broken = ModelError("no weights") if number == 4 else None
        if number in {3, 6}:
            new.session.spoil = not_finite
        run.catalogue.install(new, broken=broken)
        outcomes.append((await run.ask("reload"))["apps"]["pose-app"]["outcome"])
    await stop(run)
    assert outcomes == ["confirmed", "rolled_back", "rolled_back", "confirmed", "rolled_back", "confirmed"]
    assert versions(run) == ["1.0.0", "2.0.0", "5.0.0", "7.0.0"]
    run.assert_no_frame_lost_and_no_event_doubled()


async def test_status_tells_what_runs_and_who_is_heard(running):
    start, stop = running
    run = await start()
    status = await run.ask("status")
    assert (status["ok"], status["pid"]) == (True, os.getpid())
    (told,) = status["apps"]
    assert (told["id"], told["version"], told["backend"], told["canary"]) == ("pose-app", "1.0.0", "fake", None)
    assert {name: node["link"] for name, node in status["nodes"].items()} == {
        "sim/1": "simulated",
        "sim/2": "simulated",
    }
    assert all(node["age_s"] < 5 for node in status["nodes"].values())
    assert status["ticks"] > 0
    await stop(run)
    assert not run.path.exists()
