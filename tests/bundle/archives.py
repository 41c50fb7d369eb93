"""Archives that `write_archive` would not write, and streams that a reader must not trust."""

from __future__ import annotations

import tracemalloc
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cogd.bundle.archive import BLOCK, _header

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HEAD = {"bundle.json": b"{}", "bundle.dsse.json": b"{}"}
END = bytes(2 * BLOCK)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def raw_archive(members: Iterable[tuple[str, bytes]]) -> bytes:
    """What `write_archive` would write if it checked nothing."""
    return b"".join(_header(name, len(data)) + padded(data) for name, data in members) + END


def with_header(archive: bytes, position: int, **changes: bytes) -> bytes:
    """`archive` with fields of the header at `position` replaced and a right checksum."""
    where = {"name": 0, "mode": 100, "uid": 108, "size": 124, "mtime": 136, "type": 156, "link": 157}
    where |= {"magic": 257, "user": 265, "prefix": 345, "pad": 500}
    header = bytearray(archive[position : position + BLOCK])
    for field, value in changes.items():
        header[where[field] : where[field] + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return archive[:position] + bytes(header) + archive[position + BLOCK :]


class Tape:
    """A stream of pieces that are made when they are read; nothing but `read` works. It counts what was taken."""

    def __init__(self, *pieces: bytes | Iterable[bytes]) -> None:
        self._pieces = (one for piece in pieces for one in ([piece] if isinstance(piece, bytes) else piece))
        self._rest = b""
        self.taken = 0

    def read(self, size: int, /) -> bytes:
        assert size > 0
        while not self._rest:
            try:
                self._rest = next(self._pieces)
            except StopIteration:
                return b""
        piece, self._rest = self._rest[:size], self._rest[size:]
        self.taken += len(piece)
        return piece


@dataclass
class Memory:
    """How far the memory grew, at its highest."""

    peak: int = 0


@contextmanager
def memory() -> Iterator[Memory]:
    """Measures the memory that is taken within the context."""
    result = Memory()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield result
    finally:
        result.peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
