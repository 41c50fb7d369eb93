"""The benchmark: from a datagram in hand to an event's bytes in hand, through the daemon's own engine."""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import platform
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

import cogd
from cogd.csi.frame import Origin
from cogd.csi.link import LinkLimits
from cogd.events import encode
from cogd.runtime.engine import Engine
from cogd.sim.simulator import Scene, Simulator
from cogd.sources.base import SystemClock
from cogd.wire import adr018

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from cogd.events import Event
    from cogd.runtime.app import App

_PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9, "max": 100.0}
_WARM_UP = 50
_CHUNK_FRAMES = 500


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of one stage's duration, microseconds."""

    p50: float
    p90: float
    p99: float
    p99_9: float
    max: float


class AppResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one app.

    Attributes:
        app: id and version.
        backend: what ran the model.
        frames: datagrams that became an event.
        event_us: datagram in hand to event bytes in hand, one window a tick, the hop to the inference thread included.
        inference_us: the same window through input preparation and backend alone, in turn with the former.
        events_per_s: of the whole way, one after the other.
    """

    app: str
    backend: str
    frames: int
    event_us: Latency
    inference_us: Latency
    events_per_s: float


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured."""

    system: str
    processor: str
    cores: int
    python: str
    versions: dict[str, str]


class BenchResult(msgspec.Struct, frozen=True, kw_only=True):
    """A run of the benchmark; `max_rss_mib` is the process's peak."""

    method: str
    machine: Machine
    apps: list[AppResult]
    max_rss_mib: float


METHOD = (
    "tight loop on simulated datagrams of one node, each decoded, windowed, inferred and encoded before the next; "
    "no socket, no pacing"
)


async def bench(apps: Sequence[App], frames: int) -> BenchResult:
    """Measure every app by itself on `frames` datagrams that complete a window."""
    results = [await _bench_app(app, frames) for app in apps]
    return BenchResult(
        method=METHOD,
        machine=_machine(),
        apps=results,
        max_rss_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )


async def _bench_app(app: App, frames: int) -> AppResult:
    lines: list[bytes] = []

    def emit(event: Event) -> None:
        if event.event == app.head.event:
            lines.append(encode(event))

    clock = SystemClock()
    engine = Engine([app], LinkLimits(), clock, emit, believe_simulated=lambda _: True, max_pending=64)
    whole, alone = np.empty(frames), np.empty(frames)
    rng = np.random.default_rng(0)
    window = np.abs(rng.normal(20, 5, size=(1, 56, app.window.frames))).astype(np.float32)
    done = -_WARM_UP
    for time_s, datagram in _datagrams(frames + _WARM_UP + app.window.frames):
        started_s = time.perf_counter()
        parsed = adr018.decode(datagram)
        if isinstance(parsed, adr018.CsiDatagram):
            arrival_s = clock.monotonic_s()
            engine.take(
                adr018.to_frame(parsed, source="sim", time_s=time_s, arrival_s=arrival_s, origin=Origin.SIMULATED)
            )
            await engine.tick()
        ended_s = time.perf_counter()
        if not lines:
            continue
        lines.clear()
        app.infer(window)
        if 0 <= done < frames:
            whole[done] = ended_s - started_s
            alone[done] = time.perf_counter() - ended_s
        done += 1
    engine.close()
    done = min(done, frames)
    return AppResult(
        app=f"{app.id} {app.bundle.manifest.version}",
        backend=app.backend,
        frames=done,
        event_us=_latency(whole[:done]),
        inference_us=_latency(alone[:done]),
        events_per_s=round(float(done / whole[:done].sum()), 1),
    )


def _datagrams(count: int) -> Iterator[tuple[float, bytes]]:
    """Datagrams of one node with their times, made a few hundred at a time so that they do not fill the memory."""
    simulator = Simulator(Scene(nodes=1, persons=1, seed=7))
    packets = (packet for _ in itertools.count() for packet in simulator.advance(_CHUNK_FRAMES).packets)
    for packet in itertools.islice(packets, count):
        yield packet.time_s, packet.datagram


def _latency(seconds: NDArray[np.float64]) -> Latency:
    values = np.percentile(seconds * 1e6, list(_PERCENTILES.values()))
    return Latency(**{name: round(float(value), 1) for name, value in zip(_PERCENTILES, values, strict=True)})


def _machine() -> Machine:
    packages = ("cogd", "numpy", "onnxruntime")
    return Machine(
        system=platform.platform(),
        processor=_processor(),
        cores=os.cpu_count() or 0,
        python=platform.python_version(),
        versions={name: cogd.__version__ if name == "cogd" else importlib.metadata.version(name) for name in packages},
    )


def _processor() -> str:
    """The processor's name where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.machine()


def format_result(result: BenchResult) -> str:
    """A table for a terminal."""
    machine = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    lines = [
        f"{machine.processor}, {machine.cores} cores, {machine.system}",
        f"Python {machine.python}, {versions}",
        f"{result.method}",
        "",
        f"{'app':24} {'what (microseconds)':28} {'p50':>8} {'p90':>8} {'p99':>8} {'p99.9':>8} {'max':>8}",
    ]
    for app in result.apps:
        for what, value in (("datagram to event bytes", app.event_us), ("inference alone", app.inference_us)):
            figures = " ".join(f"{x:8.0f}" for x in (value.p50, value.p90, value.p99, value.p99_9, value.max))
            lines.append(f"{app.app:24} {what:28} {figures}")
        lines.append(f"{'':24} {app.frames} frames, {app.events_per_s:.0f} events/s one after the other")
    lines.append(f"peak memory {result.max_rss_mib} MiB")
    return "\n".join(lines)
