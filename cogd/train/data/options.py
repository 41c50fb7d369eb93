"""Options that every data set takes behind the `?` of its specification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cogd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILTERS: Final[tuple[str, ...]] = ("session", "room", "subject", "chip")
"""Only recordings of these names."""

THIN: Final[tuple[str, ...]] = ("thin", "thin_seed")
"""Recordings thinned to lower frame rates (`cogd.train.data.thin`)."""


def refuse_other_options(kind: str, options: Mapping[str, str], known: Sequence[str] = ()) -> None:
    """Raise ConfigError for an option that a kind doesn't have."""
    for name in options:
        if name not in known:
            raise ConfigError(f"{kind} has no option {name!r}", hint="it has " + ", ".join([*known, *FILTERS, *THIN]))
