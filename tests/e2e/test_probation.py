"""A version is on trial until a daemon has seen it work, over the ends of daemons too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cogd.bundle.store import Store
from tests.bundle.apps import installed
from tests.runtime.factory import runnable_bundle

BIN = Path(sys.executable).parent
APP = "count-app"
PATIENCE_S = 60


class Device:
    def __init__(self, root: Path) -> None:
        from cogd.bundle.keys import save_public
        from tests.bundle.factory import KEY

        self.apps, self.trust, self.socket = root / "apps", root / "trust", root / "socket"
        self.daemons: list[Daemon] = []
        self.trust.mkdir()
        save_public(self.trust / "publisher.pub", KEY.public)

    def install(self, version: str) -> None:
        installed(self.apps, runnable_bundle("count", version=version))

    def daemon(self, **settings: str) -> Daemon:
        flags = ["--apps-dir", self.apps, "--trust-dir", self.trust, "--control-socket", self.socket]
        environment = {**os.environ, "COGD_SOURCES": "sim:?nodes=1&seed=3", "COGD_CANARY_S": "600", **settings}
        self.daemons.append(Daemon([BIN / "cogd", "run", *flags], environment))
        return self.daemons[-1]

    @property
    def version(self) -> str:
        return Store(self.apps).installed(APP).version


class Daemon:
    """A real daemon; `started` is the version that it began with."""

    def __init__(self, command: list, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        self.started = self.until("run.started")["apps"][0]["version"]

    def until(self, name: str) -> dict:
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == name:
                return event["fields"]
        raise AssertionError(f"no {name}: {self.process.stderr.read().decode()}")

    def end(self, number: signal.Signals) -> list[dict]:
        """The events that were left, after a signal."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        return [json.loads(line) for line in out.splitlines() if line.endswith(b"}")]


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    for daemon in device.daemons:
        daemon.process.kill()
        daemon.process.communicate()


def test_a_version_over_which_daemons_die_is_taken_back(device):
    device.install("1.0.0")
    device.install("2.0.0")
    for _ in range(3):
        daemon = device.daemon()
        assert daemon.started == "1.0.0"
        assert daemon.until("app.updated")["version"] == "2.0.0"
        daemon.until("count")
        daemon.end(signal.SIGKILL)
        assert device.version == "2.0.0"
    daemon = device.daemon()
    assert daemon.started == "1.0.0"
    back = daemon.until("app.rolled_back")
    assert (back["version"], back["to_version"], back["kept"]) == ("2.0.0", "1.0.0", True)
    assert "3 daemons have died while they tried it" in back["reason"]
    assert daemon.until("count")["version"] == "1.0.0"
    daemon.end(signal.SIGTERM)
    assert device.version == "1.0.0"


def test_daemons_that_end_as_they_should_do_not_count(device):
    device.install("1.0.0")
    device.install("2.0.0")
    for _ in range(4):
        daemon = device.daemon()
        assert daemon.until("app.updated")["version"] == "2.0.0"
        assert daemon.end(signal.SIGTERM)[-1]["event"] == "run.stopped"
    assert device.version == "2.0.0"


def test_a_proven_version_is_what_daemons_begin_with(device):
    device.install("1.0.0")
    device.install("2.0.0")
    daemon = device.daemon(COGD_CANARY_S="0.2", COGD_LOG_LEVEL="info")
    assert daemon.started == "1.0.0"
    daemon.until("app.updated")
    for line in daemon.process.stderr:
        if json.loads(line)["event"] == "new version confirmed":
            break
    daemon.end(signal.SIGTERM)
    daemon = device.daemon()
    assert daemon.started == "2.0.0"
    assert not [event for event in daemon.end(signal.SIGTERM) if event["event"].startswith("app.")]


def test_looking_at_an_app_does_not_count(device):
    device.install("1.0.0")
    device.install("2.0.0")
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in device.apps.rglob("*"))
    for verb in ("health", "list"):
        command = [BIN / "cogd", verb, "--apps-dir", device.apps, "--trust-dir", device.trust]
        for _ in range(4):
            subprocess.run(command, check=True, capture_output=True)
    assert sorted((str(path), path.lstat().st_mtime_ns) for path in device.apps.rglob("*")) == before
