"""`cogd config show`: every setting, its value and where it came from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cogd.cli.common import add_every_setting, read_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One action so far: show."""
    parser.add_argument("action", choices=["show"], help="show: print every setting")
    add_every_setting(parser)
    parser.add_argument("--json", action="store_true", help="for machines")


def run(arguments: argparse.Namespace) -> int:
    """Print all settings."""
    loaded = read_settings(arguments)
    values = loaded.settings.model_dump(mode="json")
    if arguments.json:
        print(
            json.dumps(
                {key: {"value": value, "origin": loaded.origins[key]} for key, value in values.items()}, indent=2
            )
        )
        return 0
    for key, value in values.items():
        shown = " ".join(value) if isinstance(value, list) else value
        print(f"{key:18} {shown if shown is not None else '-'!s:44} {loaded.origins[key]}")
    return 0
