"""The installed heads by name: the entry-point group `cogd.heads`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogd.errors import PluginError
from cogd.events import EventFields
from cogd.heads.base import Head
from cogd.plugins import load_plugin, plugin_names

if TYPE_CHECKING:
    from collections.abc import Sequence


def head_names() -> list[str]:
    """The installed heads, sorted. Imports none of them."""
    return plugin_names("cogd.heads")


def head_class(name: str) -> type[Head]:
    """The class of a head; imports it.

    Raises:
        PluginError: there is no such head, it can't be imported, or it is not what `Head` demands.
    """
    loaded = load_plugin("cogd.heads", name)
    if not issubclass(loaded, Head):
        raise PluginError(f"the head {name!r} ({_named(loaded)}) does not derive from cogd.heads.base.Head")
    if missing := sorted(loaded.__abstractmethods__):
        raise PluginError(f"the head {name!r} ({_named(loaded)}) lacks {', '.join(missing)}")
    if (own := getattr(loaded, "name", None)) != name:
        raise PluginError(f"the head {name!r} ({_named(loaded)}) has the name {own!r}; it must be {name!r}")
    if not _are_event_types(getattr(loaded, "events", ())):
        raise PluginError(
            f"the head {name!r} ({_named(loaded)}) must have `events`: one event type at least, each derived from "
            "cogd.events.EventFields and with an event_name"
        )
    return loaded


def _are_event_types(kinds: Sequence[object]) -> bool:
    return bool(kinds) and all(
        isinstance(kind, type) and issubclass(kind, EventFields) and isinstance(getattr(kind, "event_name", None), str)
        for kind in kinds
    )


def _named(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
