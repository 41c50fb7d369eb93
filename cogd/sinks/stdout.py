"""The event stream: one line per event on standard output, and nothing else there."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

from cogd.errors import ConfigError, SinkError
from cogd.events import encode
from cogd.runtime.worker import Worker

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from cogd.sinks.base import Feed, SinkOptions

_AT_ONCE: Final = 256
"""Lines that are written by one call; what is being written can't be dropped for something newer."""


class StdoutSink:
    """`stdout:`. A thread writes, because the reader may stop reading, and a disk may be slow.

    A line that could be written only in part, on a disk that is full, is taken back if it is the end of a file, and
    else continued at that byte when it works again: no line is ever cut.
    """

    def __init__(self, name: str, url: SplitResult, options: SinkOptions) -> None:  # noqa: ARG002  # the contract
        if url.netloc or url.path or url.query:
            raise ConfigError("the sink is `stdout:`, with nothing behind the colon", hint="--sink stdout:")
        self.name = name
        self._rest = b""
        """Of a line of which the first part is written."""

    async def run(self, feed: Feed) -> None:
        """Write every event.

        Raises:
            SinkError: the reader has gone, or standard output is closed.
            OSError: it can't be written for now.
        """
        if sys.stdout is None:
            raise SinkError("standard output is closed")
        descriptor = sys.stdout.fileno()
        worker: Worker[tuple[int, OSError | None]] = Worker("stdout")
        try:
            if self._rest:
                written, error = await worker.submit(partial(_write, descriptor, self._rest))
                self._rest = self._rest[written:]
                _check(error)
            while events := await feed.get_many(_AT_ONCE):
                lines = [encode(event) for event in events]
                written, error = await worker.submit(partial(_write, descriptor, b"".join(lines)))
                if error is not None:
                    whole, self._rest = _split(lines, written)
                    feed.done(whole)
                    _check(error)
        finally:
            worker.close()


def _check(error: OSError | None) -> None:
    if error is None:
        return
    if error.errno in {errno.EPIPE, errno.EBADF}:
        reason = error.strerror or str(error)
        raise SinkError(reason, reader_gone=error.errno == errno.EPIPE) from error
    raise error


def _split(lines: list[bytes], written: int) -> tuple[int, bytes]:
    """How many lines were begun, and the rest of the one that was cut."""
    for number, line in enumerate(lines):
        if written < len(line):
            return (number + 1, line[written:]) if written else (number, b"")
        written -= len(line)
    return len(lines), b""


def _write(descriptor: int, data: bytes) -> tuple[int, OSError | None]:
    """Write all of it, on the thread; returns how many bytes are there, and the error that ended it before.

    Where an error cuts a line at the end of a regular file, the part is taken away again: the process may end, or
    the machine, before there is room for the rest.
    """
    view, written = memoryview(data), 0
    while written < len(data):
        try:
            written += os.write(descriptor, view[written:])
        except BlockingIOError:  # the parent process may have made the pipe non-blocking
            select.select([], [descriptor], [])
        except OSError as error:
            cut = written - (data.rfind(b"\n", 0, written) + 1)
            return written - (cut if _take_back(descriptor, cut) else 0), error
    return written, None


def _take_back(descriptor: int, amount: int) -> bool:
    """Shorten a file by what was just written to its end; False where that is not certain.

    The offset after a write is its end. If the file goes on, another process has written; if it is standard error's
    file too, that shares the offset.
    """
    if amount == 0:
        return False
    with contextlib.suppress(OSError):
        status = os.fstat(descriptor)
        ours = stat.S_ISREG(status.st_mode) and not (sys.stderr and _is_file(sys.stderr.fileno(), status))
        if ours and os.lseek(descriptor, 0, os.SEEK_CUR) == status.st_size:
            os.ftruncate(descriptor, status.st_size - amount)
            os.lseek(descriptor, -amount, os.SEEK_CUR)
            return True
    return False


def _is_file(descriptor: int, status: os.stat_result) -> bool:
    return os.path.samestat(os.fstat(descriptor), status)
