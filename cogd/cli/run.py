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
    from types import FrameType

    from cogd.runtime.crashes import CrashMemory

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

    from cogd import demo, log
    from cogd.plugins import check_collisions
    from cogd.runtime.crashes import CrashMemory, boot_id, note_path
    from cogd.runtime.daemon import Daemon
    from cogd.runtime.memory import settle
    from cogd.settings import unknown_variables

    log.configure(settings.log_level)
    for variable in unknown_variables(os.environ):
        structlog.get_logger().warning("not a setting", variable=variable)
    check_collisions()
    is_installed = settings.apps_dir != demo.APPS
    path = note_path(settings.state_dir, settings.apps_dir) if is_installed else None
    crashes = CrashMemory(path, boot_id())
    installed = catalogue(arguments, settings, crashes=crashes)
    installed.collect()
    with crashes.running(installed.digests()):
        _end_orderly(crashes)
        apps, rejected = load_all(installed, for_daemon=True)
        if not apps and not installed.on_trial:  # else the version on trial may do where the one before does not
            raise no_app(settings, rejected)

        async def main() -> None:
            try:
                daemon = Daemon(apps, rejected, settings, catalogue=installed, first_inference=crashes.first_inference)
            except (SourceError, PluginError) as error:
                raise ConfigError(f"sources (from {loaded.origins['sources']}): {error}", hint=error.hint) from error
            except ConfigError as error:
                raise ConfigError(f"sinks (from {loaded.origins['sinks']}): {error}", hint=error.hint) from error
            settle()
            if (after_s := crashes.confirm_s) is not None:
                asyncio.get_running_loop().call_later(after_s, crashes.confirm)
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


def _end_orderly(crashes: CrashMemory) -> None:
    """Let SIGTERM end this process as it does, but not count as a death of what is being loaded.

    The daemon's own handler takes its place.
    """

    def end(number: int, _: FrameType | None) -> None:
        crashes.end()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)
