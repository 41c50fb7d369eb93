"""Receive a bundle from somebody who is not trusted yet: nothing more is taken than what a trusted key announced.

What comes first is the manifest and its envelope, at most 1 MiB + 64 KiB. Only when a trusted key has signed them is a
further byte read, and then only the files that the manifest lists, of the size and in the order that it gives.
"""

from __future__ import annotations

from collections import deque
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING

import cogd
from cogd.bundle.archive import ArchiveReader, archive_size
from cogd.bundle.members import ENVELOPE_NAME, MANIFEST_NAME
from cogd.bundle.verify import VerifiedBundle, verify_bundle, verify_manifest
from cogd.errors import ArchiveError, DigestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cogd.bundle.archive import ByteStream, Member
    from cogd.bundle.manifest import FileEntry
    from cogd.bundle.trust import TrustStore


def receive_bundle(
    stream: ByteStream,
    trust: TrustStore,
    *,
    cogd_version: str = cogd.__version__,
    progress: Callable[[int, int], None] | None = None,
) -> VerifiedBundle:
    """Read the archive of one bundle from `stream`, to its end, and verify it on the way.

    Of several faults the one that comes first in the archive is raised: first what is wrong with the archive up to
    the end of the envelope; then signature, manifest and requirements, in this order; then, of each file, its header,
    its name and place, its size, its content and padding, its digest; then the end.

    Args:
        stream: is only read from, and never further than is needed; may give fewer bytes than it was asked for.
        trust: the keys that may sign.
        cogd_version: the version that is to run it.
        progress: called with the bytes that were read and the bytes that there are, from when that is known. More
            were read than there are: only in an archive that is refused.

    Returns:
        The same as `verify_bundle` of the archive's files.

    Raises:
        ArchiveError: the stream can't be read, is no bundle archive, or has the signed files in another order.
        DigestError: a file is missing, extra or changed; the message names it.
        BundleError: any other reason that `verify_manifest` gives.
    """
    meter = _Meter(stream, progress)
    reader = ArchiveReader(meter)
    files = {member.name: reader.content() for member in islice(reader, 2)}
    verified = verify_manifest(files[MANIFEST_NAME], files[ENVELOPE_NAME], trust, cogd_version=cogd_version)
    awaited = deque(verified.manifest.files)
    meter.expected = archive_size([*map(len, files.values()), *(entry.size for entry in awaited)])
    for member in reader:
        _check_awaited(member, awaited)
        data = reader.content()
        # `verify_bundle` looks again; here it ends the transfer with the first wrong file.
        if sha256(data).hexdigest() != awaited.popleft().sha256:
            raise DigestError(f"{member.name}: was changed, its SHA-256 is not the signed one")
        files[member.name] = data
    return verify_bundle(files, trust, cogd_version=cogd_version)


def _check_awaited(member: Member, awaited: deque[FileEntry]) -> None:
    """See that `member` is the first of the files that are still `awaited`."""
    if member.name not in (entry.path for entry in awaited):
        raise DigestError(f"{member.name}: is extra, it was not signed")
    if member.name != awaited[0].path:
        raise ArchiveError(f"{member.name}: in the place of {awaited[0].path}")
    if member.size != awaited[0].size:
        raise DigestError(f"{member.name}: was changed, it has {member.size} bytes instead of {awaited[0].size}")


class _Meter:
    """A stream that tells how much of it was read, from when it is known how much there is to read."""

    def __init__(self, stream: ByteStream, progress: Callable[[int, int], None] | None) -> None:
        self._stream = stream
        self._progress = progress
        self._done = 0
        self.expected: int | None = None

    def read(self, size: int, /) -> bytes | None:
        data = self._stream.read(size)
        if data:
            self._done += len(data)
            if self._progress is not None and self.expected is not None:
                self._progress(self._done, self.expected)
        return data
