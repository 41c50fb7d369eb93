"""The one door: nothing of a bundle is used but what came through here as a `VerifiedBundle`.

(`cogd.probe.quick` has the same checks of signature and digests, but not those of the manifest's whole schema.)
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

import cogd
from cogd.bundle import dsse
from cogd.bundle.archive import read_archive, write_archive
from cogd.bundle.authentic import authenticate, bundle_digest, check_file
from cogd.bundle.features import KNOWN_FEATURES
from cogd.bundle.manifest import (
    FileEntry,
    Manifest,
    check_requirements,
    encode_manifest,
    parse_manifest,
)
from cogd.bundle.members import ENVELOPE_NAME, MANIFEST_NAME
from cogd.bundle.trust import TrustStore
from cogd.errors import DigestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cogd.bundle.keys import PrivateKey

_SEAL: Final = object()


@dataclass(frozen=True, slots=True, eq=False)
class VerifiedBundle:
    """A bundle whose every byte is covered by a trusted signature. Made by `verify_bundle` only.

    Attributes:
        manifest: the parsed `bundle.json`.
        manifest_bytes: its exact bytes, the ones that were signed.
        envelope_bytes: `bundle.dsse.json`.
        digest: `sha256:` and the hex SHA-256 of `manifest_bytes`; it names the bundle, for it covers every file.
        key_ids: the trusted keys that signed it, sorted; at least one.
        files: name to content of the signed files, in the manifest's order; read-only.
    """

    manifest: Manifest
    manifest_bytes: bytes
    envelope_bytes: bytes
    digest: str
    key_ids: tuple[str, ...]
    files: Mapping[str, bytes]
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("a VerifiedBundle is made by verify_bundle")

    def file(self, path: str) -> bytes:
        """The content of the signed file `path`.

        Raises:
            DigestError: there is no such file in the manifest.
        """
        try:
            return self.files[path]
        except KeyError:
            raise DigestError(f"{path}: is not among the signed files") from None

    def members(self) -> dict[str, bytes]:
        """Every file of the bundle, in the archive's order: what `write_archive` takes and an installer writes."""
        return {MANIFEST_NAME: self.manifest_bytes, ENVELOPE_NAME: self.envelope_bytes, **self.files}


@dataclass(frozen=True, slots=True)
class VerifiedManifest:
    """A manifest under a trusted signature that this cogd can run; its files are not checked yet."""

    manifest: Manifest
    key_ids: tuple[str, ...]


def verify_manifest(
    manifest_bytes: bytes, envelope: bytes, trust: TrustStore, *, cogd_version: str
) -> VerifiedManifest:
    """Verify the signature first, and parse only what is signed.

    Raises:
        SignatureError: the envelope or a signature is wrong, or the payload is not `manifest_bytes`.
        RevokedKeyError: no trusted key signed it, but a revoked one did.
        UnknownKeyError: no trusted key signed it, nor any that was.
        ThresholdError: fewer trusted keys signed it than `trust` asks for.
        ManifestError: the signed manifest breaks its schema.
        RequirementError: it needs another cogd than `cogd_version`.
        FeatureError: it needs a feature that this cogd does not know.
    """
    key_ids = authenticate(manifest_bytes, envelope, trust)
    manifest = parse_manifest(manifest_bytes)
    check_requirements(manifest, cogd_version, KNOWN_FEATURES)
    return VerifiedManifest(manifest, key_ids)


def verify_bundle(
    files: Mapping[str, bytes], trust: TrustStore, *, cogd_version: str = cogd.__version__
) -> VerifiedBundle:
    """Verify a whole bundle: signature, manifest, requirements, then each file.

    Args:
        files: name to content, of all of the bundle's files and no others.
        trust: whose signatures count, and how many of them it takes.
        cogd_version: the version that is to run it.

    Raises:
        SignatureError, RevokedKeyError, UnknownKeyError, ThresholdError, ManifestError, RequirementError,
            FeatureError: as `verify_manifest`.
        DigestError: a file is missing, extra or changed; the message names it.
    """
    for name in (MANIFEST_NAME, ENVELOPE_NAME):
        if name not in files:
            raise DigestError(f"{name}: is missing")
    manifest_bytes, envelope = files[MANIFEST_NAME], files[ENVELOPE_NAME]
    verified = verify_manifest(manifest_bytes, envelope, trust, cogd_version=cogd_version)
    entries = verified.manifest.files
    if extra := sorted(files.keys() - {MANIFEST_NAME, ENVELOPE_NAME} - {entry.path for entry in entries}):
        raise DigestError(f"{extra[0]}: is extra, it was not signed")
    return VerifiedBundle(
        manifest=verified.manifest,
        manifest_bytes=manifest_bytes,
        envelope_bytes=envelope,
        digest=bundle_digest(manifest_bytes),
        key_ids=verified.key_ids,
        files=MappingProxyType(
            {entry.path: check_file(entry.path, files.get(entry.path), entry.size, entry.sha256) for entry in entries}
        ),
        seal=_SEAL,
    )


def pack(manifest: Manifest, files: Mapping[str, bytes], keys: Sequence[PrivateKey]) -> bytes:
    """The archive of a new bundle, verified as an installation will verify it.

    Args:
        manifest: all but its `files`, which are replaced by the entries of `files`.
        files: name to content, without the manifest and its envelope; put into the archive in name order.
        keys: the keys to sign with.

    Raises:
        ManifestError: the manifest breaks its schema, or names a file that is not among `files`.
        SignatureError: not 1 to 8 different keys, or the manifest is too large for an envelope.
        ArchiveError: the bundle is too large.
        RequirementError: not even this cogd could run it.
    """
    contents = dict(sorted(files.items()))
    entries = [FileEntry(path=path, size=len(data), sha256=sha256(data).hexdigest()) for path, data in contents.items()]
    manifest_bytes = encode_manifest(msgspec.structs.replace(manifest, files=entries))
    parse_manifest(manifest_bytes)
    envelope = dsse.sign(manifest_bytes, keys)
    archive = write_archive({MANIFEST_NAME: manifest_bytes, ENVELOPE_NAME: envelope, **contents})
    verify_bundle(read_archive(archive), TrustStore.of(*(key.public for key in keys)))
    return archive
