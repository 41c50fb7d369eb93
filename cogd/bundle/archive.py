"""The bundle's archive: a ustar file of which there is exactly one form.

Format: POSIX.1-2017, pax, "ustar Interchange Format". Any tar lists and unpacks it, but this reader takes only what
`write_archive` writes: every header is made again from its name and size, and must come out the same. So there
is no mode, owner, time, link, prefix, extension, padding or trailing byte for anything to hide in.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cogd.bundle.members import (
    ENVELOPE_NAME,
    MANIFEST_NAME,
    MAX_BUNDLE_BYTES,
    MAX_MEMBERS,
    is_safe_name,
    size_limit,
)
from cogd.bundle.regular import read_regular_file
from cogd.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

BLOCK: Final = 512
_END: Final = bytes(2 * BLOCK)
_FIRST: Final = (MANIFEST_NAME, ENVELOPE_NAME)
_SIZE = re.compile(rb"[0-7]{11}\0")


def write_archive(files: Mapping[str, bytes]) -> bytes:
    """The archive of `files`, in their order.

    Args:
        files: name to content; the first two are `bundle.json` and `bundle.dsse.json`.

    Raises:
        ArchiveError: a name is unsafe or out of place, or something is too large.
    """
    seen: list[str] = []
    parts: list[bytes] = []
    total = len(_END)
    for name, data in files.items():
        _check_member(name, len(data), seen)
        seen.append(name)
        padding = bytes(_padding(len(data)))
        total += BLOCK + len(data) + len(padding)
        if total > MAX_BUNDLE_BYTES:
            raise ArchiveError(f"{name}: makes the bundle larger than {MAX_BUNDLE_BYTES} bytes")
        parts += [_header(name, len(data)), data, padding]
    _check_complete(seen)
    return b"".join([*parts, _END])


def read_archive(raw: bytes) -> dict[str, bytes]:
    """The files in the archive `raw`, in its order: name to content.

    Raises:
        ArchiveError: `raw` is not byte for byte what `write_archive` makes of those files.
    """
    if len(raw) > MAX_BUNDLE_BYTES:
        raise ArchiveError(f"has {len(raw)} bytes, more than {MAX_BUNDLE_BYTES}")
    files: dict[str, bytes] = {}
    offset = 0
    while any(header := raw[offset : offset + BLOCK]):
        name, size = _parse_header(header, len(files))
        _check_member(name, size, files)
        start, end = offset + BLOCK, offset + BLOCK + size
        offset = end + _padding(size)
        if offset > len(raw):
            raise ArchiveError(f"{name}: the archive ends within this file")
        if any(raw[end:offset]):
            raise ArchiveError(f"{name}: its padding is not zero")
        files[name] = raw[start:end]
    if raw[offset:] != _END:
        raise ArchiveError("the archive does not end in exactly two zero blocks")
    _check_complete(files)
    return files


def read_archive_file(path: Path) -> dict[str, bytes]:
    """`read_archive` of a regular file, opened once, its size checked before it is read; no symbolic link.

    Raises:
        ArchiveError: the file can't be read, or is not a bundle archive.
    """
    try:
        raw = read_regular_file(path, limit=MAX_BUNDLE_BYTES).data
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror}") from error
    return read_archive(raw)


def _padding(size: int) -> int:
    return -size % BLOCK


def _check_member(name: str, size: int, before: Collection[str]) -> None:
    if not is_safe_name(name):
        raise ArchiveError(f"member {len(before)}: the name {name[:100]!r} is not allowed")
    if name.lower() in (other.lower() for other in before):
        raise ArchiveError(f"{name}: is there twice, or differs from another name only in case")
    if len(before) >= MAX_MEMBERS:
        raise ArchiveError(f"{name}: is one more than {MAX_MEMBERS} files")
    if len(before) < len(_FIRST) and name != _FIRST[len(before)]:
        raise ArchiveError(f"{name}: in the place of {_FIRST[len(before)]}")
    if size > size_limit(name):
        raise ArchiveError(f"{name}: has {size} bytes, more than {size_limit(name)}")


def _check_complete(names: Collection[str]) -> None:
    if len(names) < len(_FIRST):
        raise ArchiveError(f"{_FIRST[len(names)]}: is missing")


def _parse_header(header: bytes, position: int) -> tuple[str, int]:
    if len(header) < BLOCK:
        raise ArchiveError(f"member {position}: the archive ends within its header")
    name = header[:100].split(b"\0", 1)[0].decode("latin-1")
    size_field = header[124:136]
    if _SIZE.fullmatch(size_field) is None:
        raise ArchiveError(f"member {position}: its size is not eleven octal digits")
    size = int(size_field[:11], 8)
    if not is_safe_name(name) or header != _header(name, size):
        raise ArchiveError(f"member {position}: its header is not a bundle's header")
    return name, size


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
