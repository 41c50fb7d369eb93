"""`cogd health --live` against real daemons, and against what is none."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cogd.control.wire import MAX_ANSWER_BYTES, header
from cogd.probe import live
from tests.cli.test_verbs import wrong_golden

BIN = Path(sys.executable).parent
PATIENCE_S = 30.0


class Daemons:
    def __init__(self, root: Path) -> None:
        self.socket = root / "control.sock"
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *words: object) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COGD_")}
        command = [str(word) for word in (BIN / "cogd", "run", *words, "--control-socket", self.socket)]
        self.running.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
        until_s = time.monotonic() + PATIENCE_S
        while not self.socket.exists():
            assert time.monotonic() < until_s
            time.sleep(0.02)

    def ask(self, *words: str) -> tuple[int, list[dict]]:
        command = [str(word) for word in (BIN / "cogd", "health", "--live", *words, "--control-socket", self.socket)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE_S)
        assert done.stderr == b""
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    def ask_until(self, status: int) -> list[dict]:
        until_s = time.monotonic() + PATIENCE_S
        while (answer := self.ask())[0] != status:
            assert time.monotonic() < until_s, answer
            time.sleep(0.1)
        return answer[1]


@pytest.fixture
def daemons(tmp_path):
    daemons = Daemons(tmp_path)
    yield daemons
    for process in daemons.running:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_daemon_that_is_well_says_so(daemons):
    daemons.start("--demo")
    *results, live = daemons.ask_until(0)
    assert [(r["event"], r["fields"]["app"], r["fields"]["way"]) for r in results] == [
        ("health.ok", "demo-count", "live"),
        ("health.ok", "demo-motion", "live"),
        ("health.ok", "demo-pose", "live"),
    ]
    assert live["fields"]["pid"] == daemons.running[0].pid
    assert live["fields"]["sources"] == {"sim": {"state": "up", "reason": None}}
    assert live["fields"]["nodes"]
    status, (result, _) = daemons.ask("demo-pose")
    assert (status, result["fields"]["app"]) == (0, "demo-pose")
    status, (result, _) = daemons.ask("tarot")
    assert (status, result["fields"]["code"]) == (1, "no-app")


def test_a_source_from_which_nothing_comes_is_a_fault_and_is_named(daemons):
    daemons.start("--demo", "--source", "udp://127.0.0.1:0")
    status, (*results, live) = daemons.ask()
    assert (status, {r["event"] for r in results}) == (1, {"health.ok"})
    assert not live["fields"]["healthy"]
    assert live["fields"]["nodes"] == {}
    assert live["fields"]["reasons"] in (["no node was heard yet"], ["source udp: no frame yet"])


def test_where_no_daemon_listens_the_event_says_so(daemons):
    status, (failed,) = daemons.ask()
    assert (status, failed["event"], failed["fields"]["code"]) == (1, "health.failed", "control")
    assert "no daemon listens" in failed["fields"]["message"]
    assert (failed["fields"]["way"], failed["fields"]["app"]) == ("live", None)
    daemons.socket.write_text("")
    assert daemons.ask()[0] == 1


def test_the_socket_is_that_of_the_settings(cogd, tmp_path, monkeypatch):
    monkeypatch.setenv("COGD_CONTROL_SOCKET", str(tmp_path / "elsewhere"))
    result = cogd("health", "--live")
    assert (result.status, f"no daemon listens on {tmp_path / 'elsewhere'}" in result.out) == (1, True)


class Impostor:
    """Answers every request on a socket with the same bytes."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self.asked: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._answer = answer
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                self.asked.append(connection.recv(4096))
                with contextlib.suppress(OSError):  # who asked may have heard enough
                    connection.sendall(self._answer)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "hung up without an answer"),
        (b"hello\n", "is not JSON"),
        (header(healthy=True, size=5) + b"1234", "cut short"),
        (header(healthy=True, size=5) + b"123456", "cut short"),
        (b'{"ok": true, "healthy": true, "bytes": 0}\n', "not event lines"),
        (b"x" * (MAX_ANSWER_BYTES + 1), "too long"),
        (b'{"ok":false,"code":"control","message":"bad request: x","hint":"upgrade"}\n', "bad request: x"),
    ],
)
def test_what_is_no_answer_is_a_fault(cogd, tmp_path, answer, message):
    Impostor(tmp_path / "s", answer)
    result = cogd("health", "--live", "--control-socket", tmp_path / "s")
    (failed,) = [json.loads(line) for line in result.out.splitlines()]
    assert (result.status, failed["event"], failed["fields"]["code"]) == (1, "health.failed", "control")
    assert message in failed["fields"]["message"]


def test_the_answer_is_printed_as_it_comes(cogd, tmp_path):
    for number, healthy in enumerate((True, False)):
        lines = b'{"event":"health.live"}\n' * 10_000
        impostor = Impostor(tmp_path / str(number), header(healthy=healthy, size=len(lines)) + lines)
        result = cogd("health", "pose-app", "--live", "--control-socket", tmp_path / str(number))
        assert (result.status, result.out.encode()) == (0 if healthy else 1, lines)
        assert json.loads(impostor.asked[0]) == {"command": "health", "app": "pose-app"}


def test_whoever_does_not_answer_is_asked_once_and_not_waited_for_long(cogd, tmp_path, monkeypatch):
    monkeypatch.setattr(live, "TIMEOUT_S", 0.05)
    monkeypatch.setattr("cogd.cli.health._LEISURE_S", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        result = cogd("health", "--live", "--control-socket", tmp_path / "s")
        silent.setblocking(False)
        asked = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                silent.accept()[0].close()
                asked += 1
    assert (result.status, asked) == (1, 2)  # for its health, and whether it is there
    assert "no answer within 0.05 s" in result.out


@pytest.mark.parametrize("app", ['x"y', "ä", "x y"])
def test_what_is_no_apps_id_is_not_asked_for(cogd, tmp_path, app):
    impostor = Impostor(tmp_path / "s", b"")
    assert cogd("health", app, "--live", "--control-socket", tmp_path / "s").status == 1
    assert not any(app.encode() in asked for asked in impostor.asked)


def test_both_ways_at_once_are_refused(cogd):
    assert cogd("health", "--live", "--ordinary").status == 2


def test_an_app_that_fails_later_is_found_where_it_runs(daemons, home):
    """The daemon would not begin with it; the cold way says why."""
    home.install("pose", files=wrong_golden())
    home.install("count")
    daemons.start(*home.flags, "--source", "sim:?nodes=1&seed=3")
    assert [r["fields"].get("app") for r in daemons.ask_until(0)] == ["count-app", None]
