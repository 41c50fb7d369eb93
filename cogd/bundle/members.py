"""What a bundle is made of: names with a meaning, which other names are safe, and how big anything may be."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MANIFEST_NAME: Final = "bundle.json"
ENVELOPE_NAME: Final = "bundle.dsse.json"
CARD_NAME: Final = "MODEL_CARD.md"

MAX_BUNDLE_BYTES: Final = 64 << 20
MAX_MEMBERS: Final = 64
MAX_MANIFEST_BYTES: Final = 1 << 20
MAX_ENVELOPE_BYTES: Final = 64 << 10

# Written into an installed app's directory by the appliance (ADR-100): a signed file there would be overwritten.
APPLIANCE_NAMES: Final = frozenset({"manifest.json", "config.json", "pid", "output.log", "error.log"})

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def is_safe_name(name: str) -> bool:
    """Whether `name` is flat: 1 to 100 letters, digits, dots, dashes and underscores, the first no punctuation."""
    return _SAFE_NAME.fullmatch(name) is not None


def size_limit(name: str) -> int:
    """The most bytes that the member `name` may have."""
    return {MANIFEST_NAME: MAX_MANIFEST_BYTES, ENVELOPE_NAME: MAX_ENVELOPE_BYTES}.get(name, MAX_BUNDLE_BYTES)
