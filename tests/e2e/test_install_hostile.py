"""A model that does what no exception reports, at `cogd install` and `cogd health`: refused, and nothing is left."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from cogd.bundle.keys import save_public
from tests.bundle.apps import installed
from tests.bundle.factory import KEY
from tests.runtime.factory import files_of, runnable_bundle
from tests.runtime.hostile import hostile_bundle, plugin_folder
from tests.runtime.test_golden_process import endless_loop, processes_with


class Machine:
    def __init__(self, root):
        self.root, self.apps, self.mark = root, root / "apps", f"mark-{root.name}"
        (root / "trust.d").mkdir()
        save_public(root / "trust.d" / "publisher.pub", KEY.public)
        path = os.pathsep.join([str(plugin_folder(root / "hostile")), os.environ.get("PYTHONPATH", "")])
        self.folders = ["--apps-dir", str(self.apps), "--trust-dir", str(root / "trust.d")]
        self._environ = {**os.environ, "PYTHONPATH": path, "HOSTILE_MARK": self.mark}

    def install(self, backend: str, *words: str) -> subprocess.Popen:
        bundle = hostile_bundle(backend).save(self.root / "bundle.tar")
        return self.run("install", str(bundle), *self.folders, *words)

    def run(self, *words: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "cogd", *words]
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


@pytest.mark.parametrize("backend", ["run-segfault", "run-memory", "load-abort"])
def test_health_fails_for_one_app_and_the_others_are_checked(machine, backend):
    for made in (runnable_bundle("count"), hostile_bundle(backend), runnable_bundle("motion")):
        installed(machine.apps, made)
    process = machine.run("health", *machine.folders)
    out, err = process.communicate(timeout=60)
    events = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 1, err
    assert [(event["event"], event["fields"]["app"]) for event in events] == [
        ("health.ok", "count-app"),
        ("health.ok", "motion-app"),
        ("health.failed", "pose-app"),
    ]
    assert events[2]["fields"]["code"] == "bad-model"
    assert {event["fields"]["way"] for event in events} == {"ordinary"}


def test_health_of_a_model_that_loops_ends_within_30_s(machine):
    installed(machine.apps, runnable_bundle("count"))
    installed(machine.apps, runnable_bundle("pose", files_of("pose", **{"model.onnx": endless_loop()})))
    started_s = time.monotonic()
    out, err = machine.run("health", *machine.folders).communicate(timeout=60)
    assert time.monotonic() - started_s < 30
    events = {event["fields"]["app"]: event for event in map(json.loads, out.splitlines())}
    assert {app: event["event"] for app, event in events.items()} == {
        "count-app": "health.ok",
        "pose-app": "health.failed",
    }, err
    assert "may loop" in events["count-app"]["fields"]["fallback_reason"]
    assert "was not loaded within 20 s" in events["pose-app"]["fields"]["message"]
