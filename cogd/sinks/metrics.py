"""`metrics://HOST:PORT`: what Prometheus scrapes at `/metrics`. docs/metrics.md describes each metric."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

import cogd
from cogd.csi.link import LinkState
from cogd.errors import ConfigError
from cogd.events import InferenceFields

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from urllib.parse import SplitResult
    from wsgiref.simple_server import WSGIServer

    from prometheus_client.metrics_core import Metric

    from cogd.events import Event
    from cogd.sinks.base import Totals

LATENCY_BUCKETS_S: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28)
"""40 ms is the deadline. The usual buckets begin at 5 ms, where most events have long been made."""

_ANSWER_S: Final = 2.0
"""How long a scrape waits for the event loop."""


class MetricsSink:
    """Counts events as they come, and reads the daemon's totals when somebody asks; a thread of its own answers."""

    dropped = 0
    room = True

    def __init__(self, url: SplitResult) -> None:
        try:
            port = url.port
        except ValueError as error:
            raise ConfigError(f"{url.geturl()}: {error}", hint=_EXAMPLE) from error
        if not url.hostname or port is None or url.path.strip("/") or url.query or url.username is not None:
            raise ConfigError(f"{url.geturl()}: a host and a port are needed, and nothing else", hint=_EXAMPLE)
        self.broken: OSError | None = None
        self.port = port
        self._host = url.hostname
        self._server: WSGIServer | None = None
        self._thread: threading.Thread | None = None
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._events = Counter("cogd_events", "Events, by name.", ["event"], registry=self._registry)
        self._latency = Histogram(
            "cogd_frame_latency_seconds",
            "From the arrival of a frame to its event, by app.",
            ["app"],
            buckets=LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        self._count_of: dict[str, Counter] = {}
        self._latency_of: dict[str, Histogram] = {}
        ProcessCollector(registry=self._registry)

    def watch(self, totals: Callable[[], Totals]) -> None:
        """Take the totals from here; called on the event loop's thread."""
        self._registry.register(_TotalsCollector(totals, asyncio.get_running_loop()))

    def open(self) -> None:
        """Listen.

        Raises:
            OSError: the address can't be bound.
        """
        try:
            self._server, self._thread = start_http_server(self.port, self._host, self._registry)
        except OSError as error:
            self.broken = error
            raise
        self.port = self._server.server_port

    def put(self, event: Event) -> None:
        """Count an event."""
        name = event.event
        count = self._count_of.get(name)
        if count is None:
            count = self._count_of[name] = self._events.labels(name)
        count.inc()
        fields = event.fields
        if isinstance(fields, InferenceFields):
            latency = self._latency_of.get(fields.app)
            if latency is None:
                latency = self._latency_of[fields.app] = self._latency.labels(fields.app)
            latency.observe(fields.latency_ms / 1e3)

    def close(self, timeout_s: float) -> int:
        """Stop listening; there is nothing left to write."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(timeout_s)
            self._server = self._thread = None
        return 0


class _TotalsCollector(Collector):
    """Asks the event loop for the daemon's totals, because nobody else may look at them while they change."""

    def __init__(self, totals: Callable[[], Totals], loop: asyncio.AbstractEventLoop) -> None:
        self._totals, self._loop = totals, loop

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not ask the loop that it runs on."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """The totals as they are now; none where the loop has ended or does not answer in time."""
        answer: concurrent.futures.Future[Totals] = concurrent.futures.Future()
        try:
            self._loop.call_soon_threadsafe(lambda: answer.set_result(self._totals()))
            totals = answer.result(_ANSWER_S)
        except (RuntimeError, TimeoutError):
            return
        yield from _run_metrics(totals)
        yield from _node_metrics(totals, time.time())


def _run_metrics(totals: Totals) -> Iterator[Metric]:
    build = GaugeMetricFamily("cogd_build_info", "The version of cogd.", labels=["version"])
    build.add_metric([cogd.__version__], 1)
    yield build
    apps = GaugeMetricFamily(
        "cogd_app_info", "The apps that run.", labels=["app", "version", "digest", "head", "backend"]
    )
    for app in totals.apps:
        apps.add_metric([app.id, app.version, app.digest, app.head, app.backend], 1)
    yield apps
    yield GaugeMetricFamily("cogd_uptime_seconds", "Time since the start.", totals.uptime_s)
    yield CounterMetricFamily("cogd_ticks", "Ticks.", totals.ticks)
    yield CounterMetricFamily("cogd_missed_ticks", "Beats missed because a tick took too long.", totals.missed_ticks)
    yield _counter("cogd_inferences", "Events inferred, by app.", "app", totals.inferences)
    yield _counter("cogd_dropped", "Windows and events lost here, by reason.", "reason", totals.dropped)
    other = CounterMetricFamily(
        "cogd_source_other", "What a source received that is no frame, by reason.", labels=["source", "reason"]
    )
    for source, counts in totals.sources.items():
        for reason, amount in counts.items():
            other.add_metric([source, reason], amount)
    yield other


def _node_metrics(totals: Totals, now_unix_s: float) -> Iterator[Metric]:
    nodes = totals.nodes
    yield _counter("cogd_node_frames", "Frames, by node.", "node", {name: node.frames for name, node in nodes.items()})
    yield _counter(
        "cogd_node_lost_frames",
        "Frames that never arrived, as their sequence numbers tell.",
        "node",
        {name: node.lost for name, node in nodes.items()},
    )
    dropped = CounterMetricFamily(
        "cogd_node_dropped_frames", "Frames that reached no window, by reason.", labels=["node", "reason"]
    )
    for name, node in nodes.items():
        for reason, amount in node.dropped.items():
            dropped.add_metric([name, reason], amount)
    yield dropped
    state = GaugeMetricFamily("cogd_node_link_state", "1 for the state of a node's link.", labels=["node", "state"])
    heard = GaugeMetricFamily(
        "cogd_node_last_frame_timestamp_seconds", "When a node's last new frame arrived.", labels=["node"]
    )
    for name, (link, age_s) in totals.links.items():
        for each in LinkState:
            state.add_metric([name, each.value], each is link)
        if age_s is not None:
            heard.add_metric([name], now_unix_s - age_s)
    yield state
    yield heard


def _counter(name: str, text: str, label: str, values: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


_EXAMPLE: Final = "write metrics://127.0.0.1:9464, or metrics://0.0.0.0:9464 for every address"
