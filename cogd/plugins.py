"""Plugins by entry point. A plugin is imported only when it is chosen."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Final, Literal

from cogd.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterable

Group = Literal["cogd.sources", "cogd.sinks", "cogd.heads", "cogd.backends", "cogd.trainers"]
GROUPS: Final = ("cogd.sources", "cogd.sinks", "cogd.heads", "cogd.backends", "cogd.trainers")


def plugin_names(group: Group) -> list[str]:
    """The names that the installed distributions register in a group."""
    return sorted({entry.name for entry in entry_points(group=group)})


def load_plugin(group: Group, name: str) -> type:
    """The class behind an entry point.

    Raises:
        PluginError: no distribution registers the name, two do, or the class can't be imported.
    """
    found = entry_points(group=group, name=name)
    kind = _kind(group)
    if not found:
        raise PluginError(f"there is no {kind} {name!r}; installed are {', '.join(plugin_names(group))}")
    entry = _only(kind, name, found)
    try:
        loaded = entry.load()
    except Exception as error:  # the plugin border: a third party's module may fail in any way
        raise PluginError(f"the {kind} {name!r} ({entry.value}) can't be imported: {error}") from error
    if not isinstance(loaded, type):
        raise PluginError(f"the {kind} {name!r} ({entry.value}) is not a class")
    return loaded


def check_collisions() -> None:
    """Check that no two distributions register the same name in a group, so that the import path decides nothing.

    Raises:
        PluginError: two do; it names both.
    """
    installed = entry_points()
    for group in GROUPS:
        by_name: dict[str, list[EntryPoint]] = {}
        for entry in installed.select(group=group):
            by_name.setdefault(entry.name, []).append(entry)
        for name, entries in sorted(by_name.items()):
            _only(_kind(group), name, entries)


def _only(kind: str, name: str, entries: Iterable[EntryPoint]) -> EntryPoint:
    """Return the one entry point of a name; a distribution may be on the import path twice."""
    first, *others = entries
    for other in others:
        if _project(other) != _project(first):
            raise PluginError(
                f"two distributions register the {kind} {name!r}: "
                f"{_distribution(first)} ({first.value}) and {_distribution(other)} ({other.value})",
                hint=f"uninstall one of them, or ask its author for another name than {name!r}",
            )
    return first


def _project(entry: EntryPoint) -> str:
    """The distribution's normalised name (https://packaging.python.org/en/latest/specifications/name-normalization/)."""
    return re.sub(r"[-_.]+", "-", entry.dist.name).lower() if entry.dist is not None else ""


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "an unknown distribution"


def _kind(group: str) -> str:
    return group.removeprefix("cogd.").removesuffix("s")
