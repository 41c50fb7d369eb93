"""Every event type of this installation, by name: the built-in ones and those of the installed heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogd.errors import PluginError
from cogd.events import BUILT_IN
from cogd.heads.registry import head_class, head_names

if TYPE_CHECKING:
    from cogd.events import EventFields


def known_events() -> dict[str, type[EventFields]]:
    """Event types by name. Imports every installed head.

    Raises:
        PluginError: a head can't be imported or is malformed, or two types have the same name.
    """
    types = {kind.event_name: kind for kind in BUILT_IN}
    for name in head_names():
        for kind in head_class(name).events:
            if types.setdefault(kind.event_name, kind) is not kind:
                raise PluginError(f"the head {name!r} has an event {kind.event_name!r}, which another type has already")
    return types
