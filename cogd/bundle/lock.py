"""One process at a time changes the apps directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

from cogd.bundle.durable import storage_error
from cogd.errors import LockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_LOOK_AGAIN_S = 0.05


@contextlib.contextmanager
def locked(path: Path, wait_s: float, *, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Hold the lock file `path`; the kernel frees it when the process ends, however it ends.

    Raises:
        LockedError: another process holds it, and still does after `wait_s`.
        PermissionDeniedError, NoSpaceError, StorageError: the file can't be opened or locked.
    """
    try:
        # For its owner only: whoever can open a file, if only for reading, can keep others out by locking it.
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise storage_error(error, f"the lock {path}") from error
    try:
        deadline_s = time.monotonic() + wait_s
        while not _take(fd, path):
            if time.monotonic() >= deadline_s:
                raise LockedError(f"{path}: held by process {_holder(fd)} for over {wait_s:g} s")
            sleep(_LOOK_AGAIN_S)
        with contextlib.suppress(OSError):  # a full disk: the number only serves the message above
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):  # nothing in it counts
            os.close(fd)


def _take(fd: int, path: Path) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise storage_error(error, f"the lock {path}") from error
    return True


def _holder(fd: int) -> str:
    with contextlib.suppress(OSError):
        return os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "?"
    return "?"
