"""The model loses what POSIX lets a disk lose, and nothing else."""

import os
import random
import stat

import pytest

from .disk_model import Disk, fingerprint, materialise, walk
from .ptrace import Call


def shown(nodes):
    found = {}

    def add(path, node):
        if node.kind != stat.S_IFDIR:
            found[path.lstrip("/")] = node.data

    walk(nodes, add)
    return found


class Play:
    """Does one thing after the other to a disk."""

    def __init__(self, root):
        self.root, self.disk = root, Disk(root)

    def do(self, name, *paths, **details):
        call = Call(name, tuple(str(self.root / path) for path in paths), changes=True, result=0, **details)
        call.result = len(call.data)
        self.disk.happen(call)

    def write(self, path, data, *, sync=True):
        self.do("open", path, flags=os.O_CREAT | os.O_EXCL, mode=0o644)
        self.do("write", path, data=data)
        if sync:
            self.do("fsync", path)

    @property
    def states(self):
        states = []
        for nodes in self.disk.states(random.Random(0), subsets=50):
            if shown(nodes) not in states:
                states.append(shown(nodes))
        return states


@pytest.fixture
def play(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    return Play(tmp_path)


def test_a_disk_at_rest_loses_nothing(play):
    assert play.disk.at_rest
    assert play.states == [{"a": b"old"}]


def test_a_file_without_its_name(play):
    play.write("b", b"content")
    assert play.states == [{"a": b"old"}, {"a": b"old", "b": b"content"}]
    play.do("fsync", "")
    assert play.states == [{"a": b"old", "b": b"content"}]


def test_a_name_without_its_content(play):
    play.write("b", b"content", sync=False)
    play.do("fsync", "")
    assert [state["b"] for state in play.states] == [b"", b"content", b"con", b"con\0\0\0\0"]


def test_a_rename_that_replaces(play):
    """The well-known fault: the old file is gone, and the new one is empty."""
    play.write("b", b"new", sync=False)
    play.do("rename", "b", "a")
    assert {"a": b""} in play.states
    assert {"a": b"old"} in play.states
    assert {"a": b"new"} in play.states


def test_a_synced_rename_that_replaces(play):
    play.write("b", b"new")
    play.do("rename", "b", "a")
    assert play.states == [{"a": b"old"}, {"a": b"old", "b": b"new"}, {"a": b"new"}]
    play.do("fsync", "")
    assert play.states == [{"a": b"new"}]


def test_a_rename_between_directories_is_one_change(play):
    play.do("mkdir", "d", mode=0o755)
    play.do("fsync", "")
    play.do("rename", "a", "d/a")
    assert play.states == [{"a": b"old"}, {"d/a": b"old"}]
    play.do("fsync", "")  # of where it was: not yet of where it is
    assert len(play.states) == 2
    play.do("fsync", "d")
    assert play.states == [{"d/a": b"old"}]


def test_what_a_durable_rename_has_moved_away_does_not_come_back(play):
    play.do("mkdir", "d", mode=0o755)
    play.do("fsync", "")
    play.write("b", b"new")
    play.do("rename", "b", "d/b")
    play.do("fsync", "d")
    assert play.states == [{"a": b"old", "d/b": b"new"}]


def test_removals_in_any_order(play):
    play.write("b", b"new")
    play.do("fsync", "")
    play.do("unlink", "a")
    play.do("unlink", "b")
    assert len(play.states) == 4


def test_what_the_model_does_not_know_is_an_error(play):
    with pytest.raises(NotImplementedError):
        play.do("sendfile", "a")


def test_materialise(play, tmp_path):
    play.do("mkdir", "d", mode=0o700)
    play.write("d/b", b"new")
    play.do("chmod", "d/b", mode=0o640)
    play.do("symlink", "c", data=b"d/b")
    target = tmp_path.with_name("materialised")
    materialise(play.disk.now(), target)
    assert (target / "c").read_bytes() == b"new"
    assert stat.S_IMODE((target / "d" / "b").stat().st_mode) == 0o640
    assert fingerprint(Disk(target).now()) == fingerprint(play.disk.now())
