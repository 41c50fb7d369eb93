"""`cogd schema`: JSON Schema of the events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from cogd.errors import ConfigError
from cogd.events import BUILT_IN
from cogd.events.registry import known_events
from cogd.events.schema import event_schema, events_schema

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from cogd.events import EventFields


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which event, and where to."""
    parser.add_argument(
        "event", nargs="?", metavar="EVENT", help="the event's name (default: one schema of all events)"
    )
    parser.add_argument(
        "--output-dir", type=Path, metavar="DIR", help="write one file EVENT.json for each event instead of printing"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the schema of one event's line or of all, or write one file for each event.

    Raises:
        ConfigError: there is no such event, or the files can't be written.
        PluginError: an installed head can't be imported.
    """
    types = {kind.event_name: kind for kind in BUILT_IN}
    if arguments.event not in types:
        types = known_events()
    if arguments.event is not None:
        if arguments.event not in types:
            raise ConfigError(
                f"there is no event {arguments.event!r}", hint=f"known events: {', '.join(sorted(types))}"
            )
        types = {arguments.event: types[arguments.event]}
    if arguments.output_dir is not None:
        _write(arguments.output_dir, types)
    elif arguments.event is not None:
        print(_text(event_schema(types[arguments.event])), end="")
    else:
        print(_text(events_schema(types.values())), end="")
    return 0


def _write(folder: Path, types: Mapping[str, type[EventFields]]) -> None:
    for name, kind in types.items():
        path = folder / f"{name}.json"
        try:
            path.write_text(_text(event_schema(kind)), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"--output-dir: {path}: {error.strerror or error}", hint="create the folder") from error


def _text(schema: dict[str, object]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
