"""The metrics sink, scraped over a real socket."""

import asyncio
import re
import socket
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

import cogd
from cogd.clock import SystemClock
from cogd.csi.link import LinkState
from cogd.errors import ConfigError, SinkError
from cogd.events import AppInfo, Event, NodeTotals, SourceChanged
from cogd.runtime.feed import EventFeed
from cogd.sinks.base import DaemonState, SinkOptions
from cogd.sinks.metrics import LATENCY_BUCKETS_S, MetricsSink, _ask
from tests.runtime.factory import FRAMES, fake_app, frames_of

ROOT = Path(__file__).parents[2]
STATE = DaemonState(
    apps=[AppInfo(id="a", version="1.0.0", digest="sha256:0", head="pose", backend="ort", key_ids=[])],
    uptime_s=12.5,
    ticks=300,
    missed_ticks=2,
    inferences={"a": 7},
    dropped={"overload": 3},
    sources={"hall": {"malformed": 4}},
    nodes={"hall/1": NodeTotals(frames=20, lost=1, dropped={"late": 2})},
    links={"hall/1": (LinkState.LIVE, 0.25), "hall/2": (LinkState.ABSENT, None)},
    last_events={},
)


class Scraped:
    """A sink that runs, and its feed."""

    def __init__(self) -> None:
        self.sink = MetricsSink("metrics", urlsplit("metrics://127.0.0.1:0"), SinkOptions())
        self.feed = EventFeed(SystemClock(), self._now)
        self.state = lambda: STATE
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        return self.sink.port

    def _now(self) -> DaemonState:
        return self.state()

    async def open(self) -> None:
        self._task = asyncio.create_task(self.sink.run(self.feed))
        await asyncio.sleep(0)
        assert self.port

    async def put(self, event: Event) -> None:
        self.feed.put(event)
        await asyncio.wait_for(self.feed.join(), 5.0)

    async def close(self) -> None:
        self.feed.close()
        if self._task is not None:
            await asyncio.wait_for(self._task, 5.0)


@pytest.fixture
async def sink():
    made = Scraped()
    await made.open()
    yield made
    await made.close()


def read(port: int) -> dict[tuple[str, ...], float]:
    """Every sample: its name and labels' values to its value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scraped(sink: Scraped | MetricsSink) -> dict[tuple[str, ...], float]:
    return await asyncio.to_thread(read, sink.port)


def a_state() -> Event:
    return Event(ts=1.0, level="info", event="source.state", fields=SourceChanged(source="x", state="up", reason=None))


async def test_events_are_counted_by_name(sink):
    for _ in range(3):
        await sink.put(a_state())
    assert (await scraped(sink))["cogd_events_total", "source.state"] == 3


async def test_latency_goes_into_buckets_around_the_deadline(sink, inferred):
    for latency_ms in (0.2, 39.0, 41.0, 5000.0):
        inferred.fields = msgspec.structs.replace(inferred.fields, latency_ms=latency_ms)
        await sink.put(inferred)
    samples = await scraped(sink)
    app = inferred.fields.app
    buckets = {
        float(key[-1]): value for key, value in samples.items() if key[:2] == ("cogd_frame_latency_seconds_bucket", app)
    }
    assert tuple(buckets)[:-1] == LATENCY_BUCKETS_S
    assert (buckets[0.00025], buckets[0.04], buckets[0.08], buckets[float("inf")]) == (1, 2, 3, 4)
    assert samples["cogd_frame_latency_seconds_sum", app] == pytest.approx(5.0802)


@pytest.fixture
async def inferred(bench):
    b = bench(fake_app())
    await b.play(frames_of("a/1", FRAMES))
    return b.events[-1]


async def test_totals_are_those_of_the_moment(sink):
    samples = await scraped(sink)
    assert samples["cogd_build_info", cogd.__version__] == 1
    assert samples["cogd_app_info", "a", "ort", "sha256:0", "pose", "1.0.0"] == 1
    assert samples["cogd_uptime_seconds",] == 12.5
    assert (samples["cogd_ticks_total",], samples["cogd_missed_ticks_total",]) == (300, 2)
    assert samples["cogd_inferences_total", "a"] == 7
    assert samples["cogd_dropped_total", "overload"] == 3
    assert samples["cogd_source_other_total", "malformed", "hall"] == 4
    assert samples["cogd_node_frames_total", "hall/1"] == 20
    assert samples["cogd_node_lost_frames_total", "hall/1"] == 1
    assert samples["cogd_node_dropped_frames_total", "hall/1", "late"] == 2
    states = {key[1:]: value for key, value in samples.items() if key[0] == "cogd_node_link_state"}
    assert {key for key, value in states.items() if value} == {("hall/1", "live"), ("hall/2", "absent")}
    assert len(states) == 2 * len(LinkState)
    heard = {key[1]: value for key, value in samples.items() if key[0] == "cogd_node_last_frame_timestamp_seconds"}
    assert heard.keys() == {"hall/1"}  # nothing is known of the other


async def test_a_loop_that_has_ended_is_told(sink, monkeypatch):
    ended = asyncio.new_event_loop()
    ended.close()
    monkeypatch.setattr("cogd.sinks.metrics._ask", lambda loop, state: _ask(ended, state))
    with pytest.raises(urllib.error.HTTPError, match="503"):
        await scraped(sink)


async def test_a_port_that_is_taken_is_an_error_that_may_pass(sink):
    second = MetricsSink("metrics", urlsplit(f"metrics://127.0.0.1:{sink.port}"), SinkOptions())
    with pytest.raises(OSError, match=rf"metrics on 127.0.0.1:{sink.port}: .*in use"):
        await second.run(EventFeed(SystemClock(), lambda: STATE))


async def test_a_port_that_this_user_may_not_have_is_one_that_does_not(monkeypatch):
    def forbidden(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("cogd.sinks.metrics._Server", forbidden)
    sink = MetricsSink("metrics", urlsplit("metrics://127.0.0.1:80"), SinkOptions())
    with pytest.raises(SinkError, match=r"metrics on 127\.0\.0\.1:80: Permission denied"):
        await sink.run(EventFeed(SystemClock(), lambda: STATE))


async def test_after_its_end_nobody_listens_and_it_can_run_again_with_its_counts(sink):
    await sink.put(a_state())
    await sink.close()
    with pytest.raises(urllib.error.URLError):
        await scraped(sink)
    await asyncio.sleep(0.05)  # its thread frees the address
    sink.feed = EventFeed(SystemClock(), lambda: STATE)
    await sink.open()
    await sink.put(a_state())
    assert (await scraped(sink))["cogd_events_total", "source.state"] == 2


async def test_totals_that_cannot_be_had_give_no_page(sink):
    def broken() -> DaemonState:
        raise ZeroDivisionError

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    sink.state = broken
    with pytest.raises(ConnectionError):  # hung up; the daemon's log has the rest
        await scraped(sink)


async def test_a_page_is_made_once_for_whoever_asks_within_a_second(sink, monkeypatch):
    made = []
    sink.state = lambda: made.append(1) or STATE
    for _ in range(5):
        await scraped(sink)
    assert len(made) == 1
    monkeypatch.setattr("cogd.sinks.metrics.KEPT_S", 0.0)
    await scraped(sink)
    assert len(made) == 2


async def test_clients_that_say_nothing_are_not_waited_for_and_few_are_answered_at_once(sink, monkeypatch):
    monkeypatch.setattr("cogd.sinks.metrics._Handler.timeout", 0.2)
    idle = [socket.create_connection(("127.0.0.1", sink.port)) for _ in range(20)]
    for connection in idle:
        connection.settimeout(10)
        assert await asyncio.to_thread(connection.recv, 1) == b""  # hung up
        connection.close()
    assert await scraped(sink)


async def test_other_paths_are_not_found(sink):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{sink.port}/")


async def test_the_process_is_told_from_proc_self(sink):
    samples = await scraped(sink)
    assert samples["process_resident_memory_bytes",] > 1e6
    assert samples["process_cpu_seconds_total",] > 0
    assert samples["process_open_fds",] > 3


@pytest.mark.parametrize(
    "text",
    [
        "metrics:",
        "metrics://",
        "metrics://host",
        "metrics://:9464",
        "metrics://h:99999",
        "metrics://h:1/x",
        "metrics://h:1?a=1",
        "metrics://u@h:1",
        "metrics://h:1#x",
    ],
)
def test_urls_that_are_wrong(text):
    with pytest.raises(ConfigError) as caught:
        MetricsSink("metrics", urlsplit(text), SinkOptions())
    assert "9464" in caught.value.hint


async def test_every_metric_is_documented_and_no_other(sink, inferred):
    await sink.put(inferred)
    names = {key[0] for key in await scraped(sink) if key[0].startswith("cogd_")}
    there = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(cogd_\w+)` \|", text, re.MULTILINE)) == there
