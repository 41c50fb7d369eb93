"""Read a regular file through one descriptor, so that nothing can be swapped between the check and the use."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class FileBytes(NamedTuple):
    """A file's whole content, and the permission bits that it had when it was read."""

    data: bytes
    mode: int


def read_regular_file(path: Path | str, *, limit: int, dir_fd: int | None = None, follow: bool = False) -> FileBytes:
    """Read the regular file `path`, of at most `limit` bytes.

    Args:
        path: the file; relative to `dir_fd` where that is given.
        limit: refuse a larger file, before anything of it is read.
        dir_fd: an open directory.
        follow: follow a symbolic link in the last place of `path`.

    Raises:
        OSError: it can't be read, is no regular file, is a symbolic link (ELOOP), is too large (EFBIG), or changed
            its size meanwhile. `strerror` says which, in words that fit behind the path.
    """
    # O_NONBLOCK: opening a FIFO must not wait for a writer; it is without effect on regular files.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        fd = os.open(path, flags, dir_fd=dir_fd)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow:
            raise OSError(errno.ELOOP, "is a symbolic link", str(path)) from None
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
        if status.st_size > limit:
            raise OSError(errno.EFBIG, f"has {status.st_size} bytes, more than {limit}", str(path))
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(status.st_size + 1)
        if len(data) != status.st_size:
            raise OSError(errno.EAGAIN, "changed while it was read", str(path))
        return FileBytes(data, stat.S_IMODE(status.st_mode))
    finally:
        os.close(fd)
