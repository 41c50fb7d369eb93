"""One app in a tight loop: from a datagram in hand to an event's bytes in hand, beside a bare `session.run`.

Both are measured in turn in one loop, so that what else the machine does falls on both alike. No socket, no pacing.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import numpy as np
import uvloop

from cogd.bench.figures import BLOCKS, Figure, Tight, latency, noise
from cogd.bench.staged import STAGES, staged
from cogd.clock import SystemClock
from cogd.csi.frame import Origin
from cogd.csi.input import input_shape
from cogd.csi.link import LinkLimits
from cogd.events import Emitter, InferenceFields, encode
from cogd.runtime.engine import Engine
from cogd.runtime.memory import settle
from cogd.sim.simulator import Scene, Simulator
from cogd.wire import adr018

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from cogd.events import Event
    from cogd.runtime.app import App

_WARM_UP = 200
_CHUNK_FRAMES = 500
_STAGED_FRAMES = 2000
_P99_LEAST = 0.30
"""The 99th percentile of a shared machine is mostly the other programs'."""


def measure_tight(app: App, frames: int) -> tuple[Tight, dict[str, Figure]]:
    """Measure an app on `frames` datagrams that complete a window."""
    settle()  # as `cogd run` does
    whole_s, bare_s = uvloop.run(_in_turn(app, frames, bare_run(app)))
    stages_us = uvloop.run(_stages(app, min(frames, _STAGED_FRAMES)))
    event_us = latency(whole_s)
    bare_us = None if bare_s is None else latency(bare_s)
    figures: dict[str, Figure] = {}
    if bare_s is not None:
        for name, percentile, least in (("p50", 50, 0.10), ("p99", 99, _P99_LEAST)):
            figures[f"tight.{app.id}.{name}_ratio"] = _ratio(whole_s, bare_s, percentile, least)
    tight = Tight(
        app=f"{app.id} {app.bundle.manifest.version}",
        backend=app.backend,
        frames=len(whole_s),
        event_us=event_us,
        bare_us=bare_us,
        p50_ratio=None if bare_us is None else round(event_us.p50 / bare_us.p50, 3),
        p99_ratio=None if bare_us is None else round(event_us.p99 / bare_us.p99, 3),
        events_per_s=round(float(len(whole_s) / whole_s.sum()), 1),
        stages_us=stages_us,
    )
    return tight, figures


def _ratio(whole_s: NDArray[np.float64], bare_s: NDArray[np.float64], percentile: int, least: float) -> Figure:
    ratios = [
        float(np.percentile(whole, percentile) / np.percentile(bare, percentile))
        for whole, bare in zip(np.array_split(whole_s, BLOCKS), np.array_split(bare_s, BLOCKS), strict=True)
        if len(whole)
    ]
    value = float(np.percentile(whole_s, percentile) / np.percentile(bare_s, percentile))
    return Figure(value=round(value, 4), noise=noise(ratios), least=least)


def bare_run(app: App, threads: int = 1, batch: int = 1) -> Callable[[], object] | None:
    """`session.run` of the app's own graph, as ONNX Runtime's users write it; None where the backend is not `ort`.

    The session has the daemon's options (see `cogd_ort`) but for the number of threads.
    """
    if app.backend != "ort":
        return None
    import onnxruntime  # noqa: PLC0415  # only where it is the backend

    from cogd_ort import session_options  # noqa: PLC0415

    variant = next(variant for variant in app.bundle.manifest.variants if variant.backend == "ort")
    options = session_options()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(app.bundle.file(variant.file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rng = np.random.default_rng(0)
    csi = rng.uniform(0.5, 1.5, size=(batch, *input_shape(app.bundle.manifest.input))).astype(np.float32)
    feed = {name: csi}
    return lambda: session.run(None, feed)


async def _in_turn(
    app: App, frames: int, bare: Callable[[], object] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Durations in seconds of the whole way and of the bare run."""
    lines: list[bytes] = []

    def emit(event: Event) -> None:
        if isinstance(event.fields, InferenceFields):
            lines.append(encode(event))

    clock = SystemClock()
    engine = Engine([app], LinkLimits(), clock, Emitter(clock, emit), believe_simulated=lambda _: True, max_pending=64)
    whole_s, bare_s = np.empty(frames), np.empty(frames)
    now, done = time.perf_counter, -_WARM_UP
    try:
        for time_s, datagram in datagrams():
            started_s = now()
            parsed = adr018.decode(datagram)
            if isinstance(parsed, adr018.CsiDatagram):
                arrival_s = clock.monotonic_s()
                engine.take(
                    adr018.to_frame(parsed, source="sim", time_s=time_s, arrival_s=arrival_s, origin=Origin.SIMULATED)
                )
                await engine.tick(beat=False)
            ended_s = now()
            if not lines:
                continue
            lines.clear()
            bare_started_s = now()
            if bare is not None:
                bare()
            if done >= 0:
                bare_s[done] = now() - bare_started_s
                whole_s[done] = ended_s - started_s
            done += 1
            if done == frames:
                break
    finally:
        engine.close()
    return whole_s, None if bare is None else bare_s


async def _stages(app: App, frames: int) -> dict[str, float]:
    """Medians in microseconds of the parts of the way, in its order; `engine` is what the others leave."""
    variant_app, stamps = staged(app)
    lines: list[bytes] = []
    now = time.perf_counter

    def emit(event: Event) -> None:
        if not isinstance(event.fields, InferenceFields):
            return
        started_s = now()
        lines.append(encode(event))
        stamps["encode"] = now() - started_s

    clock = SystemClock()
    engine = Engine(
        [variant_app], LinkLimits(), clock, Emitter(clock, emit), believe_simulated=lambda _: True, max_pending=64
    )
    taken: list[list[float]] = []
    try:
        for time_s, datagram in datagrams():
            stamps.clear()
            started_s = now()
            parsed = adr018.decode(datagram)
            if not isinstance(parsed, adr018.CsiDatagram):
                continue
            frame = adr018.to_frame(
                parsed, source="sim", time_s=time_s, arrival_s=clock.monotonic_s(), origin=Origin.SIMULATED
            )
            decoded_s = now()
            engine.take(frame)
            took_s = now()
            await engine.tick(beat=False)
            whole_s = now() - started_s
            if not lines:
                continue
            lines.clear()
            stamps["decode"], stamps["window"] = decoded_s - started_s, took_s - decoded_s
            stamps["engine"] = whole_s - sum(stamps.values())
            taken.append([stamps.get(stage, 0.0) for stage in STAGES])
            if len(taken) == frames + _WARM_UP:
                break
    finally:
        engine.close()
    medians = np.median(np.asarray(taken[_WARM_UP:]), axis=0) * 1e6
    return {stage: round(float(value), 2) for stage, value in zip(STAGES, medians, strict=True)}


def datagrams() -> Iterator[tuple[float, bytes]]:
    """Datagrams of one node with their times, made a few hundred at a time so that they do not fill the memory."""
    simulator = Simulator(Scene(nodes=1, persons=1, seed=7))
    for _ in itertools.count():
        for packet in simulator.advance(_CHUNK_FRAMES).packets:
            yield packet.time_s, packet.datagram
