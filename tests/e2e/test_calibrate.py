"""The installed daemon watches a simulated room, and what it measured is there after a restart."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pytest

from tests.bundle.apps import installed
from tests.runtime.factory import motion_bundle

from .device import BIN, PATIENCE_S

QUIET = "sim:?nodes=2&persons=0&seed=3&rate=40"


@pytest.fixture
def motion(device, monkeypatch):
    """A device with the app `motion-app`, and what starts its daemon."""
    monkeypatch.setenv("COGD_STATE_DIR", str(device.root / "state"))
    monkeypatch.setenv("COGD_CONTROL_SOCKET", str(device.socket))

    def start(version: str = "1.0.0", source: str = QUIET, **bundle):
        installed(device.apps, motion_bundle(version, **bundle))
        return device.daemon(COGD_SOURCES=source, COGD_CANARY_S="0.5")

    return start


def calibrate(*words: object) -> subprocess.CompletedProcess[str]:
    command = [str(word) for word in (BIN / "cogd", "calibrate", *words)]
    return subprocess.run(command, capture_output=True, check=False, text=True, timeout=PATIENCE_S)


def fields_of(events, name: str) -> list[dict]:
    return [event["fields"] for event in events if event["event"] == name]


def wait_for_it(waiting: subprocess.Popen) -> None:
    """Until the daemon is at the calibration that a process asked for."""
    while "under way" not in calibrate("--forget", "sim/9").stderr:
        assert waiting.poll() is None


def test_a_quiet_room_is_measured_used_kept_and_forgotten(device, motion):
    daemon = motion(level=-3.0)
    first = daemon.until("motion")
    assert (first["baseline"], first["baseline_time"], first["moving"]) == (None, None, False)
    assert (first["window"]["frames"], first["window"]["span_s"]) == (4, 0.2)
    done = calibrate("--seconds", "2", "--json")
    assert done.returncode == 0, done.stderr
    measured = {one["node"]: one for one in json.loads(done.stdout)}
    assert set(measured) == {"sim/1", "sim/2"}
    assert all(one["n"] >= 30 and one["origin"] == "simulated" for one in measured.values())
    events = daemon.end(signal.SIGTERM)
    assert len(fields_of(events, "calibration.done")) == 2
    after = fields_of(events, "motion")[-1]
    assert (after["baseline"], after["baseline_time"]) == (
        measured[after["node"]]["score"],
        measured[after["node"]]["time"],
    )

    daemon = motion(level=-3.0)
    again = daemon.until("motion")
    assert again["baseline"] == measured[again["node"]]["score"]
    assert [json.loads(calibrate("--list", "--json").stdout)[0][key] for key in ("node", "used")] == ["sim/1", True]
    forgotten = calibrate("--forget", "sim/1")
    assert (forgotten.returncode, forgotten.stdout.endswith("forgotten\n")) == (0, True)
    events = daemon.end(signal.SIGTERM)
    assert [fields["node"] for fields in fields_of(events, "calibration.forgotten")] == ["sim/1"]
    assert [one["node"] for one in json.loads((device.root / "state" / "baselines.json").read_text())["baselines"]] == [
        "sim/2"
    ]

    daemon = motion("1.1.0", level=-2.0)  # another bundle: its scores mean something else
    told = daemon.until("calibration.unused")
    assert (told["app"], told["node"], told["digest"]) == ("motion-app", "sim/2", measured["sim/2"]["digest"])
    assert daemon.until("motion")["baseline"] is None


def test_what_moves_is_refused_and_nothing_is_stored(device, motion):
    daemon = motion(leaps=40.0)
    daemon.until("motion")
    done = calibrate("--seconds", "2", "--json")
    assert done.returncode == 43
    assert json.loads(done.stdout)["error"]["code"] == "calibration"
    assert "something move" in done.stderr
    assert calibrate("sim/9").returncode == 43
    assert calibrate("--app", "other").returncode == 21
    assert not (device.root / "state" / "baselines.json").exists()
    events = daemon.end(signal.SIGTERM)
    assert [fields["code"] for fields in fields_of(events, "calibration.failed")] == ["calibration"] * 2 + ["no-app"]


def test_a_calibration_holds_up_neither_the_events_nor_the_end(device, motion):
    daemon = motion(level=-3.0)
    daemon.until("motion")
    command = [str(BIN / "cogd"), "calibrate", "--seconds", "600"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as waiting:
        wait_for_it(waiting)
        assert daemon.until("motion")["tick"] > 0
        started_s = time.monotonic()
        events = daemon.end(signal.SIGTERM)
        assert time.monotonic() - started_s < 3.0
        assert waiting.wait(PATIENCE_S) == 38
        assert "hung up" in waiting.stderr.read()
    assert events[-1]["event"] == "run.stopped"
    assert not (device.root / "state" / "baselines.json").exists()


def test_who_goes_away_has_nothing_stored(device, motion):
    daemon = motion(level=-3.0)
    daemon.until("motion")
    with subprocess.Popen([str(BIN / "cogd"), "calibrate", "--seconds", "600"]) as waiting:
        wait_for_it(waiting)
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(PATIENCE_S) == 130
    done = calibrate("--seconds", "2")  # the place is free again
    assert done.returncode == 0, done.stderr
    daemon.end(signal.SIGTERM)
