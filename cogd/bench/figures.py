"""What was measured: the types of a run's parts, and how durations become figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from cogd.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DEADLINE_S = 0.040
"""From a frame's arrival to its event: one tick. What never becomes an event misses it too."""

BLOCKS = 5
"""A run is split into so many parts; what they differ by is its noise."""

_PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9, "max": 100.0}


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of durations, microseconds."""

    p50: float
    p90: float
    p99: float
    p99_9: float
    max: float


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that runs are compared by.

    Attributes:
        value: a ratio to a reference of the same run, so that it means something on another day and machine too.
        noise: what the run's own parts differ by, (max - min) / median.
        better: which way is better.
        least: changes below this are never called one: it is what two runs of the same code differ by at most, where
            their parts do not show it.
    """

    value: float
    noise: float
    better: Literal["lower", "higher"] = "lower"
    least: float = 0.10


class Tight(msgspec.Struct, frozen=True, kw_only=True):
    """One app in a tight loop.

    Attributes:
        app: id and version.
        backend: what ran the model.
        frames: datagrams that became an event.
        event_us: datagram in hand to event bytes in hand.
        bare_us: a bare `session.run` of the same graph, in turn with the former; None where it is not ONNX's.
        p50_ratio: median of the former over that of the latter.
        p99_ratio: the same of their 99th percentiles.
        events_per_s: of the whole way, one after the other.
        stages_us: medians of the parts of the way, of a second pass whose stamps do not slow the first.
    """

    app: str
    backend: str
    frames: int
    event_us: Latency
    bare_us: Latency | None
    p50_ratio: float | None
    p99_ratio: float | None
    events_per_s: float
    stages_us: dict[str, float]


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon, fed over UDP by another process.

    Attributes:
        nodes: how many.
        rate_hz: datagrams a second and node.
        seconds: how long.
        apps: ids of the apps that ran.
        expected: events that the datagrams sent should give, each app's.
        events: those that came.
        missed: share of the expected ones that came later than the deadline, or not at all.
        event_us: from the kernel's stamp on the datagram to event bytes in hand.
        cpu: user and system time of the daemon's process over time, once the windows are full; 1 is one core.
        cpu_us_per_frame: the same time over the datagrams.
        waited: share of the time that the daemon was ready to run and another program had its core: the machine's
            noise. What misses its deadline then is not the daemon's doing; it is counted nevertheless.
        rss_mib: resident memory of this process at the end, the benchmark's own included.
        missed_ticks: beats that were skipped.
        lost: what the daemon says it lost, by reason, the kernel's full buffers included.
        offered_per_s: datagrams a second that were sent: fewer than asked for where the sender was kept from running.
    """

    nodes: int
    rate_hz: float
    seconds: float
    apps: list[str]
    expected: int
    events: int
    missed: float
    event_us: Latency
    cpu: float
    cpu_us_per_frame: float
    waited: float
    rss_mib: float
    missed_ticks: int
    lost: dict[str, int]
    offered_per_s: float


class Sustained(msgspec.Struct, frozen=True, kw_only=True):
    """The highest rate that the daemon keeps up with.

    Attributes:
        apps: ids of the apps that ran.
        cores: how many the daemon had, and ONNX Runtime.
        frames_per_s: the highest rate tried with at most 0.1 % of the events late or missing.
        failed_frames_per_s: the lowest rate tried that gave more, twice; None where none did.
        raw_per_s: windows a second that batched raw ONNX Runtime infers on the same cores, before and after.
        ratio: of the two.
        tries: rates tried, and what was missed.
    """

    apps: list[str]
    cores: int
    frames_per_s: float
    failed_frames_per_s: float | None
    raw_per_s: float
    ratio: float
    tries: list[tuple[float, float]]


class Overload(msgspec.Struct, frozen=True, kw_only=True):
    """Too much for a while.

    Attributes:
        normal_per_s: datagrams a second before and after.
        offered_per_s: while it was too much.
        seconds: how long it was too much.
        shed: what was lost, by reason.
        uncounted: share of the datagrams that are neither a node's frames nor counted by their source.
        kept: share of the overload's datagrams that became events, however late.
        newest_kept: the same of its last tenth of a second.
        slowest_ms: the latest event.
        max_wait_ms: the setting: what is older should have been shed.
        recovered_s: from the overload's last datagram to the last event that was late.
        missed_after: share missed from one second after it on.
    """

    normal_per_s: float
    offered_per_s: float
    seconds: float
    shed: dict[str, int]
    uncounted: float
    kept: float
    newest_kept: float
    slowest_ms: float
    max_wait_ms: int
    recovered_s: float
    missed_after: float


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """The installed program with one node.

    Attributes:
        command: as it was run.
        seconds: watched, from the first event on.
        first_event_s: from the 20th datagram, the node sending since the program was started, to the first event.
        cpu: of one core, from the first event on.
        rss_mib: resident memory, the greatest seen.
        settled_s: growth counts from here.
        growth_mib: greatest resident memory after that, less what it was then.
        events: lines of inferred events that were read.
    """

    command: str
    seconds: float
    first_event_s: float
    cpu: float
    rss_mib: float
    settled_s: float
    growth_mib: float
    events: int


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, and what was measured of it.

    Attributes:
        name: of the bar.
        figure: what was measured, at most or at least `bar`; None where it could not be.
        bar: what is asked for.
        at_most: whether the figure may not be above it, else not below.
        beside: absolute figures and published references, or why nothing was measured.
        needed: whether it fails the whole where it was not measured.
    """

    name: str
    figure: float | None
    bar: float
    at_most: bool = True
    beside: str = ""
    needed: bool = True

    @property
    def verdict(self) -> Literal["met", "missed", "not measured"]:
        """Whether it is met."""
        if self.figure is None:
            return "not measured"
        return "met" if (self.figure <= self.bar if self.at_most else self.figure >= self.bar) else "missed"

    @property
    def fails(self) -> bool:
        """Whether this keeps the whole from being met."""
        return self.verdict == "missed" or (self.verdict == "not measured" and self.needed)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the benchmark, or the parts of it that were asked for.

    Attributes:
        format: names this form and the figures' definitions.
        date: when it ended, UTC.
        commit: of the checkout, where there is one.
        machine: where.
        tight: each app in a tight loop.
        paced: one node at 25 Hz through the daemon, all apps.
        nodes: the sweep over the number of nodes, all apps.
        many: the load that the bar of many nodes is about.
        sustained: the highest rate.
        overload: what becomes of more.
        idle: the installed program with one node.
        compared: what runs are compared by.
        bars: those that were judged.
        beside: figures of other benchmarks of the same run, as they gave them.
    """

    format: Literal["cogd-bench/1"] = "cogd-bench/1"
    date: str
    commit: str | None
    machine: Machine
    tight: list[Tight] = []
    paced: Live | None = None
    nodes: list[Live] = []
    many: Live | None = None
    sustained: Sustained | None = None
    overload: Overload | None = None
    idle: Idle | None = None
    compared: dict[str, Figure] = {}
    bars: list[Bar] = []
    beside: dict[str, dict[str, float | str | bool | None]] = {}


def latency(seconds: NDArray[np.float64]) -> Latency:
    """Percentiles of durations in seconds; zeros where there are none."""
    if not len(seconds):
        return Latency(p50=0.0, p90=0.0, p99=0.0, p99_9=0.0, max=0.0)
    values = np.percentile(seconds * 1e6, list(_PERCENTILES.values()))
    return Latency(**{name: round(float(value), 1) for name, value in zip(_PERCENTILES, values, strict=True)})


def noise(values: Sequence[float]) -> float:
    """What parts of a run differ by: (max - min) / median. 0 for fewer than two, or where the median is 0."""
    if len(values) < 2 or not (middle := float(np.median(values))):
        return 0.0
    return round((max(values) - min(values)) / abs(middle), 4)
