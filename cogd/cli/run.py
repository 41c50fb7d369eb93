"""`cogd run`: the daemon."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from cogd.cli.common import add_every_setting, catalogue, load_all, no_app, read_settings
from cogd.errors import ConfigError, PluginError, SourceError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Coroutine

_CANCEL_S = 0.1
"""What a task gets to clean up after the daemon's end."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags override the environment, which overrides the file."""
    add_every_setting(parser)
    parser.add_argument("--duration", type=float, metavar="S", help="end by itself after so many seconds")


def run(arguments: argparse.Namespace) -> int:
    """Run until stopped."""
    if arguments.duration is not None and not arguments.duration > 0:
        raise ConfigError(f"--duration {arguments.duration:g} is not above 0", hint="give seconds")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # a reload that is asked for too early comes late
    loaded = read_settings(arguments)
    settings = loaded.settings

    import structlog
    import uvloop

    from cogd import log
    from cogd.runtime.daemon import Daemon
    from cogd.runtime.memory import settle
    from cogd.settings import unknown_variables

    log.configure(settings.log_level)
    for variable in unknown_variables(os.environ):
        structlog.get_logger().warning("not a setting", variable=variable)
    installed = catalogue(arguments, settings)
    installed.collect()
    apps, rejected = load_all(installed, for_daemon=True)
    if not apps and not installed.on_trial:  # else the version on trial may do where the one before does not
        raise no_app(settings, rejected)

    async def main() -> None:
        try:
            daemon = Daemon(apps, rejected, settings, catalogue=installed)
        except (SourceError, PluginError) as error:
            raise ConfigError(f"sources (from {loaded.origins['sources']}): {error}", hint=error.hint) from error
        except ConfigError as error:
            raise ConfigError(f"sinks (from {loaded.origins['sinks']}): {error}", hint=error.hint) from error
        settle()
        await daemon.run(arguments.duration)

    _run(main(), uvloop.new_event_loop)
    return 0


def _run(main: Coroutine[None, None, None], loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Run a coroutine to its end; a plugin's task that ignores its cancellation does not keep the process."""
    runner = asyncio.Runner(loop_factory=loop_factory)
    try:
        runner.run(main)
    finally:
        if not runner.run(_end_tasks()):
            runner.close()


async def _end_tasks() -> list[str]:
    """Cancel the tasks that are left; returns the names of those that go on."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    left = (await asyncio.wait(tasks, timeout=_CANCEL_S))[1] if tasks else set()
    return [task.get_name() for task in left]
