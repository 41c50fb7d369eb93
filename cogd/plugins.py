"""Plugins by entry point. A plugin is imported only when it is chosen."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Final, Literal

from cogd.errors import PluginError

Group = Literal["cogd.sources", "cogd.sinks", "cogd.heads", "cogd.backends", "cogd.trainers"]
GROUPS: Final = ("cogd.sources", "cogd.sinks", "cogd.heads", "cogd.backends", "cogd.trainers")


def plugin_names(group: Group) -> list[str]:
    """The plugins of a group that are installed."""
    return sorted({entry.name for entry in entry_points(group=group)})


def load_plugin(group: Group, name: str) -> type:
    """The class behind an entry point.

    Raises:
        PluginError: there is none of that name, or it can't be imported.
    """
    found = entry_points(group=group, name=name)
    kind = group.removeprefix("cogd.").removesuffix("s")
    if not found:
        raise PluginError(f"there is no {kind} {name!r}; installed are {', '.join(plugin_names(group))}")
    entry = next(iter(found))
    try:
        loaded = entry.load()
    except Exception as error:  # the plugin border: a third party's module may fail in any way
        raise PluginError(f"the {kind} {name!r} ({entry.value}) can't be imported: {error}") from error
    if not isinstance(loaded, type):
        raise PluginError(f"the {kind} {name!r} ({entry.value}) is not a class")
    return loaded
