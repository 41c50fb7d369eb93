"""The installed program with one node: what it costs to have it there, and how soon it speaks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cogd.bench import sender
from cogd.bench.figures import Idle
from cogd.bench.live import RATE_HZ, free_ports
from cogd.errors import BenchError
from cogd.events import InferenceFields
from cogd.events.registry import known_events
from cogd.machine import rss_mib

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

SINKS = ("stdout:", "metrics://127.0.0.1:0")
"""What the program that is watched writes to; port 0 is any that is free."""

FULL_S = 30 * 60.0
SETTLED_S = 60.0
"""Growth counts after the first minute; a shorter run takes a third of its time."""

_FIRST_EVENT_S = 20.0
_SAMPLE_S = 0.5


def _inferred() -> list[bytes]:
    """The beginning of each event that a head makes of one window."""
    kinds = known_events().values()
    return [f'"event":"{kind.event_name}"'.encode() for kind in kinds if issubclass(kind, InferenceFields)]


@dataclass
class _Reader:
    """Reads the events, as whoever uses them would, and notes when the first inferred one was there.

    `first` is set then, or once nothing comes any more. `inferred` are the parts of lines that mark inferred events.
    """

    inferred: Sequence[bytes] = field(default_factory=_inferred)
    first_s: float | None = None
    events: int = 0
    first: threading.Event = field(default_factory=threading.Event)

    def read(self, lines: IO[bytes]) -> None:
        for line in lines:
            if any(name in line for name in self.inferred):
                if self.first_s is None:
                    self.first_s = time.time()
                    self.first.set()
                self.events += 1
        self.first.set()  # nothing comes any more


def measure_idle(seconds: float, demo_arguments: list[str] | None = None) -> Idle:
    """Run the program for so long with one node at 25 Hz, its output read through a pipe.

    Raises:
        BenchError: it gives no event, or ends by itself.
    """
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        sinks = [part for sink in SINKS for part in ("--sink", sink)]
        where = ["--source", f"udp://127.0.0.1:{port}", "--control-socket", f"{folder}/control.sock"]
        command = [*program(), "run", *(demo_arguments or ["--demo"]), *where, *sinks]
        watched = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603  # ours
        group = sender.Group(1, RATE_HZ, 0.0, seconds + _FIRST_EVENT_S)
        sending = sender.start([port], [group])
        try:
            return _watch(watched, sending, seconds, shown(demo_arguments or ["--demo"], sinks))
        finally:
            for process in (sending, watched):
                if process.poll() is None:
                    process.kill()
                process.communicate()


def shown(demo_arguments: list[str], sinks: list[str]) -> str:
    """The command, as one would type it."""
    return " ".join(["cogd", "run", *demo_arguments, "--source", "udp://127.0.0.1:PORT", *sinks])


def program() -> list[str]:
    """The program as it was installed beside this interpreter; else the module."""
    beside = Path(sys.executable).with_name("cogd")
    found = shutil.which(str(beside))
    return [found] if found else [sys.executable, "-m", "cogd"]


def _watch(watched: subprocess.Popen[bytes], sending: subprocess.Popen[bytes], seconds: float, command: str) -> Idle:
    started_s = time.time()
    reader = _Reader()
    if watched.stdout is None:
        raise BenchError("the program's output is not read")
    reading = threading.Thread(target=reader.read, args=(watched.stdout,), daemon=True)
    reading.start()
    if not reader.first.wait(_FIRST_EVENT_S) or reader.first_s is None:
        raise BenchError(f"no event within {_FIRST_EVENT_S:g} s, or ever, of: {command}")
    settled_s = min(SETTLED_S, seconds / 3)
    begun_s, begun_cpu_s = time.monotonic(), cpu_s(watched.pid)
    highest_mib, at_settled_mib, after_mib = 0.0, None, 0.0
    while (passed_s := time.monotonic() - begun_s) < seconds:
        if watched.poll() is not None:
            raise BenchError(f"it ended with status {watched.returncode}: {command}")
        now_mib = rss_mib(watched.pid)
        highest_mib = max(highest_mib, now_mib)
        if passed_s >= settled_s:
            at_settled_mib = now_mib if at_settled_mib is None else at_settled_mib
            after_mib = max(after_mib, now_mib)
        time.sleep(_SAMPLE_S)
    share = (cpu_s(watched.pid) - begun_cpu_s) / (time.monotonic() - begun_s)
    sending.terminate()  # its report comes at its own end, which is too late
    watched.send_signal(signal.SIGTERM)
    reading.join(sender.BUCKET_S * 50)
    first_event_s = reader.first_s - (started_s + 19 / RATE_HZ)
    return Idle(
        command=command,
        seconds=seconds,
        first_event_s=round(first_event_s, 3),
        cpu=round(share, 4),
        rss_mib=round(highest_mib, 1),
        settled_s=round(settled_s, 1),
        growth_mib=round(max(0.0, after_mib - (at_settled_mib or after_mib)), 2),
        events=reader.events,
    )


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
