"""The daemon as it runs, fed over UDP by another process, and what came of it."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import uvloop

from cogd.bench import sender
from cogd.bench.figures import BLOCKS, DEADLINE_S, Live, latency
from cogd.clock import SystemClock
from cogd.errors import BenchError
from cogd.events import InferenceFields, RunStopped, SourceChanged, encode
from cogd.machine import on_cores, rss_mib, waited_s
from cogd.runtime.daemon import Daemon
from cogd.runtime.memory import settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cogd.bench.sender import Group, Sent
    from cogd.clock import Clock
    from cogd.events import Event
    from cogd.runtime.app import App
    from cogd.settings import Settings
    from cogd.sinks.base import Feed

RATE_HZ = 25.0

_LISTENING_S = 10.0
"""Within this all sources listen."""

_SENDER_STARTS_S = 0.1
_AFTERWARDS_S = 0.3
"""What the daemon gets after the last datagram; events that come later have missed their deadline long ago."""


class Recorder:
    """A sink that does what `stdout:` does before its thread writes the lines, and notes when the bytes were there.

    Attributes:
        arrived_s: unix time of the frame of each inferred event, by app.
        done_s: unix time at which that event's bytes were in hand.
        stopped: what `run.stopped` said.
    """

    name = "recorder"

    def __init__(self, clock: Clock, apps: Sequence[App], sources: int) -> None:
        self.listening = asyncio.Event()
        self.arrived_s: dict[str, array[float]] = {app.id: array("d") for app in apps}
        self.done_s: dict[str, array[float]] = {app.id: array("d") for app in apps}
        self.stopped: RunStopped | None = None
        self._clock = clock
        self._missing = sources

    async def run(self, feed: Feed) -> None:
        """Make each event's bytes and note the time."""
        while events := await feed.get_many():
            for event in events:
                self._record(event)

    def _record(self, event: Event) -> None:
        encode(event)
        fields = event.fields
        if isinstance(fields, InferenceFields):
            self.done_s[fields.app].append(self._clock.unix_s())
            self.arrived_s[fields.app].append(fields.time)
        elif isinstance(fields, RunStopped):
            self.stopped = fields
        elif isinstance(fields, SourceChanged) and fields.state == "up":
            self._missing -= 1
            if self._missing == 0:
                self.listening.set()


@dataclass(frozen=True)
class Recorded:
    """What came of a load: the sender's report, the daemon's last word, and each event's two times.

    `cpu_s` is what the process took in each of five parts of the run, which took `wall_s`, from when windows were full.
    """

    apps: list[str]
    frames: int
    """Of a window."""
    sent: Sent
    stopped: RunStopped
    arrived_s: dict[str, NDArray[np.float64]]
    done_s: dict[str, NDArray[np.float64]]
    cpu_s: list[float]
    wall_s: list[float]
    waited_s: float
    rss_mib: float

    def late_s(self) -> NDArray[np.float64]:
        """From arrival to event bytes, of every event."""
        return np.concatenate([self.done_s[app] - self.arrived_s[app] for app in self.apps])

    def on_time(self, from_s: float, until_s: float) -> int:
        """Events on time of frames that arrived in a stretch, in seconds from the sender's start."""
        count = 0
        for app in self.apps:
            arrived_s = self.arrived_s[app] - self.sent.started_s
            late_s = self.done_s[app] - self.arrived_s[app]
            count += int(np.count_nonzero((arrived_s >= from_s) & (arrived_s < until_s) & (late_s <= DEADLINE_S)))
        return count

    def lost(self) -> dict[str, int]:
        """What the daemon says it lost, by reason."""
        lost = dict(self.stopped.dropped)
        for counts in self.stopped.sources.values():
            for reason, count in counts.items():
                lost[reason] = lost.get(reason, 0) + count
        for totals in self.stopped.nodes.values():
            for reason, count in totals.dropped.items():
                lost[reason] = lost.get(reason, 0) + count
        return lost


def record(
    apps: Sequence[App], settings: Settings, groups: list[Group], cores: tuple[list[int], list[int]] | None = None
) -> Recorded:
    """Run the daemon and a sender until all is sent.

    Args:
        apps: what to run; all on the same windows.
        settings: of the daemon; sources, sinks and socket are replaced.
        groups: what the nodes send.
        cores: for the daemon and for the sender; None leaves both to the system.

    Raises:
        BenchError: the daemon or the sender ended too soon.
        KeyboardInterrupt: somebody wants it to end.
    """
    if cores is None:
        return uvloop.run(_record(apps, settings, groups, None))
    with on_cores(cores[0]):
        return uvloop.run(_record(apps, settings, groups, cores[1]))


async def _record(
    apps: Sequence[App], settings: Settings, groups: list[Group], sender_cores: list[int] | None
) -> Recorded:
    settle()  # as `cogd run` does
    ports = free_ports(sender.ports_needed(groups))
    clock = SystemClock()
    recorder = Recorder(clock, apps, len(ports))
    with tempfile.TemporaryDirectory() as folder:
        changed = settings.model_copy(
            update={
                "sources": tuple(f"udp://127.0.0.1:{port}" for port in ports),
                "control_socket": Path(folder) / "control.sock",
            }
        )
        daemon = Daemon(apps, [], changed, clock, sinks=[recorder])
        running = asyncio.create_task(daemon.run())
        listening = asyncio.create_task(recorder.listening.wait())
        try:
            await asyncio.wait({running, listening}, timeout=_LISTENING_S, return_when=asyncio.FIRST_COMPLETED)
            if not recorder.listening.is_set():
                raise BenchError("the daemon does not listen")
            seconds = max(group.until_s for group in groups)
            sending = sender.start(ports, groups, sender_cores)
            try:
                waited_before_s = waited_s()
                fill_s = min(apps[0].window.frames / groups[0].rate_hz + _SENDER_STARTS_S, seconds / 2)
                cpu_s, wall_s = await _meter(running, seconds, fill_s)
                waiting_s = waited_s() - waited_before_s
                if running.done():  # somebody has interrupted it
                    raise KeyboardInterrupt
                sent = await asyncio.to_thread(sender.finish, sending)
            finally:
                if sending.poll() is None:
                    sending.kill()
                    sending.communicate()
            await asyncio.sleep(_AFTERWARDS_S)
            rss = rss_mib()
        finally:
            listening.cancel()
            daemon.stop("measured")
            await running
    stopped = recorder.stopped
    if stopped is None:
        raise BenchError("the daemon did not say what it did")
    if stopped.reason != "measured":
        raise BenchError(f"the daemon has ended: {stopped.reason}")
    arrived_s, done_s = (
        {app: np.frombuffer(values, np.float64) for app, values in times.items()}
        for times in (recorder.arrived_s, recorder.done_s)
    )
    window = apps[0].window.frames
    return Recorded([app.id for app in apps], window, sent, stopped, arrived_s, done_s, cpu_s, wall_s, waiting_s, rss)


async def _meter(running: asyncio.Task[None], seconds: float, fill_s: float) -> tuple[list[float], list[float]]:
    """CPU time of this process and time, of each part of the run from `fill_s` on; fewer where the daemon ends."""
    await asyncio.wait({running}, timeout=fill_s)
    cpu_s, wall_s = [time.process_time()], [time.monotonic()]
    for _ in range(BLOCKS):
        await asyncio.wait({running}, timeout=(seconds - fill_s) / BLOCKS)
        cpu_s.append(time.process_time())
        wall_s.append(time.monotonic())
        if running.done():
            break
    return np.diff(cpu_s).tolist(), np.diff(wall_s).tolist()


def free_ports(count: int) -> list[int]:
    """UDP ports of this machine that nobody has, a moment ago."""
    opened = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for one in opened:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in opened]
    for one in opened:
        one.close()
    return ports


def measure_live(
    apps: Sequence[App],
    settings: Settings,
    nodes: int,
    seconds: float,
    cores: tuple[list[int], list[int]] | None = None,
    rate_hz: float = RATE_HZ,
) -> tuple[Live, Recorded]:
    """So many nodes for so long, each sending one datagram more than its rate gives.

    A rate that is the beat's own would keep a node's frames at one place between two ticks, by chance a good or a bad
    one; so they pass over the whole beat once.
    """
    rate_hz += 1 / seconds
    recorded = record(apps, settings, [sender.Group(nodes, rate_hz, 0.0, seconds)], cores)
    return live_of(recorded, nodes, rate_hz, seconds), recorded


def live_of(recorded: Recorded, nodes: int, rate_hz: float, seconds: float) -> Live:
    """Figures of a run in which all nodes sent alike."""
    late_s = recorded.late_s()
    expected = max(0, recorded.sent.total - (recorded.frames - 1) * nodes) * len(recorded.apps)
    on_time = int(np.count_nonzero(late_s <= DEADLINE_S))
    cpu = sum(recorded.cpu_s) / sum(recorded.wall_s)
    offered_per_s = recorded.sent.total / (seconds + recorded.sent.paused_s)
    return Live(
        nodes=nodes,
        rate_hz=round(rate_hz, 3),
        seconds=seconds,
        apps=recorded.apps,
        expected=expected,
        events=len(late_s),
        missed=round(max(0.0, 1 - on_time / expected), 6) if expected else 0.0,
        event_us=latency(late_s),
        cpu=round(cpu, 4),
        cpu_us_per_frame=round(cpu / max(offered_per_s, 1e-3) * 1e6, 2),
        waited=round(recorded.waited_s / seconds, 4),
        rss_mib=round(recorded.rss_mib, 1),
        missed_ticks=recorded.stopped.missed_ticks,
        lost=recorded.lost(),
        offered_per_s=round(offered_per_s, 1),
    )
