"""The one door: nothing of a bundle is used but what came through here as a `VerifiedBundle`."""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

import cogd
from cogd.bundle import dsse
from cogd.bundle.archive import read_archive, write_archive
from cogd.bundle.manifest import (
    KNOWN_FEATURES,
    FileEntry,
    Manifest,
    check_requirements,
    encode_manifest,
    parse_manifest,
)
from cogd.bundle.members import ENVELOPE_NAME, MANIFEST_NAME
from cogd.bundle.trust import TrustStore
from cogd.errors import DigestError, RevokedKeyError, SignatureError, ThresholdError, UnknownKeyError

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
    verified = _authenticate(envelope, trust)
    if verified.payload != manifest_bytes:
        raise SignatureError(f"{MANIFEST_NAME} is not what was signed")
    manifest = parse_manifest(verified.payload)
    check_requirements(manifest, cogd_version, KNOWN_FEATURES)
    return VerifiedManifest(manifest, verified.key_ids)


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
        digest=f"sha256:{sha256(manifest_bytes).hexdigest()}",
        key_ids=verified.key_ids,
        files=MappingProxyType({entry.path: _checked(entry, files) for entry in entries}),
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


def _authenticate(envelope: bytes, trust: TrustStore) -> dsse.Verified:
    try:
        verified = dsse.verify(envelope, trust)
    except UnknownKeyError as error:
        # Nobody checked those signatures, and nobody needs to: they would not count.
        revoked = [key_id for key_id in dsse.read(envelope).signatures if key_id in trust.revoked]
        if not revoked:
            raise
        said = "; ".join(f"{key_id} is {trust.revoked[key_id]}" for key_id in revoked)
        raise RevokedKeyError(f"signed by no trusted key: {said}") from error
    holders = trust.holders(verified.key_ids)
    if len(holders) < trust.threshold:
        known = len(trust.holders(trust))
        raise ThresholdError(
            f"{trust.threshold} of the {known} holders of trusted keys must have signed it, "
            f"but only {len(holders)} did: {', '.join(verified.key_ids)}"
        )
    return verified


def _checked(entry: FileEntry, files: Mapping[str, bytes]) -> bytes:
    data = files.get(entry.path)
    if data is None:
        raise DigestError(f"{entry.path}: is missing")
    if len(data) != entry.size:
        raise DigestError(f"{entry.path}: was changed, it has {len(data)} bytes instead of {entry.size}")
    if sha256(data).hexdigest() != entry.sha256:
        raise DigestError(f"{entry.path}: was changed, its SHA-256 is not the signed one")
    return data
