"""Whose a manifest is, and whether a file is the one that it names. Needs little, so that `cogd health` is quick."""

from __future__ import annotations

from hashlib import sha256

from cogd.bundle import dsse
from cogd.bundle.members import MANIFEST_NAME
from cogd.errors import DigestError, RevokedKeyError, SignatureError, ThresholdError, UnknownKeyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cogd.bundle.trust import TrustStore


def authenticate(manifest_bytes: bytes, envelope: bytes, trust: TrustStore) -> tuple[str, ...]:
    """The trusted keys that signed exactly `manifest_bytes`, sorted; as many holders of keys as `trust` asks for.

    Raises:
        SignatureError: the envelope or a signature is wrong, or the payload is not `manifest_bytes`.
        RevokedKeyError: no trusted key signed it, but a revoked one did.
        UnknownKeyError: no trusted key signed it, nor any that was.
        ThresholdError: fewer trusted keys signed it than `trust` asks for.
    """
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
    if verified.payload != manifest_bytes:
        raise SignatureError(f"{MANIFEST_NAME} is not what was signed")
    return verified.key_ids


def bundle_digest(manifest_bytes: bytes) -> str:
    """`sha256:` and the hex SHA-256 of a manifest's bytes; it names the bundle, for it covers every file."""
    return f"sha256:{sha256(manifest_bytes).hexdigest()}"


def check_file(path: str, data: bytes | None, size: int, sha256_hex: str) -> bytes:
    """The content `data` of the file `path`, if it is the one that was signed.

    Raises:
        DigestError: it is missing (None) or was changed.
    """
    if data is None:
        raise DigestError(f"{path}: is missing")
    if len(data) != size:
        raise DigestError(f"{path}: was changed, it has {len(data)} bytes instead of {size}")
    if sha256(data).hexdigest() != sha256_hex:
        raise DigestError(f"{path}: was changed, its SHA-256 is not the signed one")
    return data
