"""DSSE v1 envelopes: a payload, its type and its signatures.

Source: https://github.com/secure-systems-lab/dsse (envelope.md, protocol.md). Of the many JSON texts that mean one
envelope this module writes and reads exactly one: compact, keys sorted, signatures by key id, standard base64 with
its padding.
"""

from __future__ import annotations

import base64
import json
import re

from cogd.bundle.ed25519 import SIGNATURE_BYTES
from cogd.bundle.keys import KEY_ID_PATTERN
from cogd.bundle.members import MAX_ENVELOPE_BYTES
from cogd.errors import SignatureError, UnknownKeyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from cogd.bundle.keys import PrivateKey, PublicKey

BUNDLE_TYPE: Final = "application/vnd.cogd.bundle+json"
"""The type of payload of a bundle; what has another type is signed and verified under that."""

MAX_SIGNATURES: Final = 8

_KEY_ID = re.compile(KEY_ID_PATTERN)


class Verified:
    """A payload that a trusted key signed.

    Attributes:
        payload: the bytes that were signed.
        key_ids: the trusted keys whose signatures it bears, sorted; at least one.
    """

    __slots__ = ("key_ids", "payload")

    def __init__(self, payload: bytes, key_ids: tuple[str, ...]) -> None:
        self.payload, self.key_ids = payload, key_ids


class Unverified:
    """What a well-formed envelope says. Nothing of it is verified.

    Attributes:
        payload: what is said to be signed.
        signatures: key id to signature, 1 to 8 of them.
    """

    __slots__ = ("payload", "signatures")

    def __init__(self, payload: bytes, signatures: Mapping[str, bytes]) -> None:
        self.payload, self.signatures = payload, signatures


def sign(payload: bytes, keys: Sequence[PrivateKey], payload_type: str = BUNDLE_TYPE) -> bytes:
    """The envelope of `payload`, signed by each of `keys`.

    The type is signed too: a signature of one type of payload is none of another.

    Raises:
        SignatureError: not 1 to 8 different keys, or the envelope would be larger than 64 KiB (a payload of 46 KiB
            fits with any number of keys).
    """
    message = _pre_authentication_encoding(payload, payload_type)
    signatures = {key.public.key_id: key.sign(message) for key in keys}
    if len(signatures) != len(keys) or not 1 <= len(keys) <= MAX_SIGNATURES:
        hint = f"give 1 to {MAX_SIGNATURES} different keys"
        raise SignatureError(f"{len(keys)} keys, {len(signatures)} of them different", hint=hint)
    envelope = _encode(payload, payload_type, signatures)
    if len(envelope) > MAX_ENVELOPE_BYTES:
        hint = "shorten what is to be signed"
        raise SignatureError(f"the envelope has {len(envelope)} bytes, more than {MAX_ENVELOPE_BYTES}", hint=hint)
    return envelope


def verify(envelope: bytes, trusted: Mapping[str, PublicKey], payload_type: str = BUNDLE_TYPE) -> Verified:
    """The payload of `envelope`, if a key of `trusted` signed it.

    At least one signature must be by a trusted key, and each one by a trusted key must be right. Signatures by
    other keys are not looked at.

    Args:
        envelope: the envelope's JSON, in canonical form.
        trusted: key id to key.
        payload_type: what it must be an envelope of.

    Raises:
        SignatureError: the envelope is malformed or of another type, or a trusted key's signature is wrong.
        UnknownKeyError: no signature is by a trusted key; the message names the key ids that were seen.
    """
    said = read(envelope, payload_type)
    ours = sorted(key_id for key_id in said.signatures if key_id in trusted)
    if not ours:
        raise UnknownKeyError(f"signed by no trusted key, only by {', '.join(said.signatures)}")
    message = _pre_authentication_encoding(said.payload, payload_type)
    for key_id in ours:
        if not trusted[key_id].verifies(message, said.signatures[key_id]):
            raise SignatureError(f"the signature of key {key_id} is wrong")
    return Verified(said.payload, tuple(ours))


def read(raw: bytes, payload_type: str = BUNDLE_TYPE) -> Unverified:
    """What the envelope `raw` says, before anything of it is verified: good for error messages and little else.

    Raises:
        SignatureError: it is malformed, or of another type.
    """
    if len(raw) > MAX_ENVELOPE_BYTES:
        raise SignatureError(f"the envelope has {len(raw)} bytes, more than {MAX_ENVELOPE_BYTES}")
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError) as error:  # ValueErrors: what json and UTF-8 decoding raise
        raise SignatureError(f"not a DSSE envelope: {str(error)[:200]!r}") from error
    # What is more than this, in another order or written otherwise is refused below: the form is compared.
    match said:
        case {"payload": str(payload_text), "payloadType": str(said_type), "signatures": [*entries]}:
            pass
        case _:
            raise SignatureError("not a DSSE envelope: it lacks a payload, its type or the signatures")
    if said_type != payload_type:
        raise SignatureError(f"the payload's type is {said_type[:100]!r}, not {payload_type!r}")
    if not 1 <= len(entries) <= MAX_SIGNATURES:
        raise SignatureError(f"{len(entries)} signatures, not 1 to {MAX_SIGNATURES}")
    signatures: dict[str, bytes] = {}
    for entry in entries:
        key_id, signature = _read_signature(entry)
        if key_id in signatures:
            raise SignatureError(f"two signatures of key {key_id}")
        signatures[key_id] = signature
    payload = _from_base64(payload_text)
    if _encode(payload, payload_type, signatures) != raw:
        raise SignatureError("the envelope is not in canonical form")
    return Unverified(payload, signatures)


def _read_signature(entry: object) -> tuple[str, bytes]:
    match entry:
        case {"keyid": str(key_id), "sig": str(text)}:
            pass
        case _:
            raise SignatureError("not a DSSE envelope: a signature lacks its key id or itself")
    if _KEY_ID.fullmatch(key_id) is None:
        raise SignatureError(f"{key_id[:100]!r} is not a key id")
    signature = _from_base64(text)
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureError(f"the signature of key {key_id} has not {SIGNATURE_BYTES} bytes")
    return key_id, signature


def _pre_authentication_encoding(payload: bytes, payload_type: str) -> bytes:
    # protocol.md: "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode("ascii"), len(payload), payload)


def _encode(payload: bytes, payload_type: str, signatures: Mapping[str, bytes]) -> bytes:
    return json.dumps(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": payload_type,
            "signatures": [
                {"keyid": key_id, "sig": base64.b64encode(signature).decode()}
                for key_id, signature in sorted(signatures.items())
            ],
        },
        separators=(",", ":"),
    ).encode()


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:  # binascii.Error is one; so is what a character beyond ASCII raises
        raise SignatureError("the envelope holds malformed base64") from error
