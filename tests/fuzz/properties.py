"""What holds for any bytes whatever: each function takes some, and raises when its property does not hold.

`fuzz_*.py` search for bytes that break one; `tests/bundle/test_corpus.py` tries those that were found worth keeping.
"""

from __future__ import annotations

import base64
import json
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from cogd.bundle import dsse
from cogd.bundle.archive import BLOCK, ArchiveReader, read_archive, write_archive
from cogd.bundle.manifest import encode_manifest, parse_manifest
from cogd.bundle.receive import receive_bundle
from cogd.bundle.verify import verify_bundle
from cogd.errors import ArchiveError, BundleError, ManifestError, SignatureError, UnknownKeyError
from tests.bundle.factory import KEY, OTHER_KEY, make_bundle, trust

if TYPE_CHECKING:
    from collections.abc import Callable

TRUST: Final = trust()
MADE: Final = make_bundle()
OTHER: Final = make_bundle(version="1.2.4", keys=[KEY, OTHER_KEY])
GENUINE: Final = {archive: dict(sorted(read_archive(archive).items())) for archive in (MADE.archive, OTHER.archive)}
PAYLOADS: Final = frozenset(files["bundle.json"] for files in GENUINE.values()) | {b"", b"{}"}
"""All that `KEY` has ever signed."""


class Drip:
    """A stream that gives few bytes at a time, as a pipe may."""

    def __init__(self, raw: bytes, piece: int) -> None:
        self._stream = BytesIO(raw)
        self._piece = piece

    def read(self, size: int, /) -> bytes:
        return self._stream.read(min(size, self._piece))


def archive(raw: bytes) -> None:
    """What is read is what is written from it; in small pieces as well, and with its checksums made right."""
    for tried in {raw, repaired(raw)}:
        files = _archive(tried)
        assert _from_drip(tried) == files


def _archive(raw: bytes) -> dict[str, bytes] | None:
    try:
        files = read_archive(raw)
    except ArchiveError:
        return None
    assert write_archive(files) == raw
    return files


def _from_drip(raw: bytes) -> dict[str, bytes] | None:
    reader = ArchiveReader(Drip(raw, 1 + len(raw) % 600))
    try:
        return {member.name: reader.content() for member in reader}
    except ArchiveError:
        return None


def repaired(raw: bytes) -> bytes:
    """`raw` with a right checksum in each header, as far as headers can be found."""
    changed = bytearray(raw)
    position = 0
    while len(header := changed[position : position + BLOCK]) == BLOCK and any(header):
        header[148:156] = b" " * 8
        changed[position + 148 : position + 156] = b"%06o\0 " % sum(header)
        size = bytes(header[124:135])
        if len(size.strip(b"01234567")):
            break
        position += BLOCK + (int(size, 8) + BLOCK - 1) // BLOCK * BLOCK
    return bytes(changed)


def manifest(raw: bytes) -> None:
    """A manifest that is taken comes back the same when it is written; anything else is a ManifestError."""
    try:
        parsed = parse_manifest(raw)
    except ManifestError as error:
        _check_message(error)
        return
    written = encode_manifest(parsed)
    assert parse_manifest(written) == parsed
    assert encode_manifest(parse_manifest(written)) == written
    assert isinstance(json.loads(raw), dict)


def envelope(raw: bytes) -> None:
    """An envelope that is taken is its JSON's one form; only what `KEY` has signed verifies."""
    try:
        verified = dsse.verify(raw, TRUST)
    except UnknownKeyError as error:
        _check_message(error)
        _check_envelope(raw)
    except SignatureError as error:
        _check_message(error)
    else:
        _check_envelope(raw)
        assert verified.payload in PAYLOADS
        assert verified.key_ids == (KEY.public.key_id,)


def _check_envelope(raw: bytes) -> None:
    """Every text in it has one form; so nothing can be changed without changing what it means."""
    value = json.loads(raw)
    assert json.dumps(value, sort_keys=True, separators=(",", ":")).encode() == raw
    assert sorted(value) == ["payload", "payloadType", "signatures"]
    for text in (value["payload"], *(signature["sig"] for signature in value["signatures"])):
        assert base64.b64encode(base64.b64decode(text, validate=True)).decode() == text
    assert all(one["keyid"] < next_["keyid"] for one, next_ in pairwise(value["signatures"]))


def bundle(script: bytes) -> None:
    """A genuine bundle, changed as `script` says, is the genuine one again or refused, by both ways in."""
    raw = changed(MADE.archive, script)
    try:
        received = receive_bundle(BytesIO(raw), TRUST)
    except BundleError as error:
        _check_message(error)
        assert raw not in GENUINE
    else:
        assert raw in GENUINE
        assert write_archive(received.members()) == raw
    try:
        verified = verify_bundle(read_archive(raw), TRUST)
    except BundleError:
        assert raw not in GENUINE
    else:  # the order of the files is the only liberty
        assert dict(sorted(verified.members().items())) in GENUINE.values()


def changed(raw: bytes, script: bytes) -> bytes:
    """`raw` after the steps of `script`: four bytes each, which step, where (two bytes) and how much."""
    current = bytearray(raw)
    for start in range(0, len(script) - 3, 4):
        which, where, much = script[start], int.from_bytes(script[start + 1 : start + 3], "big"), script[start + 3]
        CHANGES[which % len(CHANGES)](current, where % (len(current) + 1), much)
        del current[3 * len(raw) :]
    return bytes(current)


def _flip(raw: bytearray, where: int, much: int) -> None:
    if where < len(raw):
        raw[where] ^= much


def _insert(raw: bytearray, where: int, much: int) -> None:
    raw[where:where] = bytes([much])


def _delete(raw: bytearray, where: int, much: int) -> None:
    del raw[where : where + much]


def _truncate(raw: bytearray, where: int, much: int) -> None:
    del raw[where:]


def _swap_blocks(raw: bytearray, where: int, much: int) -> None:
    one, two = where // BLOCK * BLOCK, much * BLOCK
    first, second = raw[one : one + BLOCK], raw[two : two + BLOCK]
    if len(first) == len(second) == BLOCK:
        raw[one : one + BLOCK], raw[two : two + BLOCK] = second, first


def _copy_blocks(raw: bytearray, where: int, much: int) -> None:
    """Put a copy of up to 16 blocks before another block: members twice, contents mixed, an archive in an archive."""
    here, there, count = where // BLOCK * BLOCK, much // 16 * BLOCK, 1 + much % 16
    raw[here:here] = raw[there : there + count * BLOCK]


def _delete_blocks(raw: bytearray, where: int, much: int) -> None:
    here = where // BLOCK * BLOCK
    del raw[here : here + (1 + much % 16) * BLOCK]


def _from_other(raw: bytearray, where: int, much: int) -> None:
    """Mix in a block of another genuine bundle."""
    here = where // BLOCK * BLOCK
    raw[here : here + BLOCK] = OTHER.archive[much * BLOCK : (much + 1) * BLOCK]


def _number(raw: bytearray, where: int, much: int) -> None:
    """Change the size in a header."""
    here = where // BLOCK * BLOCK
    if here + BLOCK <= len(raw):
        raw[here + 124 : here + 136] = b"%011o\0" % much


def _repair(raw: bytearray, where: int, much: int) -> None:
    raw[:] = repaired(bytes(raw))


CHANGES: Final[tuple[Callable[[bytearray, int, int], None], ...]] = (
    _flip,
    _insert,
    _delete,
    _truncate,
    _swap_blocks,
    _copy_blocks,
    _delete_blocks,
    _from_other,
    _number,
    _repair,
)


def _check_message(error: BundleError) -> None:
    """A message is one short line, whatever the bytes that it quotes."""
    message = str(error)
    assert message
    assert len(message) <= 1000
    assert message.isprintable()


PROPERTIES: Final[dict[str, Callable[[bytes], None]]] = {
    "archive": archive,
    "manifest": manifest,
    "envelope": envelope,
    "bundle": bundle,
}
