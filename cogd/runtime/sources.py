"""Supervise the sources: a task for each, restarts with back-off, and the end."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Final

import structlog

from cogd.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cogd.clock import Clock
    from cogd.runtime.intake import SourceIntake
    from cogd.sources.base import Source

FIRST_RESTART_S: Final = 1.0
MAX_RESTART_S: Final = 60.0
"""How long a source that failed is left alone: doubled each time."""

CANCEL_S: Final = 0.3
"""What a source gets to clean up."""


async def run_sources(sources: Sequence[tuple[Source, SourceIntake]], clock: Clock) -> SourceError | None:
    """Run all sources; returns when all have ended, with the error of one that could not be opened."""
    tasks = [asyncio.create_task(_run(source, intake, clock)) for source, intake in sources]
    try:
        errors = await asyncio.gather(*tasks)
        return next((error for error in errors if error is not None), None)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=CANCEL_S)


async def _run(source: Source, intake: SourceIntake, clock: Clock) -> SourceError | None:
    """Run a source to its end; one that fails is started again, ever more slowly."""
    for failures in itertools.count(1):
        try:
            await source.run(intake)
        except SourceError as error:
            intake.down(str(error))
            if not intake.was_up:  # it can't be opened at all; the others go on
                return error
        except Exception as error:  # noqa: BLE001  # the plugin border: one source must not stop the others
            reason = f"{type(error).__name__}: {error}"
            structlog.get_logger().exception("source failed", source=source.name, error=reason, failures=failures)
            intake.down(reason)
        else:
            break
        await clock.sleep(min(FIRST_RESTART_S * 2.0 ** min(failures - 1, 10), MAX_RESTART_S))
    intake.ended()
    return None
