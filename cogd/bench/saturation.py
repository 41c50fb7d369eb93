"""How much the daemon takes, beside batched raw ONNX Runtime, and what becomes of more than that."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from cogd.bench.figures import DEADLINE_S, Overload, Sustained
from cogd.bench.live import RATE_HZ, measure_live, record
from cogd.bench.sender import BUCKET_S, Group
from cogd.bench.tight import bare_run
from cogd.machine import on_cores
from cogd.runtime.app import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cogd.bench.live import Recorded
    from cogd.runtime.app import App
    from cogd.settings import Settings

MISSED = 0.001
"""Share of the events that may be late or missing."""

_CLOSE_ENOUGH = 1.06
"""The search ends where the lowest rate that failed is not further above the highest that passed."""

_RAW_S = 1.0
_TRIES = 2
"""A rate fails if it fails so often: one stall of the machine is not the daemon's limit."""

_MOST_NODES = 4000

_BEFORE_S, _OVERLOAD_S, _AFTER_S = 1.0, 2.0, 2.5
_SETTLED_S = 1.0
"""Within this it has recovered."""

_NEWEST_S = 0.1


def raw_per_s(app: App, threads: int, seconds: float = _RAW_S) -> float | None:
    """Windows a second of `session.run` with full batches and nothing else; None where the backend is not `ort`."""
    run = bare_run(app, threads, MAX_BATCH)
    if run is None:
        return None
    for _ in range(5):
        run()
    started_s, batches = time.perf_counter(), 0
    while (took_s := time.perf_counter() - started_s) < seconds:
        run()
        batches += 1
    return batches * MAX_BATCH / took_s


def sustained(
    app: App, settings: Settings, cores: tuple[list[int], list[int]], seconds: float, budget_s: float
) -> Sustained | None:
    """Search for the highest rate, each tried for `seconds`, for about `budget_s` in all."""
    with on_cores(cores[0]):
        before = raw_per_s(app, len(cores[0]))
    if before is None:
        return None
    tries: list[tuple[float, float]] = []
    kept: list[float] = [0.0]

    def missed(nodes: int) -> float:
        live, _ = measure_live([app], settings, nodes, seconds, cores)
        tries.append((live.offered_per_s, live.missed))
        if live.missed <= MISSED:
            kept.append(live.offered_per_s)
        return live.missed

    _, failed = highest(missed, round(before / 4 / RATE_HZ), time.monotonic() + budget_s)
    with on_cores(cores[0]):
        after = raw_per_s(app, len(cores[0])) or before
    raw = (before + after) / 2
    return Sustained(
        apps=[app.id],
        cores=len(cores[0]),
        frames_per_s=max(kept),
        failed_frames_per_s=None if failed is None else failed * RATE_HZ,
        raw_per_s=round(raw),
        ratio=round(max(kept) / raw, 4),
        tries=tries,
    )


def highest(missed: Callable[[int], float], first: int, until_s: float) -> tuple[int, int | None]:
    """The highest number of nodes that passed, and the lowest that failed twice; 0 where none passed in time."""
    passed, failed, nodes = 0, None, max(1, min(first, _MOST_NODES))
    while time.monotonic() < until_s:
        if any(missed(nodes) <= MISSED for _ in range(_TRIES)):
            passed = nodes
        else:
            failed = nodes
        following = min(_MOST_NODES, round(passed * 1.4) + 1) if failed is None else (passed + failed) // 2
        if following <= passed or (failed is not None and failed <= passed * _CLOSE_ENOUGH):
            break
        nodes = following
    return passed, failed


def overload(
    app: App, settings: Settings, cores: tuple[list[int], list[int]], normal_nodes: int, sustained_per_s: float
) -> Overload:
    """Three times the highest rate for two seconds, on top of a normal load that goes on.

    The further nodes begin earlier, by as long as their windows need to fill: until then they cost little.
    """
    further = max(1, min(_MOST_NODES - normal_nodes, round(3 * sustained_per_s / RATE_HZ) - normal_nodes))
    begins_s = _BEFORE_S + app.window.frames / RATE_HZ
    ends_s = begins_s + _OVERLOAD_S
    groups = [
        Group(normal_nodes, RATE_HZ, 0.0, ends_s + _AFTER_S),
        Group(further, RATE_HZ, _BEFORE_S, ends_s),
    ]
    return overload_of(record([app], settings, groups, cores), normal_nodes, further, settings.max_wait_ms)


def overload_of(recorded: Recorded, normal: int, further: int, max_wait_ms: int) -> Overload:
    """What the records tell; times are seconds from the sender's start."""
    (app,) = recorded.apps
    load_ends_s, ends_s = recorded.sent.ended_s
    begins_s = ends_s - _OVERLOAD_S
    start_s = recorded.sent.started_s
    arrived_s, done_s = recorded.arrived_s[app] - start_s, recorded.done_s[app] - start_s
    late = (done_s - arrived_s > DEADLINE_S) & (done_s > ends_s)
    # The last moments of the load itself are left out: a frame that is on its way is not one that was lost.
    settled_s, last_s = ends_s + _SETTLED_S, load_ends_s - BUCKET_S
    sent_after = _sent(recorded, settled_s, last_s)
    stopped, sent = recorded.stopped, recorded.sent.total
    counted = sum(node.frames for node in stopped.nodes.values()) + sum(
        sum(counts.values()) for counts in stopped.sources.values()
    )
    return Overload(
        normal_per_s=normal * RATE_HZ,
        offered_per_s=(normal + further) * RATE_HZ,
        seconds=round(ends_s - begins_s, 3),
        shed=recorded.lost(),
        uncounted=round(max(0.0, 1 - counted / max(1, sent)), 6),
        kept=_became_events(recorded, arrived_s, begins_s, ends_s),
        newest_kept=_became_events(recorded, arrived_s, ends_s - _NEWEST_S, ends_s),
        slowest_ms=round(float((done_s - arrived_s).max(initial=0.0)) * 1e3, 1),
        max_wait_ms=max_wait_ms,
        recovered_s=round(float(done_s[late].max(initial=ends_s)) - ends_s, 3),
        missed_after=round(max(0.0, 1 - recorded.on_time(settled_s, last_s) / sent_after), 6) if sent_after else 1.0,
    )


def _became_events(recorded: Recorded, arrived_s: NDArray[np.float64], from_s: float, until_s: float) -> float:
    sent = _sent(recorded, from_s, until_s)
    events = int(np.count_nonzero((arrived_s >= from_s) & (arrived_s < until_s)))
    return round(min(1.0, events / sent), 4) if sent else 0.0


def _sent(recorded: Recorded, from_s: float, until_s: float) -> int:
    """Datagrams that left within a stretch; of a tenth of a second that is cut, the part."""
    edges_s = np.arange(len(recorded.sent.buckets) + 1) * BUCKET_S
    total = np.concatenate([[0], np.cumsum(recorded.sent.buckets)])
    return round(float(np.interp(until_s, edges_s, total) - np.interp(from_s, edges_s, total)))
