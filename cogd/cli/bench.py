"""`cogd bench`: how long it takes from a datagram to an event, here."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import msgspec

from cogd.cli.common import add_settings_arguments, catalogue, load_all, no_app, read_settings
from cogd.errors import ConfigError

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How much to measure."""
    add_settings_arguments(parser)
    parser.add_argument("--frames", type=int, default=10_000, metavar="N", help="datagrams an app (%(default)s)")
    parser.add_argument("--json", action="store_true", help="for machines")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    if not 1 <= arguments.frames <= 10_000_000:
        raise ConfigError(f"--frames {arguments.frames} is not within 1..10000000", hint="give a number of frames")
    settings = read_settings(arguments).settings
    apps, rejected = load_all(catalogue(arguments, settings))
    if not apps:
        raise no_app(settings, rejected)

    from cogd.bench import bench, format_result

    for item in rejected:
        print(f"cogd: left out: {item.path}: {item.error}", file=sys.stderr)
    result = asyncio.run(bench(apps, arguments.frames))
    print(msgspec.json.encode(result).decode() if arguments.json else format_result(result))
    return 0
