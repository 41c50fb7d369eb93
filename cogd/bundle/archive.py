"""The bundle's archive: a ustar file of which there is exactly one form.

Format: POSIX.1-2017, pax, "ustar Interchange Format". Any tar lists and unpacks it, but this reader takes only what
`write_archive` writes: every header is made again from its name and size, and must come out the same. So there
is no mode, owner, time, link, prefix, extension, padding or trailing byte for anything to hide in.

It is read in one pass, from anything that has bytes: a file, a pipe, memory. Each header is judged before its file is
read, and what was not sent takes no memory, whatever a header promises.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from cogd.bundle.members import (
    ENVELOPE_NAME,
    MANIFEST_NAME,
    MAX_BUNDLE_BYTES,
    MAX_MEMBERS,
    is_safe_name,
    size_limit,
)
from cogd.bundle.regular import open_regular_file
from cogd.errors import ArchiveError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Final, Protocol

    class ByteStream(Protocol):
        """All that reading an archive needs of a binary file; a pipe has it, too."""

        def read(self, size: int, /) -> bytes | None:
            """At most `size` bytes, none of them at the end; None: there are none yet."""


BLOCK: Final = 512
_END: Final = bytes(2 * BLOCK)
_FIRST: Final = (MANIFEST_NAME, ENVELOPE_NAME)
_PIECE: Final = 64 << 10
_SIZE = re.compile(rb"[0-7]{11}\0")


class Member:
    """What a header says of the file behind it."""

    __slots__ = ("name", "size")

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size


class ArchiveReader(Iterator[Member]):
    """One pass over the archive in a stream: a file's name and size, then its content, then the next file.

    `content` must be called for each member before the next one is asked for. The iteration ends when the stream has
    ended where the archive has; until then at most one byte was read that is not the archive's.

    Raises:
        ArchiveError: the stream can't be read, or is not byte for byte what `write_archive` makes.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._rules = _Rules()
        self._unread: Member | None = None

    def __next__(self) -> Member:
        if self._unread is not None:
            raise RuntimeError(f"the content of {self._unread.name} was not read")
        header = self._take(BLOCK)
        if not header and self._rules.count == 0:
            raise ArchiveError("it is empty")
        if not any(header):
            self._check_end(header)
            raise StopIteration
        member = _parse_header(header, self._rules.count)
        self._rules.admit(member.name, member.size)
        self._unread = member
        return member

    def content(self) -> bytes:
        """The content of the member that came last; once.

        Raises:
            ArchiveError: the stream can't be read, ends within this file, or pads it with anything but zeros.
        """
        if self._unread is None:
            raise RuntimeError("there is no content to be read")
        name, size = self._unread.name, self._unread.size
        data, padding = self._take(size), self._take(_padding(size))
        if len(data) + len(padding) != size + _padding(size):
            raise ArchiveError(f"{name}: the archive ends within this file")
        if any(padding):
            raise ArchiveError(f"{name}: its padding is not zero")
        self._unread = None
        return data

    def _check_end(self, begun: bytes) -> None:
        if begun + self._take(len(_END) - len(begun) + 1) != _END:
            raise ArchiveError("the archive does not end in exactly two zero blocks")
        self._rules.check_complete()

    def _take(self, count: int) -> bytes:
        """`count` bytes; fewer where the stream ends."""
        taken = io.BytesIO()  # unlike a list of pieces or a bytearray it becomes bytes without a second copy
        while (missing := count - taken.tell()) > 0:
            try:
                piece = self._stream.read(min(missing, _PIECE))
            except OSError as error:
                raise ArchiveError(f"the archive can't be read: {error.strerror or error}") from error
            if piece is None:
                raise ArchiveError("the archive can't be read: there is nothing to read yet, and the stream won't wait")
            if not piece:
                break
            taken.write(piece)
        return taken.getvalue()


def read_archive(raw: bytes) -> dict[str, bytes]:
    """The files in the archive `raw`, in its order: name to content.

    Raises:
        ArchiveError: `raw` is not byte for byte what `write_archive` makes of those files.
    """
    return _read_all(io.BytesIO(raw))


def read_archive_file(path: Path | str) -> dict[str, bytes]:
    """`read_archive` of a regular file, opened once, its size checked before it is read; no symbolic link.

    Raises:
        ArchiveError: the file can't be read, or is not a bundle archive.
    """
    try:
        with open_regular_file(path, limit=MAX_BUNDLE_BYTES) as opened:
            return _read_all(opened.file)
    except FileNotFoundError as error:
        raise ArchiveError(f"{path}: {error.strerror}", hint="give the name of a bundle.tar that is there") from error
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror}") from error


def write_archive(files: Mapping[str, bytes]) -> bytes:
    """The archive of `files`, in their order.

    Args:
        files: name to content; the first two are `bundle.json` and `bundle.dsse.json`.

    Raises:
        ArchiveError: a name is unsafe or out of place, or something is too large.
    """
    rules = _Rules()
    parts: list[bytes] = []
    for name, data in files.items():
        rules.admit(name, len(data))
        parts += [_header(name, len(data)), data, bytes(_padding(len(data)))]
    rules.check_complete()
    return b"".join([*parts, _END])


def archive_size(sizes: Iterable[int]) -> int:
    """How many bytes the archive of files of these `sizes` has."""
    return sum(BLOCK + size + _padding(size) for size in sizes) + len(_END)


class _Rules:
    """Which files an archive may have, and in which order: the same for writing and reading."""

    def __init__(self) -> None:
        self._names: set[str] = set()  # in lower case
        self._total = len(_END)

    @property
    def count(self) -> int:
        """How many files have been admitted."""
        return len(self._names)

    def admit(self, name: str, size: int) -> None:
        if not is_safe_name(name):
            raise ArchiveError(f"member {self.count}: the name {name[:100]!r} is not allowed")
        if name.lower() in self._names:
            raise ArchiveError(f"{name}: is there twice, or differs from another name only in case")
        if self.count >= MAX_MEMBERS:
            raise ArchiveError(f"{name}: is one more than {MAX_MEMBERS} files")
        if self.count < len(_FIRST) and name != _FIRST[self.count]:
            raise ArchiveError(f"{name}: in the place of {_FIRST[self.count]}")
        if size > size_limit(name):
            raise ArchiveError(f"{name}: has {size} bytes, more than {size_limit(name)}")
        self._total += BLOCK + size + _padding(size)
        if self._total > MAX_BUNDLE_BYTES:
            raise ArchiveError(f"{name}: makes the bundle larger than {MAX_BUNDLE_BYTES} bytes")
        self._names.add(name.lower())

    def check_complete(self) -> None:
        if self.count < len(_FIRST):
            raise ArchiveError(f"{_FIRST[self.count]}: is missing")


def _read_all(stream: ByteStream) -> dict[str, bytes]:
    reader = ArchiveReader(stream)
    return {member.name: reader.content() for member in reader}


def _padding(size: int) -> int:
    return -size % BLOCK


def _parse_header(header: bytes, position: int) -> Member:
    if len(header) < BLOCK:
        raise ArchiveError(f"member {position}: the archive ends within its header")
    name = header[:100].split(b"\0", 1)[0].decode("latin-1")
    size_field = header[124:136]
    if _SIZE.fullmatch(size_field) is None:
        raise ArchiveError(f"member {position}: its size is not eleven octal digits")
    size = int(size_field[:11], 8)
    if not is_safe_name(name) or header != _header(name, size):
        raise ArchiveError(f"member {position}: its header is not a bundle's header")
    return Member(name, size)


def _header(name: str, size: int) -> bytes:
    before_checksum = (
        name.encode("ascii").ljust(100, b"\0")
        + b"0000644\0"  # mode
        + b"0000000\0" * 2  # uid, gid
        + b"%011o\0" % size
        + b"%011o\0" % 0  # mtime
    )
    after_checksum = (
        b"0"  # a regular file
        + bytes(100)  # link name
        + b"ustar\0" + b"00"  # magic, version
        + bytes(32 + 32)  # user and group name
        + b"0000000\0" * 2  # device numbers
        + bytes(155 + 12)  # prefix, and the rest of the block
    )  # fmt: skip
    # The checksum is the sum of the header's bytes, with spaces in its own eight.
    checksum = sum(before_checksum) + sum(after_checksum) + 8 * ord(" ")
    return before_checksum + b"%06o\0 " % checksum + after_checksum
