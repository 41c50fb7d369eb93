"""Times as signed and stored text: UTC, whole seconds, `2026-01-02T03:04:05Z`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

Utc = Annotated[
    str, Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z\Z", max_length=20)
]
"""The form alone: the 30th of February has it too."""


def unix_s(text: str) -> float:
    """Unix seconds of a text of the form `Utc`.

    Raises:
        ValueError: there is no such time.
    """
    return datetime.fromisoformat(text).timestamp()


def utc_text(time_s: float) -> str:
    """Unix seconds as text, rounded down."""
    return datetime.fromtimestamp(time_s // 1, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
