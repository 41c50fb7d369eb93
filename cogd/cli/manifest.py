"""`cogd manifest ID`: an app's signed manifest."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cogd.cli.common import add_settings_arguments, catalogue, read_settings
from cogd.errors import NoAppError

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which app."""
    parser.add_argument("id", help="the app's id")
    add_settings_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the manifest's exact bytes, after its signature and every digest were verified."""
    settings = read_settings(arguments).settings
    bundles, rejected = catalogue(arguments, settings).scan()
    for bundle in bundles:
        if bundle.manifest.id == arguments.id:
            sys.stdout.buffer.write(bundle.manifest_bytes)
            return 0
    for item in rejected:
        if item.id == arguments.id:
            raise item.error
    known = ", ".join(bundle.manifest.id for bundle in bundles) or "none"
    raise NoAppError(f"there is no app {arguments.id} in {settings.apps_dir}; there are: {known}")
