"""Ctrl-C: a real process, a real signal, and the bits of a run that nobody interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.numpy

from cogd.train import rundir
from cogd.train.cli.training import stoppable
from cogd.train.history import read_history
from tests.train.factory import TINY, run_cli, wait_for

pytestmark = pytest.mark.train

SMALL = ("--persons", "0,2", "--batch-size", "8", "--device", "cpu", "--set", "train.ema_decay=0.9")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_interrupted_goes_on_to_the_bits_of_one_that_was_not(tmp_path, number, status):
    out, epochs = tmp_path / "run", 40
    run = ("count", "--out", out, *TINY, *SMALL, "--epochs", epochs)
    process = subprocess.Popen(
        [sys.executable, "-m", "cogd.train.cli", *map(str, run)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_for(lambda: read_history(out / rundir.HISTORY), process)
    process.send_signal(number)
    printed, told = process.communicate(timeout=60)

    assert (process.returncode, printed) == (status, "")
    assert told.splitlines()[-2:] == [
        f"cogd-train: stopped; {out / rundir.CHECKPOINT} has everything that was done",
        f"cogd-train: hint: go on with `cogd-train count --out {out} --resume`",
    ]
    assert not (out / rundir.DESCRIPTION).exists()  # it is no model yet
    done = len(read_history(out / rundir.HISTORY))
    assert done < epochs
    resumed = run_cli("count", "--out", out, "--resume")  # all else is in the run directory
    assert resumed.status == 0, resumed.err
    whole = run_cli("count", "--out", tmp_path / "whole", *TINY, *SMALL, "--epochs", epochs)
    assert whole.status == 0, whole.err
    one, other = (safetensors.numpy.load_file(folder / rundir.WEIGHTS) for folder in (out, tmp_path / "whole"))
    for name, tensor in one.items():
        assert (tensor == other[name]).all(), name
    one, other = (read_history(folder / rundir.HISTORY) for folder in (out, tmp_path / "whole"))
    assert [epoch.epoch for epoch in one] == list(range(1, epochs + 1))
    assert [(e.loss, e.terms, e.score) for e in one] == [(e.loss, e.terms, e.score) for e in other]
    reports = [json.loads((folder / rundir.REPORT).read_bytes()) for folder in (out, tmp_path / "whole")]
    assert reports[0]["config_digest"] == reports[1]["config_digest"]
    assert reports[0]["metrics"] == reports[1]["metrics"]


def workers_of(process: subprocess.Popen) -> list[str]:
    """The processes that it began."""
    return [
        pid for task in Path(f"/proc/{process.pid}/task").iterdir() for pid in (task / "children").read_text().split()
    ]


def simulating(out: Path) -> subprocess.Popen:
    """A run, in a session of its own, of which two processes simulate for a while."""
    big = ("--rooms", "40", "--persons", "0,1", "--minutes", "5", "--set", "data.processes=2")
    process = subprocess.Popen(
        [sys.executable, "-m", "cogd.train.cli", "count", "--out", str(out), *big],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    wait_for(lambda: len(workers_of(process)) == 3, process)  # one of them looks after what the others share
    return process


def assert_ended(pids: list[str]) -> None:
    give_up_s = time.monotonic() + 10
    while any(map(is_running, pids)) and time.monotonic() < give_up_s:
        time.sleep(0.05)
    assert not any(map(is_running, pids))


def is_running(pid: str) -> bool:
    """Not ended; one that has ended may wait for its new parent to take note."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_simulation_that_is_interrupted_ends_with_a_word_and_leaves_no_process(tmp_path, number, status):
    """Ctrl-C of a terminal, which every process of the group hears."""
    process = simulating(tmp_path / "run")
    workers = workers_of(process)
    time.sleep(2 if number == signal.SIGINT else 0.2)  # they simulate; they import what they need
    os.killpg(process.pid, number)
    printed, told = process.communicate(timeout=30)

    assert (process.returncode, printed) == (status, "")
    assert told.splitlines() == [
        "cogd-train: stopped before the training began; the run directory is as it was",
        "cogd-train: hint: give the same command again",
    ]
    assert not (tmp_path / "run").exists()
    assert_ended(workers)


@pytest.mark.slow
def test_workers_end_with_a_run_that_is_killed(tmp_path):
    process = simulating(tmp_path / "run")
    workers = workers_of(process)
    time.sleep(2)
    process.kill()
    process.communicate(timeout=30)

    assert_ended(workers)


def test_a_second_interrupt_ends_it_at_once():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stoppable() as stopped_by, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        assert stopped_by == [signal.SIGINT]
        signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
