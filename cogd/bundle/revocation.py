"""Revocations: a file that says that a key is trusted no more. There is one form for each, to the byte."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cogd.bundle.keys import KEY_ID_PATTERN
from cogd.bundle.utc import Utc, unix_s

_Reason = Annotated[str, Meta(pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z", max_length=200)]  # a terminal can show it


class Revocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key's end: nothing that it signed is accepted any more.

    Attributes:
        key_id: the key.
        reason: one line, for people; may be empty.
        revoked_at: when; UTC.
    """

    format: Literal["cogd.revocation/1"] = "cogd.revocation/1"
    key_id: Annotated[str, Meta(pattern=rf"\A{KEY_ID_PATTERN}\Z")]
    reason: _Reason
    revoked_at: Utc

    def __str__(self) -> str:
        return f"revoked since {self.revoked_at}" + (f": {self.reason}" if self.reason else "")


def encode_revocation(revocation: Revocation) -> bytes:
    """The one form of a revocation's file: JSON, indented by 2, with a final newline."""
    return msgspec.json.format(msgspec.json.encode(revocation), indent=2) + b"\n"


def parse_revocation(raw: bytes) -> Revocation:
    """The revocation whose one form is `raw`.

    Raises:
        ValueError: it is none, or in another form.
    """
    revocation = msgspec.json.decode(raw, type=Revocation)
    unix_s(revocation.revoked_at)
    if encode_revocation(revocation) != raw:
        raise ValueError("it is not in canonical form, as `cogd trust revoke` writes it")
    return revocation
