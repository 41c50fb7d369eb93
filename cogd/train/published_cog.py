"""What is known of a published cog; each head that has one states it in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cogd.bundle.manifest import OutputSpec


@dataclass(frozen=True)
class Cog:
    """A published cog and what is known of it.

    Attributes:
        app_id: its id.
        version: that was published.
        title: for people.
        head: the head that reads its outputs.
        net: the network that its weights are of, one of the head's.
        needs_normaliser: whether it was trained on normalised windows, by statistics that were never published.
        output: what its outputs are, as a bundle describes them.
        limits: what it can't do.
    """

    app_id: str
    version: str
    title: str
    head: str
    net: str
    needs_normaliser: bool
    output: OutputSpec
    limits: tuple[str, ...]
