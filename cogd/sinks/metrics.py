"""`metrics://HOST:PORT`: what Prometheus scrapes at `/metrics`. docs/metrics.md describes each metric."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import resource
import socket
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

import cogd
from cogd.csi.link import LinkState
from cogd.errors import ConfigError, SinkError
from cogd.events import InferenceFields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from urllib.parse import SplitResult

    from prometheus_client.metrics_core import Metric

    from cogd.events import Event
    from cogd.sinks.base import DaemonState, Feed, SinkOptions

LATENCY_BUCKETS_S: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28)
"""40 ms is the deadline. The usual buckets begin at 5 ms, where most events have long been made."""

KEPT_S: Final = 1.0
"""A page is made so often at the most, whoever asks: making it takes the interpreter from the event loop."""

_CLIENT_S: Final = 5.0
_MAX_CLIENTS: Final = 8
_ANSWER_S: Final = 2.0
"""How long a page waits for the event loop."""

_PAUSE_S: Final = 0.1

_EXAMPLE: Final = "write metrics://127.0.0.1:9464, or metrics://0.0.0.0:9464 for every address"


class MetricsSink:
    """Counts the events, and reads the daemon's state when somebody asks; threads of its own answer."""

    def __init__(self, name: str, url: SplitResult, options: SinkOptions) -> None:  # noqa: ARG002  # the contract
        try:
            port = url.port
        except ValueError as error:
            raise ConfigError(f"{url.geturl()}: {error}", hint=_EXAMPLE) from error
        more = url.path.strip("/") or url.query or url.fragment or url.username is not None
        if not url.hostname or port is None or more:
            raise ConfigError(f"{url.geturl()}: a host and a port are needed, and nothing else", hint=_EXAMPLE)
        self.name = name
        self.port = port
        self._host = url.hostname
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

    async def run(self, feed: Feed) -> None:
        """Listen, and count every event.

        Raises:
            SinkError: this user may not listen there.
            OSError: the address can't be bound for now.
        """
        server = self._listen(feed.state, asyncio.get_running_loop())
        try:
            while events := await feed.get_many():
                for event in events:
                    self._count(event)
        finally:
            server.stop()

    def _listen(self, state: Callable[[], DaemonState], loop: asyncio.AbstractEventLoop) -> _Server:
        where = f"metrics on {self._host}:{self.port}"
        try:
            server = _Server((self._host, self.port), lambda: self._page(state, loop))
        except PermissionError as error:
            raise SinkError(f"{where}: {error.strerror}", hint="choose a port above 1023") from error
        except OSError as error:
            raise OSError(error.errno, f"{where}: {error.strerror or error}") from error
        self.port = server.server_port
        threading.Thread(target=server.serve, name="metrics", daemon=True).start()
        return server

    def _count(self, event: Event) -> None:
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

    def _page(self, state: Callable[[], DaemonState], loop: asyncio.AbstractEventLoop) -> bytes:
        """Every metric as it is now.

        Raises:
            RuntimeError, TimeoutError: the event loop has ended, or does not answer.
        """
        now = _ask(loop, state)
        families = [
            *self._registry.collect(),
            *_process_metrics(),
            *_run_metrics(now),
            *_node_metrics(now, time.time()),
        ]
        return generate_latest(_Families(families))


class _Server(ThreadingHTTPServer):
    """Answers a few at a time, with a page that is made once a second at the most."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], make: Callable[[], bytes]) -> None:
        self._make = make
        self._making = threading.Lock()
        self._made_s, self._made = -KEPT_S, b""
        self._places = threading.BoundedSemaphore(_MAX_CLIENTS)
        self._stopped = False
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind, without asking the name service what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def serve(self) -> None:
        """Answer until stopped, then free the address."""
        try:
            self.serve_forever()
        finally:
            self.server_close()

    def stop(self) -> None:
        """Refuse every client from now on, and end `serve`; does not wait for it."""
        self._stopped = True
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes `serve`, which would look only twice a second
        threading.Thread(target=self.shutdown, name="metrics-stop", daemon=True).start()

    def page(self) -> bytes:
        """The page; of the last second, if there is one."""
        with self._making:
            if time.monotonic() - self._made_s >= KEPT_S:
                self._made = self._make()
                self._made_s = time.monotonic()
            return self._made

    def get_request(self) -> tuple[socket.socket, object]:
        """The next client; where there are no descriptors left, not at once."""
        try:
            return super().get_request()
        except OSError:
            if not self._stopped:
                time.sleep(_PAUSE_S)
            raise

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Give the client a thread, or none where too many have one."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Answer, and give the place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are nothing to tell of."""


class _Handler(BaseHTTPRequestHandler):
    """One request a connection; who sends nothing is not waited for."""

    server: _Server
    timeout = _CLIENT_S

    def do_GET(self) -> None:
        """Answer a scrape."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND, "metrics are at /metrics")
            return
        try:
            page = self.server.page()
        except (RuntimeError, TimeoutError):
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "the daemon does not answer")
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: logs are the daemon's."""


class _Families:
    """What `generate_latest` wants: something to collect from."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _ask(loop: asyncio.AbstractEventLoop, state: Callable[[], DaemonState]) -> DaemonState:
    """Read the daemon's state on the event loop's thread, where alone it does not change meanwhile."""
    answer: concurrent.futures.Future[DaemonState] = concurrent.futures.Future()

    def give() -> None:
        try:
            answer.set_result(state())
        except BaseException as error:
            answer.set_exception(error)
            raise

    loop.call_soon_threadsafe(give)
    return answer.result(_ANSWER_S)


def _process_metrics() -> Iterator[Metric]:
    """What the client library's own collector tells, but from /proc/self alone: the service sees nothing else of it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield CounterMetricFamily("process_cpu_seconds", "User and system time.", used.ru_utime + used.ru_stime)
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return
    yield GaugeMetricFamily("process_resident_memory_bytes", "Resident memory.", pages * os.sysconf("SC_PAGE_SIZE"))
    yield GaugeMetricFamily("process_open_fds", "Open files and sockets.", descriptors)


def _run_metrics(totals: DaemonState) -> Iterator[Metric]:
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


def _node_metrics(totals: DaemonState, now_unix_s: float) -> Iterator[Metric]:
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
