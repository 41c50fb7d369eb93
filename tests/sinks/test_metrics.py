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
from cogd.csi.link import LinkState
from cogd.errors import ConfigError
from cogd.events import AppInfo, Event, NodeTotals, SourceChanged
from cogd.sinks.base import Totals, WatchingSink
from cogd.sinks.metrics import LATENCY_BUCKETS_S, MetricsSink
from tests.runtime.factory import FRAMES, fake_app, frames_of

ROOT = Path(__file__).parents[2]
TOTALS = Totals(
    apps=[AppInfo(id="a", version="1.0.0", digest="sha256:0", head="pose", backend="ort", key_ids=[])],
    uptime_s=12.5,
    ticks=300,
    missed_ticks=2,
    inferences={"a": 7},
    dropped={"overload": 3},
    sources={"hall": {"malformed": 4}},
    nodes={"hall/1": NodeTotals(frames=20, lost=1, dropped={"late": 2})},
    links={"hall/1": (LinkState.LIVE, 0.25), "hall/2": (LinkState.ABSENT, None)},
)


@pytest.fixture
def sink():
    made = MetricsSink(urlsplit("metrics://127.0.0.1:0"))
    yield made
    assert made.close(5.0) == 0


def read(port: int) -> dict[tuple[str, ...], float]:
    """Every sample: its name and labels' values to its value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scraped(sink: MetricsSink) -> dict[tuple[str, ...], float]:
    return await asyncio.to_thread(read, sink.port)


def a_state() -> Event:
    return Event(ts=1.0, level="info", event="source.state", fields=SourceChanged(source="x", state="up", reason=None))


async def test_events_are_counted_by_name(sink):
    sink.open()
    for _ in range(3):
        sink.put(a_state())
    assert (await scraped(sink))["cogd_events_total", "source.state"] == 3


async def test_latency_goes_into_buckets_around_the_deadline(sink, inferred):
    sink.open()
    for latency_ms in (0.2, 39.0, 41.0, 5000.0):
        inferred.fields = msgspec.structs.replace(inferred.fields, latency_ms=latency_ms)
        sink.put(inferred)
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
    assert isinstance(sink, WatchingSink)
    sink.watch(lambda: TOTALS)
    sink.open()
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


async def test_a_loop_that_has_ended_is_told(sink):
    gone = asyncio.new_event_loop()

    async def watch() -> None:
        sink.watch(lambda: TOTALS)

    await asyncio.to_thread(gone.run_until_complete, watch())
    gone.close()
    sink.open()
    with pytest.raises(urllib.error.HTTPError, match="503"):
        await scraped(sink)


async def test_a_port_that_is_taken_breaks_the_sink_alone(sink):
    sink.open()
    second = MetricsSink(urlsplit(f"metrics://127.0.0.1:{sink.port}"))
    with pytest.raises(OSError, match="in use"):
        second.open()
    assert isinstance(second.broken, OSError)
    assert second.close(1.0) == 0


async def test_after_close_nobody_listens_and_events_do_no_harm():
    sink = MetricsSink(urlsplit("metrics://127.0.0.1:0"))
    sink.open()
    sink.close(5.0)
    sink.put(a_state())
    with pytest.raises(urllib.error.URLError):
        await scraped(sink)


async def test_totals_that_cannot_be_had_give_no_page(sink):
    def broken() -> Totals:
        raise ZeroDivisionError

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    sink.watch(broken)
    sink.open()
    with pytest.raises(ConnectionError):  # hung up; the daemon's log has the rest
        await scraped(sink)


async def test_a_page_is_made_once_for_whoever_asks_within_a_second(sink, monkeypatch):
    made = []
    sink.watch(lambda: made.append(1) or TOTALS)
    sink.open()
    for _ in range(5):
        await scraped(sink)
    assert len(made) == 1
    monkeypatch.setattr("cogd.sinks.metrics.KEPT_S", 0.0)
    await scraped(sink)
    assert len(made) == 2


async def test_clients_that_say_nothing_are_not_waited_for_and_few_are_answered_at_once(sink, monkeypatch):
    monkeypatch.setattr("cogd.sinks.metrics._Handler.timeout", 0.2)
    sink.open()
    idle = [socket.create_connection(("127.0.0.1", sink.port)) for _ in range(20)]
    for connection in idle:
        connection.settimeout(10)
        assert await asyncio.to_thread(connection.recv, 1) == b""  # hung up
        connection.close()
    assert await scraped(sink)


async def test_other_paths_are_not_found(sink):
    sink.open()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{sink.port}/")


async def test_the_process_is_told_from_proc_self(sink):
    sink.open()
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
        MetricsSink(urlsplit(text))
    assert "9464" in caught.value.hint


async def test_every_metric_is_documented_and_no_other(sink, inferred):
    sink.watch(lambda: TOTALS)
    sink.open()
    sink.put(inferred)
    names = {key[0] for key in await scraped(sink) if key[0].startswith("cogd_")}
    there = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(cogd_\w+)` \|", text, re.MULTILINE)) == there
