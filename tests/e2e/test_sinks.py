"""The installed daemon with sinks that work, break, hang and come back; disks, pipes and sockets are real."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
DOC = Path(__file__).parents[2] / "docs" / "plugins.md"
PATIENCE_S = 20.0
SOURCE = "sim:?nodes=2&rate=25&seed=3"

PLUGIN = """
import asyncio, contextlib

class UnfitSink:
    def __init__(self, name, url, options):
        self.name, self.how = name, url.netloc

    async def run(self, feed):
        await feed.get_many()
        if self.how == "raises":
            raise ZeroDivisionError("a bug")
        if self.how == "returns":
            return
        while True:
            with contextlib.suppress(*([asyncio.CancelledError] if self.how == "stubborn" else [])):
                await asyncio.Event().wait()
"""


@pytest.fixture
def plugins(tmp_path):
    """A folder with a distribution: the sinks `unfit` and, as docs/plugins.md has it, `lines`."""
    folder = tmp_path / "plugins"
    info = folder / "unfit-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: unfit\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cogd.sinks]\nunfit = unfit_sink:UnfitSink\nlines = lines_sink:LinesSink\n")
    (folder / "unfit_sink.py").write_text(PLUGIN)
    text = DOC.read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(import asyncio\n.*?class LinesSink.*?)^```", text, re.MULTILINE | re.DOTALL)
    (folder / "lines_sink.py").write_text(code)
    return folder


@pytest.fixture
def start(tmp_path, plugins):
    started: list[subprocess.Popen] = []

    def run(*words: str, stdout=subprocess.PIPE) -> subprocess.Popen:
        command = [BIN / "cogd", "run", "--demo", "--source", SOURCE, *words]
        environment = {**os.environ, "PYTHONPATH": str(plugins)}
        process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, cwd=tmp_path, env=environment)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def disk(tmp_path):
    """A small file system in memory, with a file that can be taken away."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "cogd-test", str(path)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    (path / "filler").write_bytes(bytes(8 * 1024 * 1024 - 64 * 1024))
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def log_until(process: subprocess.Popen, event: str) -> dict:
    """Read the log up to a line."""
    for line in process.stderr:
        if (entry := json.loads(line))["event"] == event:
            return entry["fields"]
    raise AssertionError(f"it ended without {event!r}")


def end(process: subprocess.Popen) -> tuple[int, str]:
    """Stop it; gives the exit status and what it logged meanwhile."""
    process.send_signal(signal.SIGTERM)
    began_s = time.monotonic()
    status = process.wait(PATIENCE_S)
    assert time.monotonic() - began_s < 2.0
    return status, process.stderr.read().decode()


def events_of(text: bytes) -> list[dict]:
    assert text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


def assert_complete(events: list[dict]) -> None:
    """Nothing was lost, doubled or cut."""
    assert (events[0]["event"], events[-1]["event"]) == ("run.started", "run.stopped")
    stopped = events[-1]["fields"]
    assert stopped["dropped"] == {}
    names = {"demo-pose": "pose.frame", "demo-count": "count", "demo-motion": "motion"}
    for app, name in names.items():
        assert len([event for event in events if event["event"] == name]) == stopped["inferences"][app]
    assert stopped["inferences"]["demo-pose"] > 0


def test_a_disk_that_is_full_for_a_while_costs_no_event(start, disk):
    with (disk / "events").open("wb") as file:
        process = start(stdout=file)
    assert log_until(process, "sink failed") == {"sink": "stdout", "error": "No space left on device"}
    events_of((disk / "events").read_bytes())  # all lines are whole
    time.sleep(1.0)
    (disk / "filler").unlink()
    assert log_until(process, "sink works again") == {"sink": "stdout", "events_lost": 0}
    assert end(process) == (0, "")
    assert_complete(events_of((disk / "events").read_bytes()))


def test_a_disk_that_gets_room_only_when_the_daemon_ends_is_tried_once_more(start, disk):
    with (disk / "events").open("wb") as file:
        process = start(stdout=file)
    log_until(process, "sink failed")
    time.sleep(3.0)  # the next try is seconds away
    (disk / "filler").unlink()
    assert end(process)[0] == 0
    assert_complete(events_of((disk / "events").read_bytes()))


def test_a_disk_that_stays_full_is_a_failure_and_has_whole_lines(start, disk):
    with (disk / "events").open("wb") as file:
        process = start("--sink", "stdout:", "--sink", "metrics://127.0.0.1:0", stdout=file)
    log_until(process, "sink failed")
    time.sleep(1.0)
    status, log = end(process)
    assert status == 5
    assert re.search(r"cogd: sink: the sink stdout lost \d+ events: No space left on device", log)
    assert "Traceback" not in log
    last = events_of((disk / "events").read_bytes())[-1]
    assert last["event"] != "run.stopped" or last["fields"]["dropped"]["sink_failed"] > 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def counted(port: int) -> float:
    """Events that the metrics sink has counted."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return sum(map(float, re.findall(r"^cogd_events_total\{.*\} (\S+)$", text, re.MULTILINE)))


@pytest.mark.parametrize("how", ["hangs", "raises", "returns", "stubborn"])
def test_sinks_of_others_that_are_unfit_cost_no_event_and_no_time(start, how):
    process = start("--sink", f"unfit://{how}", "--sink", "stdout:", "--duration", "60")
    lines = []
    for line in process.stdout:
        lines.append(line)
        if len(lines) == 150:
            break
    process.send_signal(signal.SIGTERM)
    began_s = time.monotonic()
    lines += process.stdout.readlines()
    assert process.wait(PATIENCE_S) == (0 if how in {"hangs", "stubborn"} else 5)
    assert time.monotonic() - began_s < 2.0
    events = events_of(b"".join(lines))
    dropped = events[-1]["fields"].pop("dropped")
    assert set(dropped) == {"sink_overload" if how in {"hangs", "stubborn"} else "sink_failed"}
    assert_complete([*events[:-1], {**events[-1], "fields": {**events[-1]["fields"], "dropped": {}}}])


def test_a_reader_of_a_fifo_that_stops_reading_stops_nobody_else(start, tmp_path):
    fifo, port = tmp_path / "fifo", free_port()
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with fifo.open("wb") as writing:
        process = start("--sink", "stdout:", "--sink", f"metrics://127.0.0.1:{port}", stdout=writing)
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        try:
            if counted(port) > 300:  # some 200 fill the pipe
                break
        except OSError:
            pass
        time.sleep(0.2)
    else:
        raise AssertionError("the metrics stand still")
    status, log = end(process)
    assert status == 0
    assert "events lost: the sink did not take them in time" in log
    os.close(reading)


class Broker:
    """A server that reads lines; hangs up on the first client after some."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.clients = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            client, _ = self._server.accept()
            self.clients += 1
            with client, client.makefile("rb") as file:
                for number, line in enumerate(file):
                    self.lines.append(line)
                    if self.clients == 1 and number == 30:
                        break


def test_a_connection_that_is_lost_is_made_again_and_gets_the_state(start):
    broker = Broker()
    process = start("--sink", f"lines://127.0.0.1:{broker.port}#hall", "--sink", "stdout:", stdout=subprocess.DEVNULL)
    failed = log_until(process, "sink failed")
    assert failed["sink"] == "hall"
    log_until(process, "sink works again")
    time.sleep(1.0)
    assert end(process) == (0, "")
    events = [json.loads(line) for line in broker.lines]
    assert broker.clients == 2
    again = events[31]
    assert again["event"] == "run.started"  # the state comes first
    assert events[-1]["event"] == "run.stopped"
    assert events[-1]["fields"]["dropped"] == {}
