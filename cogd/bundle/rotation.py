"""Statements that one key takes the place of another.

A statement is a DSSE envelope that both keys signed: the old one says whom it hands over to, and the new one proves
that somebody holds it and agrees. It carries both keys and needs no other file; whether the old key is trusted is for
the reader to say. There is one form for each statement, to the byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from cogd.bundle import dsse
from cogd.bundle.keys import KEY_ID_PATTERN, PublicKey
from cogd.bundle.utc import Utc, unix_s
from cogd.errors import KeyFileError, SignatureError

if TYPE_CHECKING:
    from cogd.bundle.keys import PrivateKey

ROTATION_TYPE: Final = "application/vnd.cogd.key-rotation+json"

_HINT = "get the statement again from the publisher, who makes it with `cogd-train rotate`"

_KeyId = Annotated[str, Meta(pattern=rf"\A{KEY_ID_PATTERN}\Z")]


@dataclass(frozen=True, slots=True)
class Rotation:
    """A statement that both keys signed.

    Attributes:
        old: the key that is given up.
        new: the key that takes its place.
        created: when, says the statement; UTC. Nothing depends on it.
        statement: its exact bytes.
    """

    old: PublicKey
    new: PublicKey
    created: str
    statement: bytes


class _Payload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal["cogd.rotation/1"] = "cogd.rotation/1"
    old: _KeyId
    new: _KeyId
    old_key: bytes  # msgspec has bytes as base64
    new_key: bytes
    created: Utc


def make_rotation(old: PrivateKey, new: PrivateKey, created: str) -> bytes:
    """The statement that `new` takes the place of `old`.

    Args:
        old: the key that is given up.
        new: the key that takes its place.
        created: now, in UTC.

    Raises:
        KeyFileError: both are the same key.
    """
    if old.public == new.public:
        raise KeyFileError(f"{old.public.key_id}: can't be replaced by itself", hint="give two different keys")
    return dsse.sign(_encode(old.public, new.public, created), [old, new], ROTATION_TYPE)


def read_rotation(raw: bytes) -> Rotation:
    """The statement in the envelope `raw`, after both signatures were verified.

    Raises:
        KeyFileError: it is no statement, not in its one form, or not signed by both keys and no other.
    """
    try:
        return _read(raw)
    except (SignatureError, ValueError) as error:  # ValueErrors: msgspec's are
        raise KeyFileError(f"not a statement of rotation: {str(error)[:300]}", hint=_HINT) from error


def _read(raw: bytes) -> Rotation:
    # Which keys must have signed stands in the payload, so that is read first; it proves nothing until `verify`.
    envelope = dsse.read(raw, ROTATION_TYPE)
    said = msgspec.json.decode(envelope.payload, type=_Payload)
    unix_s(said.created)
    old, new = PublicKey(said.old_key), PublicKey(said.new_key)
    if old == new:
        raise ValueError("both keys are the same")
    if _encode(old, new, said.created) != envelope.payload:  # the key ids follow from the keys
        raise ValueError("it is not in canonical form, or the key ids are not those of the keys")
    both = {old.key_id: old, new.key_id: new}
    if envelope.signatures.keys() != both.keys():
        raise ValueError(f"signed by {', '.join(envelope.signatures)} and not by exactly both keys")
    dsse.verify(raw, both, ROTATION_TYPE)
    return Rotation(old, new, said.created, raw)


def _encode(old: PublicKey, new: PublicKey, created: str) -> bytes:
    return msgspec.json.encode(
        _Payload(old=old.key_id, new=new.key_id, old_key=old.raw, new_key=new.raw, created=created)
    )
