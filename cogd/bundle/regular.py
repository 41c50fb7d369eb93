"""Read a regular file through one descriptor, so that nothing can be swapped between the check and the use."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO


class FileBytes:
    """A file's whole content, and the permission bits that it had when it was read."""

    __slots__ = ("data", "mode")

    def __init__(self, data: bytes, mode: int) -> None:
        self.data, self.mode = data, mode


class OpenFile:
    """A regular file that is open for reading, and its size and permission bits when it was opened."""

    __slots__ = ("file", "mode", "size")

    def __init__(self, file: BinaryIO, size: int, mode: int) -> None:
        self.file, self.size, self.mode = file, size, mode


@contextmanager
def open_regular_file(
    path: Path | str, *, limit: int, dir_fd: int | None = None, follow: bool = False
) -> Iterator[OpenFile]:
    """Open the regular file `path`, of at most `limit` bytes, and close it again.

    Args:
        path: the file; relative to `dir_fd` where that is given.
        limit: refuse a larger file, before anything of it is read.
        dir_fd: an open directory.
        follow: follow a symbolic link in the last place of `path`.

    Raises:
        OSError: it can't be opened, is no regular file, is a symbolic link (ELOOP) or is too large (EFBIG).
            `strerror` says which, in words that fit behind the path.
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
            yield OpenFile(file, status.st_size, stat.S_IMODE(status.st_mode))
    finally:
        os.close(fd)


def read_regular_file(path: Path | str, *, limit: int, dir_fd: int | None = None, follow: bool = False) -> FileBytes:
    """Read the regular file `path`, of at most `limit` bytes. The arguments are those of `open_regular_file`.

    Raises:
        OSError: as `open_regular_file`; or it can't be read, or changed its size meanwhile (EAGAIN).
    """
    with open_regular_file(path, limit=limit, dir_fd=dir_fd, follow=follow) as opened:
        data = opened.file.read(opened.size + 1)
    if len(data) != opened.size:
        raise OSError(errno.EAGAIN, "changed while it was read", str(path))
    return FileBytes(data, opened.mode)
