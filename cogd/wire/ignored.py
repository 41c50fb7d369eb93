"""What is well formed, but carries no channel state information."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message that was recognised and is not used.

    Attributes:
        kind: one of a small fixed set of names, fit for a counter's label; never text off the wire.
    """

    kind: str
