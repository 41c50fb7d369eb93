"""A version is on trial until a daemon has seen it work, over the ends of daemons too."""

from __future__ import annotations

import json
import signal


def test_a_version_over_which_daemons_die_is_taken_back(device):
    device.put("1.0.0")
    device.put("2.0.0")
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
    assert "is left out: 3 starts of the daemon ended without run.stopped over it" in back["reason"]
    assert daemon.until("count")["version"] == "1.0.0"
    daemon.end(signal.SIGTERM)
    assert device.version == "1.0.0"


def test_daemons_that_end_as_they_should_do_not_count(device):
    device.put("1.0.0")
    device.put("2.0.0")
    for _ in range(4):
        daemon = device.daemon()
        assert daemon.until("app.updated")["version"] == "2.0.0"
        assert daemon.end(signal.SIGTERM)[-1]["event"] == "run.stopped"
    assert device.version == "2.0.0"


def test_a_proven_version_is_what_daemons_begin_with(device):
    device.put("1.0.0")
    device.put("2.0.0")
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
    device.put("1.0.0")
    device.put("2.0.0")
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in device.apps.rglob("*"))
    for verb in ("health", "list"):
        for _ in range(4):
            assert device.command(verb).returncode == 0
    assert sorted((str(path), path.lstat().st_mtime_ns) for path in device.apps.rglob("*")) == before


def test_a_fix_over_a_version_on_trial_begins_with_the_last_good_one(device):
    """What daemons died over is no version to begin with, though it is the one before."""
    device.put("1.0.0")
    device.put("2.0.0")
    daemon = device.daemon()
    daemon.until("app.updated")
    daemon.end(signal.SIGKILL)
    device.put("3.0.0")
    daemon = device.daemon()
    assert daemon.started == "1.0.0"
    updated = daemon.until("app.updated")
    assert (updated["version"], updated["previous_version"]) == ("3.0.0", "1.0.0")
    daemon.end(signal.SIGTERM)
    assert device.version == "3.0.0"
