"""Changes on disk that outlast a pulled plug.

What was written counts only after `fsync` of the file; a name that was made, moved or taken away counts only after
`fsync` of its directory (fsync(2); rename(2) is atomic, but not durable by itself).
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from typing import TYPE_CHECKING

from cogd.errors import CogdError, NoSpaceError, PermissionDeniedError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

_WRITE_BYTES = 1 << 20
_DENIED = frozenset({errno.EACCES, errno.EPERM})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write the new file `path` and make its content durable; its name is so after `sync_directory`.

    Raises:
        OSError: it exists, or can't be written. What was written of it stays behind.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(fd, mode)  # exactly, whatever the umask
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest[:_WRITE_BYTES]) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def replace_file(path: Path, data: bytes, *, mode: int) -> None:
    """Put a file in the place of `path`, if there is one: what is there is the old content or all of the new.

    Raises:
        OSError: it can't be done; the old file stays.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    try:
        write_file(temporary, data, mode=mode)
        os.rename(temporary, path)
    except BaseException:
        remove_file(temporary)
        raise
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Make the directory `path`, open to readers; an existing one is fine.

    Raises:
        OSError: it can't be made, or is something else.
    """
    try:
        os.mkdir(path)
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    os.chmod(path, 0o755)  # noqa: S103  # whatever the umask: the appliance's dashboard runs as another user
    sync_directory(path.parent)


def make_link(path: Path, target: str) -> None:
    """Make the symbolic link `path`, or give it another target.

    Raises:
        OSError: it can't be made; an old one stays.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    try:
        os.symlink(target, temporary)
        os.rename(temporary, path)
    except BaseException:
        remove_file(temporary)
        raise
    sync_directory(path.parent)


def move(source: Path, target: Path) -> None:
    """Move `source` to `target`, on the same file system, durably.

    Raises:
        OSError: it can't be done; or it was, and is not durable.
    """
    os.rename(source, target)
    sync_directory(target.parent)
    sync_directory(source.parent)


def remove_file(path: Path) -> None:
    """Take the file or link `path` away, if it is there.

    Raises:
        OSError: it can't be done.
    """
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def remove_tree(path: Path) -> None:
    """Take `path` away, with all that is in it; no link is followed. A missing one is fine.

    Raises:
        OSError: it can't be done; some of it may be gone.
    """
    try:
        is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    if not is_directory:
        remove_file(path)
        return
    for name in os.listdir(path):
        remove_tree(path / name)
    os.rmdir(path)


def sync_directory(path: Path) -> None:
    """Make the names in the directory `path` durable.

    Raises:
        OSError: the disk refuses.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def storage_error(error: OSError, what: str) -> CogdError:
    """The typed error for `error`, which happened when `what` was to be done."""
    where = f" ({error.filename})" if error.filename is not None else ""
    message = f"{what}: {error.strerror or error}{where}"
    if error.errno in _DENIED:
        return PermissionDeniedError(message)
    if error.errno in _FULL:
        return NoSpaceError(message)
    if error.errno == errno.EROFS:
        return StorageError(message, hint="the file system is mounted read-only: remount it, or look why with dmesg")
    return StorageError(message)
