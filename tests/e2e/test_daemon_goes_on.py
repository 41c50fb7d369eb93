"""The installed daemon, in a process of its own, given everything that may go wrong on a port and in an apps folder."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from cogd import demo
from cogd.sim.simulator import Scene, Simulator
from cogd.wire import adr018

from .recording import NAME

BIN = Path(sys.executable).parent
PATIENCE_S = 20


@dataclass
class Running:
    """`cogd run` on a UDP port, and the events that it has said so far."""

    process: subprocess.Popen
    port: int
    events: list[dict] = field(default_factory=list)

    def until(self, condition) -> dict:
        """Read events until one meets the condition."""
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if condition(self.events[-1]):
                return self.events[-1]
        raise AssertionError(f"it ended without: {self.process.stderr.read()}")

    def named(self, name: str, **fields: object) -> dict:
        return self.until(lambda e: e["event"] == name and fields.items() <= e["fields"].items())

    def send(self, datagram: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(datagram, ("127.0.0.1", self.port))


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def start(tmp_path):
    started: list[Running] = []

    def run(*arguments: str) -> Running:
        port = free_port()
        process = subprocess.Popen(
            [BIN / "cogd", "run", "--demo", "--source", f"udp://127.0.0.1:{port}", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        started.append(Running(process, port))
        return started[-1]

    yield run
    for running in started:
        running.process.kill()
        running.process.communicate()


class Node:
    """A node that sends simulated frames in real time, or what it is told to."""

    def __init__(self, running: Running) -> None:
        self._running = running
        packets = Simulator(Scene(nodes=1, seed=11)).advance(400).packets
        self._frames = iter(adr018.decode(packet.datagram).iq for packet in packets)
        self.sequence = 0

    def frame(self, iq: np.ndarray | None = None) -> None:
        self.sequence += 1
        iq = next(self._frames) if iq is None else iq
        self._running.send(adr018.encode(node_id=1, sequence=self.sequence, iq=iq, rssi_dbm=-50, noise_floor_dbm=-92))
        time.sleep(0.025)  # the pace of a node at 40 Hz; frame time is arrival time

    def frames(self, count: int) -> None:
        for _ in range(count):
            self.frame()


def wide(iq: np.ndarray) -> np.ndarray:
    """The same tones as a 128-bin frame."""
    return np.concatenate([np.zeros((64, 2), np.int8), iq])


def test_a_node_that_freezes_changes_its_width_and_starts_again_is_told_and_heard_again(start):
    running = start()
    running.named("source.state", state="up")
    node = Node(running)
    node.frames(25)
    running.named("link.state", state="live")
    running.named("pose.frame", node="udp/1")

    frozen = next(node._frames)
    for _ in range(12):
        node.frame(frozen)
    running.named("link.state", state="frozen", previous="live")
    node.frames(25)
    running.named("link.state", state="live", previous="frozen")
    running.named("pose.frame")

    for _ in range(45):
        node.frame(wide(next(node._frames)))
    assert running.named("window.reset")["fields"]["reason"] == "width_changed"
    running.named("pose.frame")

    node.sequence = 0
    for _ in range(30):
        node.frame(wide(next(node._frames)))
    assert running.named("window.reset")["fields"]["reason"] == "restarted"
    running.named("pose.frame")

    running.process.send_signal(signal.SIGTERM)
    stopped_s = time.monotonic()
    stopped = running.named("run.stopped")["fields"]
    assert running.process.wait(PATIENCE_S) == 0
    assert time.monotonic() - stopped_s < 2
    assert stopped["nodes"]["udp/1"]["dropped"]["frozen"] > 0
    assert stopped["nodes"]["udp/1"]["dropped"]["other_kind"] > 0
    assert not stopped["dropped"]


def test_every_kind_of_datagram_is_counted_and_hurts_nobody(start):
    running = start()
    running.named("source.state", state="up")
    good = adr018.encode(node_id=9, sequence=1, iq=np.ones((64, 2), np.int8), rssi_dbm=-50, noise_floor_dbm=-92)
    bad = [good[:length] for length in range(len(good))] + [bytes(64), b"\xff" * 200, good[:4] + b"\xff" * 60]
    vitals = bytes.fromhex("020011c50105aa0580fc0a00d00100000000003fcdcc4c3f40e2010000000000")
    for datagram in [*bad, vitals, *(vitals[:length] for length in range(4, 32))]:
        running.send(datagram)
    node = Node(running)
    node.frames(25)
    running.named("pose.frame", node="udp/1")
    running.process.send_signal(signal.SIGINT)
    stopped = running.named("run.stopped")["fields"]
    assert running.process.wait(PATIENCE_S) == 0
    assert stopped["reason"] == "SIGINT"
    counts = stopped["sources"]["udp"]
    assert counts["vitals"] == 1
    assert counts["malformed"] == len(bad) + 28  # an empty datagram counts too
    assert set(stopped["nodes"]) == {"udp/1"}


def install_demo(apps):
    for bundle in demo.archives():
        command = [BIN / "cogd", "install", bundle, "--apps-dir", apps, "--trust", demo.PUBLIC_KEY]
        subprocess.run(command, check=True, capture_output=True)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_app_is_told_and_the_good_ones_run(start, tmp_path):
    install_demo(tmp_path / "apps")
    flip_a_bit(tmp_path / "apps" / "demo-pose" / "current" / "model.onnx")
    running = start("--apps-dir", str(tmp_path / "apps"))
    first = running.until(lambda event: True)
    assert first["event"] == "run.started"
    assert [app["id"] for app in first["fields"]["apps"]] == ["demo-count", "demo-motion"]
    assert running.named("app.rejected")["fields"]["code"] == "bad-digest"
    Node(running).frames(80)
    running.named("motion")


def test_no_app_that_can_run_ends_with_the_apps_own_error(tmp_path):
    install_demo(tmp_path)
    for app in ("demo-count", "demo-motion"):
        shutil.rmtree(tmp_path / app)
    flip_a_bit(tmp_path / "demo-pose" / "current" / "model.onnx")
    done = subprocess.run(
        [BIN / "cogd", "run", "--demo", "--apps-dir", tmp_path, "--source", "sim:"],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 15
    assert "bad-digest" in done.stderr
    assert not done.stdout


def test_a_slow_reader_of_a_replay_gets_every_event(data, tmp_path):
    """More events than the queue and the pipe hold; who reads them takes its time."""
    command = [BIN / "cogd", "run", "--demo", "--source", f"replay:{data / NAME}?speed=max"]
    slow = "import sys, time\nfor line in sys.stdin:\n    time.sleep(0.0005)\n    print(line, end='')\n"
    with subprocess.Popen(command, stdout=subprocess.PIPE) as daemon:
        read = subprocess.run([sys.executable, "-c", slow], stdin=daemon.stdout, capture_output=True, check=True)
    events = [json.loads(line) for line in read.stdout.splitlines()]
    assert events[-1]["event"] == "run.stopped"
    assert not events[-1]["fields"]["dropped"]
    inferred = [event["fields"]["app"] for event in events if event["event"] in {"count", "motion", "pose.frame"}]
    assert {app: inferred.count(app) for app in set(inferred)} == events[-1]["fields"]["inferences"]
    assert len(inferred) > 7000


@pytest.mark.parametrize("verb", [["version"], ["run", "--demo", "--duration", "5"], ["health", "--demo"]])
@pytest.mark.parametrize("output", [">&-", ">/dev/full"])
def test_output_that_can_not_be_written_is_an_error_not_a_traceback(verb, output):
    command = f"{BIN / 'cogd'} {' '.join(verb)} {output}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False, text=True, timeout=PATIENCE_S)
    assert done.returncode == 5
    assert "cogd: sink: " in done.stderr
    assert "Traceback" not in done.stderr
