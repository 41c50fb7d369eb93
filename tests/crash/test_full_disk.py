"""A disk that is full, at every stage: a typed error, the old version runs on, and the space is given back."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess

import pytest

from cogd.bundle.archive import write_archive
from cogd.bundle.keys import save_public
from cogd.bundle.store import Store
from cogd.cli import main
from cogd.errors import NoSpaceError
from tests.bundle.factory import KEY

from .operations import APP, OPERATIONS, apps_of, bundle, check, copy, proven, reference, state_of

pytestmark = pytest.mark.slow

PAGE = resource.getpagesize()
LIMITS = ["blocks", "inodes"]
NAMES = ["first", "first, beside config.json", "first, after a removal", "upgrade", "repair", "downgrade"]


class SmallDisk:
    """A file system in memory that can be made full to the last block or inode."""

    def __init__(self, path) -> None:
        self.path = path

    def used(self, limit: str) -> int:
        status = os.statvfs(self.path)
        return status.f_blocks - status.f_bfree if limit == "blocks" else status.f_files - status.f_ffree

    def leave(self, limit: str, free: int) -> None:
        """Make it so small that just so much is free."""
        size = self.used(limit) + free
        self._remount(f"size={max(size, 1) * PAGE}" if limit == "blocks" else f"nr_inodes={size}")

    def grow(self) -> None:
        self._remount(f"size={1 << 24},nr_inodes=10000")

    def _remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "cogd-crash", str(path)], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    small = SmallDisk(path)
    small.grow()
    yield small
    subprocess.run(["umount", str(path)], check=True)


@pytest.fixture(autouse=True)
def _without_proof():
    with proven():
        yield


def begun(disk, name, folder):
    """What an operation begins with, on the disk."""
    folder.mkdir()
    known = reference(OPERATIONS[name], folder)
    copy(known.disk, disk.path / "root")
    return known, apps_of(disk.path / "root")


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("name", NAMES)
def test_space_ends_at_every_stage(name, limit, disk, tmp_path, figures):
    known, apps = begun(disk, name, tmp_path / "known")
    free = 0
    while True:
        before = disk.used(limit)
        disk.leave(limit, free)
        try:
            known.operation.act(apps)
        except NoSpaceError:
            assert state_of(apps) == known.old
            # The lock and cogd's own folders stay, and of the lock before the first one's number may be gone.
            assert -1 <= disk.used(limit) - before <= (1 if limit == "blocks" else 6)
        else:
            break
        finally:
            disk.grow()
        assert check(known, apps, run=free == 0) == "old"
        shutil.rmtree(disk.path / "root")
        copy(known.disk, disk.path / "root")
        free += 1
    assert Store(apps).memory(APP) == known.new.memory
    assert check(known, apps, finished=True, run=True) == "new"
    assert free > 5
    figures("A full disk: sizes at which there was no space", f"{name}, {limit}", free)


@pytest.mark.parametrize("name", ["rollback", "remove", "remove --forget"])
def test_making_room_needs_none(name, disk, tmp_path):
    known, apps = begun(disk, name, tmp_path / "known")
    disk.leave("blocks", 0)
    known.operation.act(apps)
    assert check(known, apps, finished=True) == "new"


@pytest.mark.parametrize("name", ["remove", "remove --forget"])
def test_removing_needs_no_inode(name, disk, tmp_path):
    known, apps = begun(disk, name, tmp_path / "known")
    disk.leave("inodes", 0)
    known.operation.act(apps)
    assert check(known, apps, finished=True) == "new"


def test_going_back_needs_an_inode(disk, tmp_path):
    """For the pointer's successor, which takes its place at once."""
    known, apps = begun(disk, "rollback", tmp_path / "known")
    disk.leave("inodes", 0)
    with pytest.raises(NoSpaceError):
        known.operation.act(apps)
    assert state_of(apps) == known.old
    disk.leave("inodes", 1)
    known.operation.act(apps)
    assert check(known, apps, finished=True) == "new"


def test_the_command_says_so(disk, tmp_path, capsys):
    known, apps = begun(disk, "upgrade", tmp_path / "known")
    archive, key = tmp_path / "bundle.tar", tmp_path / "publisher.pub"
    archive.write_bytes(write_archive(bundle("3.0.0").members()))
    save_public(key, KEY.public)
    words = ["--apps-dir", str(apps), "--trust-dir", str(tmp_path / "none"), "--trust", str(key)]
    disk.leave("blocks", 3)
    assert main(["install", str(archive), *words]) == 31
    assert capsys.readouterr().err.startswith("cogd: no-space: pose-app 3.0.0 was not installed: No space left")
    assert state_of(apps) == known.old
    disk.grow()
    assert main(["install", str(archive), *words]) == 0
    assert state_of(apps).view["apps"] == known.new.view["apps"]
