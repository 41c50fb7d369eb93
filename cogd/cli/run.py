"""`cogd run`: the daemon."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cogd.cli.common import add_settings_arguments, load_all, no_app, read_settings, read_trust
from cogd.errors import ConfigError

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags override the environment, which overrides the file."""
    add_settings_arguments(parser)
    parser.add_argument(
        "--source",
        action="append",
        dest="sources",
        metavar="URL",
        help="hear this source; may be given several times",
    )
    parser.add_argument("--sink", action="append", dest="sinks", metavar="URL", help="send events there")
    parser.add_argument("--duration", type=float, metavar="S", help="end by itself after so many seconds")
    parser.add_argument("--log-level", choices=["debug", "info", "warn", "error"], help="what goes to stderr")
    parser.add_argument("--tick-ms", metavar="MS", help="the beat")
    parser.add_argument("--http-token-file", metavar="FILE", help="bearer token of HTTP sources")
    parser.add_argument(
        "--believe-simulated", action="store_true", default=None, help="infer from frames that a server simulated"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run until stopped."""
    if arguments.duration is not None and not arguments.duration > 0:
        raise ConfigError(f"--duration {arguments.duration:g} is not above 0")
    loaded = read_settings(
        arguments,
        sources=arguments.sources,
        sinks=arguments.sinks,
        log_level=arguments.log_level,
        tick_ms=arguments.tick_ms,
        http_token_file=arguments.http_token_file,
        believe_simulated=arguments.believe_simulated,
    )
    settings = loaded.settings

    import structlog
    import uvloop

    from cogd import log
    from cogd.runtime.daemon import Daemon
    from cogd.settings import unknown_variables

    log.configure(settings.log_level)
    for variable in unknown_variables(os.environ):
        structlog.get_logger().warning("not a setting", variable=variable)
    apps, rejected = load_all(settings, read_trust(arguments, settings.trust_dir))
    if not apps:
        raise no_app(settings, rejected)

    async def main() -> None:
        await Daemon(apps, rejected, settings).run(arguments.duration)

    uvloop.run(main())
    return 0
