"""A device for tests: its folders, and real daemons and commands on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from cogd.bundle.keys import save_public
from cogd.bundle.store import Store
from tests.bundle.apps import installed
from tests.bundle.factory import KEY
from tests.runtime.factory import runnable_bundle

if TYPE_CHECKING:
    import signal

BIN = Path(sys.executable).parent
APP = "count-app"
PATIENCE_S = 60


class Device:
    def __init__(self, root: Path) -> None:
        self.root, self.apps, self.trust, self.socket = root, root / "apps", root / "trust", root / "socket"
        self.daemons: list[Daemon] = []
        self.state = root / "state"
        self._state = {"COGD_STATE_DIR": str(self.state)}
        self.trust.mkdir()
        self.state.mkdir()
        save_public(self.trust / "publisher.pub", KEY.public)

    def put(self, version: str, **changes: object) -> None:
        """A version in its place, without proof and without telling anybody."""
        installed(self.apps, runnable_bundle("count", version=version, **changes))

    def command(self, verb: str, *words: object, trust: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run `cogd VERB WORDS`."""
        flags = ["--apps-dir", self.apps, "--trust-dir", trust or self.trust]
        environment = {**os.environ, **self._state, "COGD_CONTROL_SOCKET": str(self.socket)}
        command = [str(word) for word in (BIN / "cogd", verb, *words, *flags)]
        return subprocess.run(command, env=environment, capture_output=True, check=False, text=True, timeout=PATIENCE_S)

    def install(self, version: str, *words: object, **changes: object) -> subprocess.CompletedProcess[str]:
        """Run `cogd install` on a bundle that is made for it."""
        bundle = runnable_bundle("count", version=version, **changes).save(self.root / f"{version}.tar")
        return self.command("install", bundle, *words)

    def daemon(self, **settings: str) -> Daemon:
        """A daemon that listens to one simulated node; its canary is long unless it is told otherwise."""
        daemon = self.start(**settings)
        daemon.started = daemon.until("run.started")["apps"][0]["version"]
        return daemon

    def start(self, **settings: str) -> Daemon:
        """A daemon of which it is not known whether it will run."""
        flags = ["--apps-dir", self.apps, "--trust-dir", self.trust, "--control-socket", self.socket]
        environment = {**os.environ, **self._state, "COGD_SOURCES": "sim:?nodes=1&seed=3", "COGD_CANARY_S": "600"}
        environment |= settings
        self.daemons.append(Daemon([BIN / "cogd", "run", *flags], environment))
        return self.daemons[-1]

    @property
    def version(self) -> str | None:
        """The version that is installed."""
        record = Store(self.apps).installed(APP)
        return record.version if record is not None else None


class Daemon:
    """A real daemon; `started` is the version that it began with, where it began."""

    started: str

    def __init__(self, command: list, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)

    def until(self, name: str) -> dict:
        """The fields of the next event of this name; the others are passed over."""
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == name:
                return event["fields"]
        raise AssertionError(f"no {name}: {self.process.stderr.read().decode()}")

    def end(self, number: signal.Signals) -> list[dict]:
        """The events that were left, after a signal."""
        watchdog = threading.Timer(PATIENCE_S, self.process.kill)
        watchdog.start()
        self.process.send_signal(number)
        out = self.process.stdout.read()  # what was read ahead as well, which `communicate` would leave out
        self.process.wait()
        watchdog.cancel()
        return [json.loads(line) for line in out.splitlines() if line.endswith(b"}")]
