"""Durable changes: what is there afterwards, and what stays where one fails. (tests/crash pulls the plug.)"""

import errno
import os
import stat

import pytest

from cogd.bundle import durable
from cogd.errors import NoSpaceError, PermissionDeniedError, StorageError


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def failing(number):
    def fail(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture
def strict_umask():
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_write_file(tmp_path, strict_umask):
    path = tmp_path / "a"
    durable.write_file(path, b"content")
    assert (path.read_bytes(), mode(path)) == (b"content", 0o644)
    with pytest.raises(FileExistsError):
        durable.write_file(path, b"other")
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(FileExistsError):
        durable.write_file(tmp_path / "link", b"other")
    assert path.read_bytes() == b"content"


def test_short_writes_are_continued(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr("cogd.bundle.durable.os.write", lambda fd, data: real(fd, data[:3]))
    durable.write_file(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_large_files_are_written_in_pieces(tmp_path, monkeypatch):
    sizes = []
    real = os.write

    def write(fd, data):
        sizes.append(len(data))
        return real(fd, data)

    monkeypatch.setattr("cogd.bundle.durable.os.write", write)
    data = bytes(range(256)) * 10_000
    durable.write_file(tmp_path / "a", data)
    assert (tmp_path / "a").read_bytes() == data
    assert sizes == [1 << 20, 1 << 20, len(data) - (2 << 20)]


def test_replace_file(tmp_path):
    path = tmp_path / "a"
    durable.replace_file(path, b"one", mode=0o600)
    durable.replace_file(path, b"two", mode=0o644)
    assert (path.read_bytes(), mode(path)) == (b"two", 0o644)
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_replace_file_fails(tmp_path, monkeypatch, call):
    path = tmp_path / "a"
    durable.replace_file(path, b"one", mode=0o644)
    monkeypatch.setattr(f"cogd.bundle.durable.os.{call}", failing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space"):
        durable.replace_file(path, b"two", mode=0o644)
    assert (os.listdir(tmp_path), path.read_bytes()) == (["a"], b"one")


def test_make_directory(tmp_path, strict_umask):
    durable.make_directory(tmp_path / "a")
    durable.make_directory(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o755
    (tmp_path / "link").symlink_to("a")
    durable.make_directory(tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        durable.make_directory(tmp_path / "file")


def test_make_link(tmp_path, monkeypatch):
    path = tmp_path / "link"
    durable.make_link(path, "one")
    durable.make_link(path, "two")
    assert (os.readlink(path), os.listdir(tmp_path)) == ("two", ["link"])
    monkeypatch.setattr("cogd.bundle.durable.os.rename", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        durable.make_link(path, "three")
    assert (os.readlink(path), os.listdir(tmp_path)) == ("two", ["link"])


def test_move(tmp_path):
    for name in ("from", "to", "from/a"):
        durable.make_directory(tmp_path / name)
    durable.move(tmp_path / "from/a", tmp_path / "to/b")
    assert (os.listdir(tmp_path / "from"), os.listdir(tmp_path / "to")) == ([], ["b"])


def test_remove_tree_follows_no_link(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    tree = tmp_path / "tree"
    (tree / "deep" / "deeper").mkdir(parents=True)
    (tree / "deep" / "file").touch()
    (tree / "to-folder").symlink_to(outside)
    (tree / "dangling").symlink_to("nowhere")
    durable.remove_tree(tree)
    durable.remove_tree(tree)
    (tmp_path / "link").symlink_to(outside)
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        durable.remove_tree(tmp_path / name)
    assert os.listdir(tmp_path) == ["outside"]
    assert os.listdir(outside) == ["precious"]


def test_everything_written_is_synced(tmp_path, monkeypatch):
    """Order of the calls: content before name, name before anybody may rely on it."""
    calls = []
    for name in ("fsync", "rename", "symlink", "mkdir"):
        real = getattr(os, name)

        def spy(*args, _name=name, _real=real, **kwargs):
            if _name == "fsync":
                target = os.readlink(f"/proc/self/fd/{args[0]}")
                calls.append(("fsync", "folder" if os.path.isdir(target) else "file"))
            else:
                calls.append((_name, ""))
            return _real(*args, **kwargs)

        monkeypatch.setattr(f"cogd.bundle.durable.os.{name}", spy)
    durable.replace_file(tmp_path / "a", b"x", mode=0o644)
    assert calls == [("fsync", "file"), ("rename", ""), ("fsync", "folder")]
    calls.clear()
    durable.make_directory(tmp_path / "d")
    assert calls == [("mkdir", ""), ("fsync", "folder")]
    calls.clear()
    durable.make_link(tmp_path / "l", "a")
    assert calls == [("symlink", ""), ("rename", ""), ("fsync", "folder")]
    calls.clear()
    durable.move(tmp_path / "a", tmp_path / "d" / "a")
    assert calls == [("rename", ""), ("fsync", "folder"), ("fsync", "folder")]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, NoSpaceError),
        (errno.EDQUOT, NoSpaceError),
        (errno.EACCES, PermissionDeniedError),
        (errno.EPERM, PermissionDeniedError),
        (errno.EROFS, StorageError),
        (errno.EIO, StorageError),
        (errno.ENOENT, StorageError),
    ],
)
def test_storage_error(number, kind):
    error = durable.storage_error(OSError(number, os.strerror(number), "/apps/x"), "x 1.0.0 was not installed")
    assert type(error) is kind
    assert str(error) == f"x 1.0.0 was not installed: {os.strerror(number)} (/apps/x)"
    assert error.hint
    assert str(durable.storage_error(OSError("odd"), "it")) == "it: odd"
