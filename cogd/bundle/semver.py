"""Semantic versions, https://semver.org/spec/v2.0.0.html, without build metadata."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
_IDENTIFIER = rf"(?:{_NUMBER}(?![0-9A-Za-z-])|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
SEMVER: Final = rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?"
MAX_LENGTH: Final = 64

Precedence = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


def is_at_least(version: str, lowest: str) -> bool:
    """Whether `version` is `lowest` or a later one.

    Raises:
        ValueError: one of them is not a semantic version; where both are the same text, nobody looks.
    """
    return version == lowest or precedence(version) >= precedence(lowest)


def precedence(version: str) -> Precedence:
    """A key that orders versions as semver's section 11 does: `1.0.0-rc.2 < 1.0.0-rc.10 < 1.0.0`.

    Raises:
        ValueError: `version` is not MAJOR.MINOR.PATCH with an optional pre-release, or longer than 64 characters.
    """
    match = re.fullmatch(SEMVER, version) if len(version) <= MAX_LENGTH else None
    if match is None:
        raise ValueError(f"{version[:MAX_LENGTH]!r} is not a semantic version")
    pre: str | None = match[4]
    identifiers = tuple(
        (False, int(part), "") if part.isdecimal() else (True, 0, part)  # numbers order below words
        for part in (pre.split(".") if pre is not None else ())
    )
    return int(match[1]), int(match[2]), int(match[3]), pre is None, identifiers
