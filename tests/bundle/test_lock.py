import os
import subprocess
import sys

import pytest

from cogd.bundle.lock import locked
from cogd.errors import LockedError, StorageError

HOLD = """
import sys
from pathlib import Path
from cogd.bundle.lock import locked
with locked(Path(sys.argv[1]), 0):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_one_at_a_time(tmp_path, holder):
    with pytest.raises(LockedError, match=rf"held by process {holder.pid} for over 0 s"), locked(tmp_path / "lock", 0):
        pass


def test_waiting_until_it_is_free(tmp_path, holder):
    looked = []

    def sleep(seconds):
        looked.append(seconds)
        if len(looked) == 2:
            holder.communicate()  # it ends, and with it its lock

    with locked(tmp_path / "lock", 60, sleep=sleep):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    assert len(looked) == 2


def test_a_killed_holder_frees_it(tmp_path, holder):
    holder.kill()
    holder.wait()
    with locked(tmp_path / "lock", 0):
        pass


def test_patience_ends(tmp_path, holder):
    with pytest.raises(LockedError, match=r"for over 0\.12 s"), locked(tmp_path / "lock", 0.12):
        pass


def test_the_holder_need_not_have_left_its_number(tmp_path, holder):
    (tmp_path / "lock").write_bytes(b"")
    with pytest.raises(LockedError, match=r"held by process [?]"), locked(tmp_path / "lock", 0):
        pass


def test_no_place_for_it(tmp_path):
    (tmp_path / "lock").symlink_to("elsewhere")
    with pytest.raises(StorageError, match="the lock"), locked(tmp_path / "lock", 0):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_system_that_knows_no_locks(tmp_path, monkeypatch):
    def refuse(*_arguments):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("cogd.bundle.lock.fcntl.flock", refuse)
    with pytest.raises(StorageError, match=r"the lock .*: No locks available"), locked(tmp_path / "lock", 0):
        pass


def test_a_holder_whose_number_can_not_be_read(tmp_path, holder, monkeypatch):
    def fail(*_arguments):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("cogd.bundle.lock.os.pread", fail)
    with pytest.raises(LockedError, match=r"held by process [?]"), locked(tmp_path / "lock", 0):
        pass
