"""`cogd install` of a model that does what no exception reports: refused in time, ended by a signal, nothing left."""

import os
import signal
import subprocess
import sys
import time

import pytest

from cogd.bundle.keys import save_public
from tests.bundle.factory import KEY
from tests.runtime.hostile import hostile_bundle, plugin_folder
from tests.runtime.test_golden_process import processes_with


class Machine:
    def __init__(self, root):
        self.root, self.apps, self.mark = root, root / "apps", f"mark-{root.name}"
        (root / "trust.d").mkdir()
        save_public(root / "trust.d" / "publisher.pub", KEY.public)
        path = os.pathsep.join([str(plugin_folder(root / "hostile")), os.environ.get("PYTHONPATH", "")])
        self._environ = {**os.environ, "PYTHONPATH": path, "HOSTILE_MARK": self.mark}

    def install(self, backend: str, *words: str) -> subprocess.Popen:
        bundle = hostile_bundle(backend).save(self.root / "bundle.tar")
        folders = ["--apps-dir", str(self.apps), "--trust-dir", str(self.root / "trust.d")]
        command = [sys.executable, "-m", "cogd", "install", str(bundle), *folders, *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=self._environ, text=True, **pipes)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_a_model_that_aborts_is_a_bad_model(machine, words):
    process = machine.install("run-abort", *words)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (18, "")
    assert "cogd: bad-model: pose-app: crashed the process that checked it (SIGABRT)" in err
    assert "cogd: hint: nothing was changed" in err
    assert not (machine.apps / "pose-app").exists()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_a_signal_ends_it_at_once(machine, number, status, words):
    process = machine.install("run-child", *words)
    until_s = time.monotonic() + 30
    while not processes_with(machine.mark):
        assert time.monotonic() < until_s
        time.sleep(0.05)
    sent_s = time.monotonic()
    process.send_signal(number)
    out, _ = process.communicate(timeout=10)
    assert time.monotonic() - sent_s < 2
    assert (process.returncode, out) == (status, "")
    assert not processes_with(machine.mark)
    assert not (machine.apps / "pose-app").exists()
