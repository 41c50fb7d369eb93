"""Reading a file through one descriptor."""

import errno
import os
from pathlib import Path

import pytest

from cogd.bundle.regular import read_regular_file


def test_content_and_mode(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    path.chmod(0o640)
    read = read_regular_file(path, limit=3)
    assert (read.data, read.mode) == (b"abc", 0o640)
    with pytest.raises(OSError, match="has 3 bytes, more than 2"):
        read_regular_file(path, limit=2)


def test_link(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(OSError, match="is a symbolic link") as error:
        read_regular_file(tmp_path / "link", limit=9)
    assert error.value.errno == errno.ELOOP
    assert read_regular_file(tmp_path / "link", limit=9, follow=True).data == b"abc"


def test_not_regular(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, "/dev/null"):
        with pytest.raises(OSError, match="is not a regular file"):
            read_regular_file(path, limit=9)


def test_growing_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    real = os.fstat

    def fstat_then_append(fd):
        status = real(fd)
        path.write_bytes(b"abcd")
        return status

    with monkeypatch.context() as patch:  # pytest uses fstat too
        patch.setattr("cogd.bundle.regular.os.fstat", fstat_then_append)
        with pytest.raises(OSError, match="changed while it was read"):
            read_regular_file(path, limit=9)


def test_descriptors_are_closed(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(OSError, match=r"regular|No such"):
            read_regular_file(path, limit=9)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
