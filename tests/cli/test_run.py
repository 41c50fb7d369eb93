"""`cogd run` as a process, as a service manager sees it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.runtime.factory import files_of, runnable_bundle

PATIENCE_S = 20.0
"""How long a test waits for a process that should be quick; not a limit that is tested."""

SIM = "sim:?nodes=2&persons=1&seed=7"


@contextlib.contextmanager
def running(home, *words, stdout=subprocess.PIPE, **environment):
    """`cogd run` as a process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cogd", "run", *home.flags, *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={"PATH": "/usr/bin", **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(process) -> tuple[list[dict], bytes]:
    """The events and the logs of a process that ends."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return [json.loads(line) for line in out.splitlines()], err


def until(process, name: str) -> list[dict]:
    """The events up to the first of that name."""
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1]["event"] == name:
            return events
    raise AssertionError(f"it ended before {name}: {process.stderr.read().decode()}")


def run(home, *words, **environment) -> tuple[int, list[dict], bytes]:
    with running(home, *words, **environment) as process:
        events, err = finish(process)
        return process.returncode, events, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_2_s_with_0_and_run_stopped(home, number):
    home.install("pose")
    home.install("count")
    with running(home, "--source", SIM) as process:
        events = until(process, "count")
        asked_s = time.monotonic()
        process.send_signal(number)
        rest, err = finish(process)
        assert time.monotonic() - asked_s < 2.0
    assert process.returncode == 0
    assert err == b""
    assert events[0]["event"] == "run.started"
    assert rest[-1]["event"] == "run.stopped"
    assert rest[-1]["fields"]["reason"] == number.name
    assert rest[-1]["fields"]["inferences"]["count-app"] >= 1


def test_sources_that_have_ended_end_it_with_0_and_nothing_is_lost(home):
    home.install("pose")
    status, events, err = run(home, "--source", "sim:?nodes=2&seconds=4&speed=max#flat")
    assert (status, err) == (0, b"")
    stopped = events[-1]["fields"]
    assert stopped["reason"] == "all sources have ended"
    poses = [event for event in events if event["event"] == "pose.frame"]
    assert stopped["inferences"] == {"pose-app": len(poses)}
    assert len(poses) == sum(node["frames"] for node in stopped["nodes"].values()) - 2 * 3
    assert stopped["dropped"] == {}
    assert {pose["fields"]["origin"] for pose in poses} == {"simulated"}


def test_the_same_recording_gives_the_same_events_twice(home):
    home.install("count")

    def counts():
        _, events, _ = run(home, "--source", "sim:?seconds=3&speed=max&seed=3")
        changing = ("tick", "latency_ms", "time", "window")
        return [
            {key: value for key, value in event["fields"].items() if key not in changing}
            for event in events
            if event["event"] == "count"
        ]

    first = counts()
    assert len(first) > 50
    assert first == counts()


def test_its_duration_ends_it_with_0(home):
    home.install("pose")
    status, events, _ = run(home, "--source", SIM, "--duration", "0.2")
    assert status == 0
    assert events[-1]["fields"]["reason"] == "the duration of 0.2 s is over"


def test_a_source_that_can_not_be_opened_gives_4_and_still_run_stopped(home):
    home.install("pose")
    status, events, err = run(home, "--source", "udp://203.0.113.1:5005")
    assert status == 4
    assert events[-1]["event"] == "run.stopped"
    assert err.startswith(b"cogd: source: ")
    assert b"cogd: hint: " in err


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["--source", "serial:/dev/ttyUSB0"], 2, b"config: sources (from flag)"),
        (["--sink", "carrier-pigeon:"], 2, b"config: sinks (from flag)"),
        (["--source", "5005"], 2, b"config: sources (from flag)"),
        (["--sink", "stdout:x"], 2, b"config: sinks (from flag)"),
        (["--source", "sim:#a", "--source", "sim:#a"], 2, b"config: sources (from flag)"),
        (["--source", "sim:?nodes=0"], 2, b"config: sources (from flag)"),
        (["--tick-ms", "1"], 2, b"config"),
        (["--duration", "0"], 2, b"config"),
        (["--duration", "nan"], 2, b"config"),
    ],
)
def test_what_can_not_be_run_is_refused_before_anything_starts(home, words, status, code, cogd):
    home.install("pose")
    result = cogd("run", *home.flags, "--source", SIM, *words)
    assert (result.status, result.out) == (status, "")
    assert result.err.splitlines()[0].startswith(f"cogd: {code.decode()}: ")


class TestApps:
    def test_that_are_none_give_21(self, home, cogd):
        result = cogd("run", *home.flags)
        assert (result.status, result.out) == (21, "")

    def test_of_which_the_only_one_is_bad_give_its_own_error(self, home, cogd):
        home.install("pose", files=files_of("pose", **{"model.onnx": b"broken"}))
        assert cogd("run", *home.flags).status == 18

    def test_that_are_all_bad_give_21_and_tell_each(self, home, cogd):
        home.install("pose", files=files_of("pose", **{"model.onnx": b"broken"}))
        home.install("count", head="tarot")
        result = cogd("run", *home.flags)
        assert result.status == 21
        assert "pose-app" in result.err
        assert "tarot" in result.err

    def test_of_which_one_is_bad_run_the_others_and_say_so(self, home):
        home.install("pose")
        (home.install("count") / "current" / "bundle.dsse.json").write_bytes(b"no envelope")
        status, events, err = run(home, "--source", "sim:?seconds=1&speed=max")
        assert status == 0
        assert [app["id"] for app in events[0]["fields"]["apps"]] == ["pose-app"]
        rejected = next(event for event in events if event["event"] == "app.rejected")["fields"]
        assert (rejected["path"], rejected["code"]) == (str(home.apps / "count-app"), "bad-signature")
        assert json.loads(err.splitlines()[0])["event"] == "app rejected"


class TestStandardOutput:
    def test_that_is_closed_by_its_reader_ends_it_quietly(self, home):
        home.install("pose")
        with running(home, "--source", SIM) as process:
            until(process, "pose.frame")
            process.stdout.close()
            assert process.wait(PATIENCE_S) == 0
            assert process.stderr.read() == b""

    def test_that_is_read_late_loses_nothing_that_must_not_be_lost(self, home):
        home.install("pose")
        with running(home, "--source", "sim:?nodes=8&seconds=30&speed=max") as process:  # more than the queue holds
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(2)  # until somebody reads, it waits
            events = [json.loads(line) for line in process.stdout]
            assert process.wait(PATIENCE_S) == 0
        assert events[-1]["event"] == "run.stopped"
        assert not events[-1]["fields"]["dropped"]
        inferred = [event for event in events if event["event"] == "pose.frame"]
        assert len(inferred) == sum(events[-1]["fields"]["inferences"].values()) > 4096

    def test_carries_events_and_nothing_else(self, home):
        home.install("pose")
        _, events, err = run(home, "--source", "sim:?seconds=1&speed=max", COGD_TIK_MS="50")
        assert all(set(event) == {"ts", "level", "event", "fields"} for event in events)
        logged = [json.loads(line) for line in err.splitlines()]
        assert [(line["event"], line["fields"]) for line in logged] == [("not a setting", {"variable": "COGD_TIK_MS"})]


def test_a_signal_while_nobody_reads_ends_it_within_2_s(home):
    home.install("pose")
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, bytes(4096))
        os.set_blocking(writing, True)
        with running(home, "--source", SIM, stdout=writing) as process:
            os.close(writing)
            wait_for_handlers(process.pid)
            asked_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
            assert time.monotonic() - asked_s < 2.0
    finally:
        os.close(reading)


def wait_for_handlers(pid: int) -> None:
    """Wait until the daemon catches signals, SIGHUP last; there is no event to wait for where its output is blocked."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        caught = re.search(r"SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())[1]
        if int(caught, 16) >> (signal.SIGHUP - 1) & 1:
            return
        time.sleep(0.01)
    raise AssertionError("it never caught SIGHUP")


def test_the_installed_command_runs(home):
    home.install("pose")
    command = Path(sys.executable).with_name("cogd")
    done = subprocess.run(
        [command, "run", *home.flags, "--source", "sim:?seconds=1&speed=max"],
        capture_output=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "run.stopped"


def test_what_runs_is_what_was_signed(home):
    path = home.install("pose")
    _, events, _ = run(home, "--source", "sim:?seconds=1&speed=max")
    pose = next(event for event in events if event["event"] == "pose.frame")["fields"]
    assert pose["digest"] == runnable_bundle("pose").verified().digest
    assert path.exists()
