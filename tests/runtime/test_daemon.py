"""The daemon around the engine, in this process: sources and sinks are stand-ins, time is real but hardly passes."""

import asyncio
import contextlib
import threading
import time
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import pytest

from cogd.bundle.load import RejectedApp
from cogd.clock import SystemClock
from cogd.csi.frame import Origin
from cogd.errors import ConfigError, ModelError, PluginError, SinkError, SourceError
from cogd.runtime import daemon as daemon_module
from cogd.runtime import feed as feed_module
from cogd.runtime import urls as urls_module
from cogd.runtime.daemon import Daemon
from cogd.runtime.engine import Engine
from cogd.runtime.urls import make_sinks, make_sources
from cogd.settings import Settings
from cogd.sinks.base import AT_ONCE
from cogd.sources.sim import SimSource

from .factory import FRAMES, fake_app, frames_of

PATIENCE_S = 5.0


class ListSink:
    """Keeps events, and can be waited on."""

    def __init__(self, name, url, options):
        self.name, self.url, self.options = name, url, options
        self.events = []
        self.news = asyncio.Event()
        self.ended = False

    async def run(self, feed):
        self.feed = feed
        async for event in feed:
            self.events.append(event)
            self.news.set()
        self.ended = True

    async def until(self, name, count=1):
        """Wait until so many events of that name have come."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.named(name)) < count:
                self.news.clear()
                await self.news.wait()

    def named(self, name):
        return [event.fields for event in self.events if event.event == name]

    @property
    def names(self):
        return [event.event for event in self.events]


class UnfitSink(ListSink):
    """Does what its host says in `run`."""

    async def run(self, feed):
        if self.url.netloc == "returns":
            return
        if self.url.netloc == "slow":
            async for event in feed:
                self.events.append(event)
                await asyncio.sleep(0.002)
            return
        await feed.get_many()
        if self.url.netloc in self.RAISES:
            raise self.RAISES[self.url.netloc]
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        if self.url.netloc == "stubborn":
            await asyncio.sleep(3600)

    RAISES: ClassVar = {
        "gone": SinkError("Broken pipe", reader_gone=True),
        "refuses": SinkError("wrong password", hint="ask for another"),
        "raises": ZeroDivisionError("a bug of a third party"),
        "full": OSError(28, "No space left on device"),
        "cancels": asyncio.CancelledError(),
    }


class ScriptedSource:
    """Delivers the frames of one node and then does what its host says: ends, hangs, or fails."""

    def __init__(self, name, url, options):
        self.name, self._url, self._options = name, url, options

    async def run(self, intake):
        if self._url.netloc == "closed":
            raise SourceError(f"{self.name} can't be opened")
        frames = frames_of(f"{self.name}/1", int(self._url.path.strip("/") or 0), origin=Origin.REPLAYED)
        for frame in frames:
            await intake.put(frame)
        if self._url.netloc == "crash":
            raise ZeroDivisionError("a bug of a third party")
        if self._url.netloc == "hang":
            await asyncio.Event().wait()
        if self._url.netloc == "stubborn":
            try:
                await asyncio.Event().wait()
            finally:
                intake.count("said goodbye")


@pytest.fixture
def daemon(monkeypatch):
    """Makes a daemon of stand-ins; gives it and its first sink."""
    plugins = {
        ("cogd.sinks", "list"): ListSink,
        ("cogd.sinks", "unfit"): UnfitSink,
        ("cogd.sources", "script"): ScriptedSource,
        ("cogd.sources", "sim"): SimSource,
    }
    monkeypatch.setattr(urls_module, "load_plugin", lambda group, name: plugins[group, name])

    def make(*sources, apps=None, sinks=("list:",), rejected=(), **settings):
        made = Daemon(
            [fake_app()] if apps is None else apps,
            rejected,
            Settings(**({"sources": sources, "sinks": sinks, "tick_ms": 5} | settings)),
        )
        return made, made._sinks.all[0]

    return make


class TestARun:
    async def test_begins_with_run_started_and_ends_with_run_stopped(self, daemon):
        d, sink = daemon("script://end/8")
        await d.run()
        assert (sink.names[0], sink.names[-1]) == ("run.started", "run.stopped")
        assert sink.names.count("run.started") == sink.names.count("run.stopped") == 1
        assert sink.ended

    async def test_tells_what_it_runs(self, daemon):
        d, sink = daemon("script://end")
        await d.run()
        (started,) = sink.named("run.started")
        assert [app.id for app in started.apps] == ["pose-app"]
        assert started.sources == ["script://end"]
        assert started.tick_ms == 5

    async def test_tells_what_became_of_everything(self, daemon):
        d, sink = daemon("script://end/8#flat")
        await d.run()
        (stopped,) = sink.named("run.stopped")
        assert stopped.reason == "all sources have ended"
        assert stopped.inferences == {"pose-app": 8 - FRAMES + 1}
        assert stopped.nodes["flat/1"].frames == 8
        assert stopped.dropped == {}
        assert stopped.ticks > 0

    async def test_infers_everything_that_came_before_the_sources_ended(self, daemon):
        d, sink = daemon("script://end/300#a", "script://end/200#b")
        await d.run()
        assert len(sink.named("pose.frame")) == 500 - 2 * (FRAMES - 1)

    async def test_tells_rejected_bundles(self, daemon):
        d, sink = daemon("script://end", rejected=[RejectedApp("/apps/x.tar", ModelError("no weights", hint="add"))])
        await d.run()
        (rejected,) = sink.named("app.rejected")
        assert (rejected.path, rejected.code, rejected.message, rejected.hint) == (
            "/apps/x.tar", "bad-model", "no weights", "add",
        )  # fmt: skip

    async def test_ends_when_it_is_told_to_with_the_first_reason(self, daemon):
        d, sink = daemon("script://hang/5")
        running = asyncio.create_task(d.run())
        await sink.until("pose.frame")
        d.stop("enough")
        d.stop("more than enough")
        await asyncio.wait_for(running, PATIENCE_S)
        assert sink.named("run.stopped")[0].reason == "enough"

    async def test_ends_after_its_duration(self, daemon):
        d, sink = daemon("script://hang")
        await asyncio.wait_for(d.run(0.01), PATIENCE_S)
        assert sink.named("run.stopped")[0].reason == "the duration of 0.01 s is over"

    async def test_counts_ticks_also_when_nothing_comes(self, daemon):
        d, sink = daemon("script://hang")
        await d.run(0.06)
        assert sink.named("run.stopped")[0].ticks >= 4


class TestASource:
    async def test_that_raises_anything_does_not_stop_the_others(self, daemon):
        d, sink = daemon("script://crash/5#bad", "script://hang/6#good")
        running = asyncio.create_task(d.run())
        await sink.until("source.state", 3)
        await sink.until("pose.frame", 2 + 3)
        assert not running.done()
        d.stop("enough")
        await running
        states = [(s.source, s.state) for s in sink.named("source.state")]
        assert ("bad", "down") in states
        assert ("good", "up") in states
        down = next(s for s in sink.named("source.state") if s.state == "down")
        assert down.reason == "ZeroDivisionError: a bug of a third party"

    async def test_that_breaks_is_started_again_ever_more_slowly(self, daemon, monkeypatch):
        d, sink = daemon("script://crash/3#bad")
        waited = []

        async def sleep(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 8:
                d.stop("enough")
            await asyncio.sleep(0)

        monkeypatch.setattr(SystemClock, "sleep", lambda _self, seconds: sleep(seconds))
        await asyncio.wait_for(d.run(), PATIENCE_S)
        assert waited[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
        assert sink.named("run.stopped")[0].reason == "enough"

    async def test_that_can_not_be_opened_ends_the_run_with_its_error_once_no_other_is_left(self, daemon):
        d, sink = daemon("script://end/5#good", "script://closed#bad")
        with pytest.raises(SourceError, match="bad can't be opened"):
            await asyncio.wait_for(d.run(), PATIENCE_S)
        assert sink.names[-1] == "run.stopped"
        assert sink.named("run.stopped")[0].reason == "a source failed: bad can't be opened"
        assert len(sink.named("pose.frame")) == 2

    async def test_that_can_not_be_opened_does_not_stop_the_others(self, daemon):
        d, sink = daemon("script://closed#bad", "script://hang/5#good")
        running = asyncio.create_task(d.run())
        await sink.until("pose.frame", 2)
        assert ("bad", "down") in [(s.source, s.state) for s in sink.named("source.state")]
        d.stop("enough")
        await running

    async def test_that_ends_says_so_and_the_others_go_on(self, daemon):
        d, sink = daemon("script://end/5#short", "script://hang#long")
        running = asyncio.create_task(d.run())
        await sink.until("source.state", 2)
        assert [(s.source, s.state) for s in sink.named("source.state")] == [("short", "up"), ("short", "ended")]
        assert not running.done()
        d.stop("enough")
        await running

    async def test_that_is_cancelled_can_still_count(self, daemon):
        d, sink = daemon("script://stubborn/1#s")
        running = asyncio.create_task(d.run())
        await sink.until("source.state")
        d.stop("enough")
        await running
        assert sink.named("run.stopped")[0].sources == {"s": {"said goodbye": 1}}

    async def test_that_is_silent_from_the_start_is_told_once(self, daemon):
        d, sink = daemon("script://hang#s", stale_after_s=0.01, absent_after_s=0.02)
        await d.run(0.1)
        assert [(s.source, s.state, s.reason) for s in sink.named("source.state")] == [
            ("s", "silent", "no frame for 0.02 s")
        ]


UNFIT = ("raises", "full", "returns", "hangs", "stubborn", "cancels", "slow", "refuses", "gone")


class TestASink:
    @pytest.mark.parametrize("how", UNFIT)
    async def test_that_is_unfit_costs_the_others_nothing_and_the_end_is_in_time(self, daemon, how):
        d, sink = daemon("script://hang/300", sinks=("list:", f"unfit://{how}"))
        running = asyncio.create_task(d.run())
        await sink.until("pose.frame", 300 - FRAMES + 1)
        d.stop("SIGTERM")
        began_s = time.monotonic()
        with contextlib.suppress(SinkError):
            await asyncio.wait_for(running, 2.0)
        assert time.monotonic() - began_s < 1.0
        assert sink.names[-1] == "run.stopped"
        assert sink.ended
        dropped, before = sink.named("run.stopped")[0].dropped, len(sink.events) - 1
        match how:
            case "refuses" | "gone":
                assert dropped == {"sink_failed": before}
            case "hangs" | "stubborn":
                assert set(dropped) == {"sink_overload"}
                assert before - AT_ONCE <= dropped["sink_overload"] < before  # but for what it has in hand
            case "slow":
                assert sum(dropped.values()) + len(d._sinks.all[1].events) >= before
            case _:
                assert dropped == {"sink_failed": before}

    @pytest.mark.parametrize("how", ["raises", "full", "returns", "cancels", "refuses"])
    async def test_that_failed_and_lost_events_fails_the_run_at_its_end(self, daemon, how):
        d, sink = daemon("script://hang/5", sinks=("list:", f"unfit://{how}"))
        running = asyncio.create_task(d.run())
        await sink.until("pose.frame", 2)
        d.stop("SIGTERM")
        with pytest.raises(SinkError, match=r"the sink unfit lost \d+ events: "):
            await running

    @pytest.mark.parametrize("how", ["hangs", "slow", "gone"])
    async def test_that_is_slow_or_read_by_nobody_is_no_failure(self, daemon, how):
        d, sink = daemon("script://hang/5", sinks=("list:", f"unfit://{how}"))
        running = asyncio.create_task(d.run())
        await sink.until("pose.frame", 2)
        d.stop("SIGTERM")
        await running

    @pytest.mark.parametrize("how", ["hangs", "stubborn", "slow", "full"])
    async def test_that_keeps_events_to_itself_does_not_stop_a_replay_for_ever(self, daemon, monkeypatch, how):
        monkeypatch.setattr(feed_module, "STALLED_S", 0.05)
        monkeypatch.setattr(feed_module, "QUEUED_EVENTS", 400)
        d, sink = daemon("script://end/600", sinks=("list:", f"unfit://{how}"))
        with contextlib.suppress(SinkError):
            await asyncio.wait_for(d.run(), PATIENCE_S)
        assert len(sink.named("pose.frame")) == 600 - FRAMES + 1
        assert sink.names[-1] == "run.stopped"

    async def test_that_is_the_only_one_is_waited_for_by_a_replay(self, daemon, monkeypatch):
        monkeypatch.setattr(feed_module, "STALLED_S", 0.0)
        monkeypatch.setattr(feed_module, "QUEUED_EVENTS", 400)
        d, sink = daemon("script://end/600", sinks=("unfit://slow",))
        await asyncio.wait_for(d.run(), PATIENCE_S)
        assert len(sink.named("pose.frame")) == 600 - FRAMES + 1
        assert sink.named("run.stopped")[0].dropped == {}

    async def test_whose_reader_has_gone_ends_the_run_if_it_was_the_last(self, daemon):
        d, _ = daemon("script://hang", sinks=("unfit://gone", "unfit://gone"))
        await asyncio.wait_for(d.run(), PATIENCE_S)
        assert d._reason == "nothing takes events any more: Broken pipe"

    async def test_that_can_not_work_fails_the_run_if_it_was_the_last(self, daemon):
        d, _ = daemon("script://hang", sinks=("unfit://refuses",))
        with pytest.raises(SinkError, match="nothing takes events any more: wrong password") as caught:
            await asyncio.wait_for(d.run(), PATIENCE_S)
        assert caught.value.hint == "ask for another"

    async def test_sees_the_daemons_state(self, daemon):
        d, sink = daemon("script://hang/8#a")
        running = asyncio.create_task(d.run())
        await sink.until("pose.frame", 8 - FRAMES + 1)
        state = sink.feed.state()
        d.stop("enough")
        await running
        assert [app.id for app in state.apps] == ["pose-app"]
        assert state.inferences == {"pose-app": 8 - FRAMES + 1}
        assert state.nodes["a/1"].frames == 8
        assert state.links["a/1"][0] == "live"
        last = {key: event.fields for key, event in state.last_events.items()}
        assert last["pose.frame", "pose-app", "a/1"] is sink.named("pose.frame")[-1]
        assert last["link.state", "", "a/1"].state == "live"
        assert last["source.state", "", "a"] is sink.named("source.state")[-1]
        assert ("run.started", "", "") in last


class TestInferenceThatHangs:
    async def test_does_not_hold_up_the_end(self, daemon, monkeypatch):
        monkeypatch.setattr(daemon_module, "_LAST_TICK_S", 0.02)
        app, begun, release = fake_app(), threading.Event(), threading.Event()

        def hang(outputs):
            begun.set()
            release.wait(60)
            return outputs

        app.session.spoil = hang
        d, sink = daemon(f"script://hang/{FRAMES + 1}", apps=[app])
        running = asyncio.create_task(d.run())
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        d.stop("SIGTERM")
        try:
            await asyncio.wait_for(running, 2.0)
        finally:
            release.set()
        assert sink.names[-1] == "run.stopped"
        assert sink.named("run.stopped")[0].dropped == {"stopping": 2}

    async def test_is_waited_for_when_the_sources_end_by_themselves(self, daemon, monkeypatch):
        monkeypatch.setattr(daemon_module, "_LAST_TICK_S", 0.0)
        app, release = fake_app(), threading.Event()

        def slow(outputs):
            assert release.wait(PATIENCE_S)
            return outputs

        app.session.spoil = slow
        d, sink = daemon("script://end/10", apps=[app])
        running = asyncio.create_task(d.run())
        await sink.until("source.state", 2)
        release.set()
        await running
        assert len(sink.named("pose.frame")) == 10 - FRAMES + 1


class TestSources:
    def names(self, *urls):
        return [source.name for source, _ in make_sources(Settings(sources=urls), SystemClock())]

    def test_are_named_by_their_fragment_else_by_their_scheme_with_a_number(self):
        assert self.names("sim:#hall", "sim:", "sim:?seed=1", "udp://127.0.0.1:0") == ["hall", "sim", "sim2", "udp"]

    def test_of_two_servers_do_not_share_a_token(self, tmp_path):
        settings = Settings(sources=("http://127.0.0.1:1", "https://host:2#b"), http_token_file=tmp_path / "token")
        with pytest.raises(SourceError, match="would be sent to 2 servers"):
            make_sources(settings, SystemClock())
        one = Settings(sources=("http://127.0.0.1:1", "sim:"), http_token_file=tmp_path / "token")
        assert len(make_sources(one, SystemClock())) == 2

    def test_never_get_the_same_name(self):
        assert self.names("sim:#sim2", "sim:", "sim:", "sim:") == ["sim2", "sim", "sim3", "sim4"]

    @pytest.mark.parametrize("urls", [("sim:#a", "sim:#a"), ("sim:", "udp://127.0.0.1:0#sim"), ("sim:#a/b",)])
    def test_with_a_name_that_is_taken_or_has_a_slash_are_refused(self, urls):
        with pytest.raises(SourceError, match="is taken, or has a slash in it"):
            self.names(*urls)

    @pytest.mark.parametrize("url", ["5005", "/dev/ttyUSB0", "//host", "http://[::1"])
    def test_that_are_no_urls_are_refused(self, url):
        with pytest.raises(SourceError, match="is not a"):
            self.names(url)

    def test_of_an_unknown_scheme_tell_the_known_ones(self):
        with pytest.raises(PluginError, match="no source 'serial'; installed are"):
            self.names("serial:/dev/ttyUSB0")

    def test_get_their_url_without_the_name(self, monkeypatch):
        monkeypatch.setattr(urls_module, "load_plugin", lambda group, name: ScriptedSource)
        ((source, _),) = make_sources(Settings(sources=("script://end/3?x=1#me",), http_timeout_s=0.5), SystemClock())
        assert source._url == urlsplit("script://end/3?x=1")
        assert (source.name, source._options.poll_s, source._options.timeout_s) == ("me", 0.04, 0.5)


class TestSinks:
    def make(self, *urls, credentials=()):
        return make_sinks(Settings(sinks=urls, sink_credentials=credentials), SystemClock())

    @pytest.mark.parametrize("url", ["-", "events.log", "http://[::1"])
    def test_that_are_no_urls_are_refused(self, url):
        with pytest.raises(ConfigError, match="not a sink's URL"):
            self.make(url)

    def test_of_an_unknown_scheme_tell_the_known_ones(self):
        with pytest.raises(ConfigError, match=r"no sink 'carrier-pigeon'; installed are .*stdout"):
            self.make("carrier-pigeon://coop")

    def test_are_named_as_sources_are(self):
        urls = ("stdout:", "metrics://127.0.0.1:0#m", "stdout:", "stdout:#events")
        assert [sink.name for sink in self.make(*urls)] == ["stdout", "m", "stdout2", "events"]
        with pytest.raises(ConfigError, match="the name 'm' is taken"):
            self.make("metrics://127.0.0.1:0#m", "stdout:#m")

    def test_get_their_url_without_the_name_and_their_own_credentials_alone(self, monkeypatch):
        monkeypatch.setattr(urls_module, "load_plugin", lambda group, name: ListSink)
        first, second = self.make("list://h?x=1#broker", "list:", credentials="broker=/etc/cogd/b.toml")
        assert first.url == urlsplit("list://h?x=1")
        assert first.options.credentials_file == Path("/etc/cogd/b.toml")
        assert second.options.credentials_file is None

    @pytest.mark.parametrize("words", ["secret", "=f", "stdout=", "stdout=a stdout=b", "other=f"])
    def test_credentials_that_are_nobodys_are_refused(self, words):
        with pytest.raises(ConfigError, match="sink_credentials: "):
            self.make("stdout:", credentials=words)

    def test_whose_class_raises_anything_are_refused_by_name(self, monkeypatch):
        def plugin(name, url, options):
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(urls_module, "load_plugin", lambda group, name: plugin)
        with pytest.raises(ConfigError, match=r"the sink 'mine' can't be made: ZeroDivisionError: a bug"):
            self.make("mine:")


@pytest.mark.parametrize(("believe", "believed"), [(False, {"flat"}), (True, {"flat", "server"})])
async def test_simulated_frames_are_believed_of_sim_and_of_all_when_asked_to(believe, believed):
    settings = Settings(sources=("sim:#flat", "udp://127.0.0.1:0#server"), believe_simulated=believe)
    d = Daemon([fake_app()], [], settings)
    assert {name for name in ("flat", "server") if d._engine.nodes._believe_simulated(name)} == believed


class TestTheTicker:
    """When the next tick is due, after one from 10.00 s to 10.03 s with the next beat at 10.04 s; TICK_S is 20 ms."""

    @pytest.fixture
    def due(self, daemon, monkeypatch):
        d, _ = daemon("script://end", batch_ms=8)

        def due(*, waiting=False, full=False, behind_s=0.0) -> float:
            monkeypatch.setattr(Engine, "waiting", waiting)
            monkeypatch.setattr(Engine, "behind_s", behind_s)
            (d._engine.full.set if full else d._engine.full.clear)()
            return d._next_tick_s(10.04, 10.0, 10.03)

        return due

    async def test_with_nothing_to_infer_it_is_the_beat(self, due):
        assert due() == 10.04

    async def test_with_a_window_it_is_soon(self, due):
        assert due(waiting=True) == pytest.approx(10.008)

    async def test_with_a_frame_that_waits_for_room_it_is_now(self, due):
        assert due(waiting=True, full=True) < 10.0

    async def test_sources_that_read_late_get_as_much_time_as_a_tick_may_take(self, due):
        assert due(waiting=True, behind_s=1.0) == pytest.approx(10.05)

    async def test_an_event_does_not_wait_for_the_beat(self, daemon):
        """With a beat of a second, frames that come one by one are inferred one by one."""
        d, sink = daemon("sim:?nodes=1&seed=1", apps=[fake_app(max_gap_s=10.0)], tick_ms=1000)
        running = asyncio.create_task(d.run())
        await sink.until("pose.frame", 5)
        d.stop("seen")
        await running
        assert len({fields.tick for fields in sink.named("pose.frame")[:5]}) == 5
        assert all(fields.latency_ms < 900 for fields in sink.named("pose.frame")[:5])
