"""An app that kills the daemon is left out after three deaths; the others run, and nobody has to do anything."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.bundle.apps import installed
from tests.runtime.factory import runnable_bundle
from tests.runtime.hostile import hostile_bundle, plugin_folder


@pytest.fixture
def hostile(device, tmp_path, monkeypatch):
    """A device with the hostile distribution and one good app."""
    path = os.pathsep.join([str(plugin_folder(tmp_path / "hostile")), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    device.put("1.0.0")
    return device


def crash(device) -> None:
    """A daemon that ends by itself, without `run.stopped`."""
    process = device.start().process
    out, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGSEGV
    assert b"run.stopped" not in out


@pytest.mark.parametrize("backend", ["late-segfault", "load-segfault"])
def test_an_app_that_crashes_the_daemon_is_left_out_after_three_starts(hostile, backend):
    made = hostile_bundle(backend)
    installed(hostile.apps, made)
    for _ in range(3):
        crash(hostile)
    for _ in range(2):
        daemon = hostile.start()
        assert [app["id"] for app in daemon.until("run.started")["apps"]] == ["count-app"]
        rejected = daemon.until("app.rejected")
        assert (rejected["path"], rejected["code"]) == ("pose-app", "bad-model")
        assert "is left out: 3 starts of the daemon ended without run.stopped over it" in rejected["message"]
        assert "cogd install" in rejected["hint"]
        assert daemon.until("count")["app"] == "count-app"
        assert daemon.end(signal.SIGTERM)[-1]["event"] == "run.stopped"
    installed(hostile.apps, runnable_bundle(version="2.0.0"))  # a mended version runs at once
    daemon = hostile.start()
    updated = daemon.until("app.updated")
    assert (updated["app"], updated["version"], updated["previous_version"]) == ("pose-app", "2.0.0", None)


def test_an_app_alone_leaves_nothing_to_run_and_the_daemon_says_so(hostile):
    for path in hostile.apps.iterdir():
        if path.name == "count-app":
            path.rename(hostile.root / "elsewhere")
    installed(hostile.apps, hostile_bundle("late-segfault"))
    for _ in range(3):
        crash(hostile)
    process = hostile.start().process
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (18, b"")
    assert b"pose-app 1.2.3: is left out" in err


def test_an_installation_of_the_same_version_tries_it_again(hostile):
    for _ in range(3):
        daemon = hostile.daemon()
        daemon.until("count")
        daemon.end(signal.SIGKILL)
    process = hostile.start().process
    assert process.wait(60) == 18
    made = hostile.install("1.0.0")
    assert made.returncode == 0, made.stderr
    assert hostile.daemon().started == "1.0.0"


def test_a_stop_while_an_app_is_loaded_is_no_death(hostile):
    installed(hostile.apps, hostile_bundle("load-loop"))
    for _ in range(3):
        daemon = hostile.start()
        while b'"loading":["sha256' not in b"".join(path.read_bytes() for path in hostile.state.glob("crashes-*.json")):
            assert daemon.process.poll() is None
        daemon.process.terminate()
        assert daemon.process.wait(5) == -signal.SIGTERM
    (note,) = hostile.state.glob("crashes-*.json")
    assert b'"deaths":{}' in note.read_bytes()


def test_an_app_that_hangs_keeps_the_others_from_nothing(hostile):
    installed(hostile.apps, hostile_bundle("load-spin", id="a-spinner"))
    daemon = hostile.start()
    started = daemon.until("run.started")
    assert [app["id"] for app in started["apps"]] == ["count-app"]
    assert daemon.until("count")["app"] == "count-app"
    asked_s = time.monotonic()
    assert daemon.end(signal.SIGTERM)[-1]["event"] == "run.stopped"
    assert time.monotonic() - asked_s < 2
    assert daemon.process.returncode == 0
