"""The event stream: one line an event on standard output, and nothing else there."""

from __future__ import annotations

import os
import queue
import select
import sys
import threading
from typing import TYPE_CHECKING

from cogd.errors import ConfigError
from cogd.events import encode

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from cogd.events import Event

_QUEUED_EVENTS = 4096
_AT_ONCE = 64
"""Lines that are written by one call; what is being written can't be shed."""


class StdoutSink:
    """`stdout:`. A thread of its own writes, because whoever reads may stop reading."""

    def __init__(self, url: SplitResult) -> None:
        if url.netloc or url.path or url.query:
            raise ConfigError("the sink is `stdout:`, with nothing behind the colon", hint="--sink stdout:")
        self.dropped = 0
        self._queue: queue.Queue[bytes | None] = queue.Queue(_QUEUED_EVENTS)
        self._broken: OSError | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._write, name="stdout", daemon=True)

    @property
    def broken(self) -> OSError | None:
        """What ended the writing, or None; `BrokenPipeError`: the reader has gone."""
        return self._broken

    @property
    def room(self) -> bool:
        """Whether the queue is less than half full."""
        return self._queue.qsize() < _QUEUED_EVENTS // 2

    def open(self) -> None:
        """Start the writer."""
        self._thread.start()

    def put(self, event: Event) -> None:
        """Queue an event; sheds the oldest where the reader does not keep up."""
        self._enqueue(encode(event))

    def close(self, timeout_s: float) -> int:
        """Let the writer finish, for at most so long; returns how many events are left."""
        if not self._closing:
            self._closing = True
            self._enqueue(None)
        self._thread.join(timeout_s)
        return self._queue.qsize() if self._thread.is_alive() else 0

    def _enqueue(self, line: bytes | None) -> None:
        while True:
            try:
                self._queue.put_nowait(line)
            except queue.Full:
                try:
                    self._queue.get_nowait()
                    self.dropped += 1
                except queue.Empty:
                    pass
            else:
                return

    def _write(self) -> None:
        ended = False
        while not ended:
            lines, ended = self._take()
            if lines and self._broken is None:
                try:
                    _write_all(sys.stdout.fileno(), b"".join(lines))
                except OSError as error:
                    self._broken = error

    def _take(self) -> tuple[list[bytes], bool]:
        """Wait for a line, and take what is behind it too; True where nothing comes any more."""
        lines: list[bytes] = []
        line = self._queue.get()
        while line is not None:
            lines.append(line)
            if len(lines) == _AT_ONCE:
                return lines, False
            try:
                line = self._queue.get_nowait()
            except queue.Empty:
                return lines, False
        return lines, True


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # whoever started us may have made the pipe non-blocking
            select.select([], [descriptor], [])
