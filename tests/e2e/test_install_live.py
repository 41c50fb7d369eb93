"""Installing while a daemon runs: the command ends with what became of the new version there."""

import json
import signal
import socket
import threading
from collections import Counter

from cogd.bundle.keys import save_public
from tests.bundle.factory import KEY, OTHER_KEY
from tests.runtime.factory import input_spec

from .device import APP, PATIENCE_S

NEVER_FULL = input_spec(max_gap_s=0.011)
"""Windows that nodes at 20 Hz never fill, whatever the golden pair says."""


def inferred(events):
    return [event["fields"] for event in events if event["event"] == "count"]


def test_what_has_proven_itself_is_told(device):
    device.put("1.0.0")
    daemon = device.daemon(COGD_CANARY_S="0.5")
    daemon.until("count")
    done = device.install("2.0.0", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["daemon"]["outcome"] == "confirmed"
    back = device.command("rollback", APP)
    assert back.returncode == 0
    assert "took it" in back.stdout
    removed = device.command("remove", APP)
    assert (removed.returncode, "runs it no more" in removed.stdout) == (0, True)
    events = daemon.end(signal.SIGTERM)
    changes = [event["fields"] for event in events if event["event"] in {"app.updated", "app.removed"}]
    assert [change["version"] for change in changes] == ["2.0.0", "1.0.0", "1.0.0"]
    fields = inferred(events)
    assert max(Counter((each["node"], each["time"]) for each in fields).values()) == 1
    # From one version to the next no tick is missed: each names the version that serves from it on.
    for change in changes[:2]:
        first = next(each for each in fields if each["tick"] >= change["tick"])
        assert first["version"] == change["version"]
        assert all(each["version"] != change["version"] for each in fields if each["tick"] == change["tick"] - 1)


def test_what_fails_in_its_canary_is_an_error_and_everything_is_as_it_was(device):
    device.put("1.0.0")
    daemon = device.daemon(COGD_CANARY_S="0.5")
    daemon.until("count")
    done = device.install("2.0.0", input=NEVER_FULL)
    assert done.returncode == 35
    assert "its windows did not fill within 0.5 s" in done.stderr
    assert "cogd: hint: " in done.stderr
    assert device.version == "1.0.0"
    events = daemon.end(signal.SIGTERM)
    back = next(event["fields"] for event in events if event["event"] == "app.rolled_back")
    assert (back["version"], back["to_version"], back["kept"]) == ("2.0.0", "1.0.0", True)
    assert {each["version"] for each in inferred(events)} == {"1.0.0"}
    assert device.install("2.0.1").returncode == 0  # the next one is not hindered


def test_what_the_daemon_does_not_trust_does_not_stay(device):
    """The command was given a key that the daemon has not got."""
    device.put("1.0.0")
    device.daemon().until("count")
    save_public(device.root / "other.pub", OTHER_KEY.public)
    both = [KEY, OTHER_KEY]
    assert device.install("1.1.0", "--trust", device.root / "other.pub", "--dry-run", keys=both).returncode == 0
    done = device.install("2.0.0", "--trust", device.root / "other.pub", keys=[OTHER_KEY], id="other-app")
    assert done.returncode == 35
    assert "signed by no trusted key" in done.stderr
    assert not (device.apps / "other-app").exists()
    assert device.version == "1.0.0"


def test_no_live_input_leaves_it_on_trial(device):
    device.put("1.0.0")
    device.daemon(COGD_CANARY_S="0.1", COGD_SOURCES="udp://127.0.0.1:0")
    done = device.install("2.0.0")
    assert done.returncode == 0
    assert "once there is live input" in done.stdout
    assert device.version == "2.0.0"


def test_a_daemon_that_does_not_answer(device):
    device.put("1.0.0")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(device.socket))
        assert device.install("2.0.0").returncode == 0  # nobody listens: a socket file that a daemon left behind
        dead.listen()
        dead.settimeout(PATIENCE_S)

        def hang_up():
            connection, _ = dead.accept()
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        done = device.command("rollback", APP)
        thread.join()
    assert done.returncode == 38
    assert "restart the daemon" in done.stderr
    assert device.version == "1.0.0"
