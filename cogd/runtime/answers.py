"""What the control socket answers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

import cogd
from cogd.control.server import Calibrate, Forget, ListBaselines, Reload
from cogd.runtime.health import live_health

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cogd.clock import Clock
    from cogd.control.server import Command
    from cogd.runtime.calibrator import Calibrator
    from cogd.runtime.engine import Engine
    from cogd.runtime.intake import SourceIntake
    from cogd.runtime.reload import Reloader


class Answers:
    """Does what is asked for on the control socket, and says what came of it.

    Args:
        engine: whose apps and nodes they are.
        reloader: takes what is installed.
        calibrator: measures quiet rooms.
        intakes: of the sources.
        clock: where times come from.
        missed_ticks: how many there were.
    """

    def __init__(
        self,
        engine: Engine,
        reloader: Reloader,
        calibrator: Calibrator,
        intakes: Sequence[SourceIntake],
        clock: Clock,
        missed_ticks: Callable[[], int],
    ) -> None:
        self._engine, self._reloader, self._calibrator = engine, reloader, calibrator
        self._intakes, self._clock, self._missed_ticks = intakes, clock, missed_ticks

    async def answer(self, command: Command) -> Mapping[str, object]:
        """The answer to a command.

        Raises:
            CogdError: it can't be done.
        """
        if isinstance(command, Reload):
            return {"apps": await self._reloader.reload()}
        if isinstance(command, Calibrate):
            measured = await self._calibrator.calibrate(command.app, command.nodes, command.seconds)
            return {"baselines": [msgspec.structs.asdict(one) for one in measured]}
        if isinstance(command, Forget):
            gone = await self._calibrator.forget(command.app, command.nodes)
            return {"forgotten": [msgspec.structs.asdict(one) for one in gone]}
        if isinstance(command, ListBaselines):
            return {"baselines": self._calibrator.listed()}
        return self._status()

    async def health(self, app_id: str | None) -> tuple[bool, bytes]:
        """What `cogd health --live` shows."""
        return await live_health(self._engine, self._intakes, self._clock, app_id)

    def _status(self) -> Mapping[str, object]:
        return {
            "pid": os.getpid(),
            "version": cogd.__version__,
            "ticks": self._engine.ticks,
            "missed_ticks": self._missed_ticks(),
            "apps": [
                {
                    "id": app.id,
                    "version": app.bundle.manifest.version,
                    "digest": app.bundle.digest,
                    "backend": app.backend,
                    "canary": self._reloader.trial(app.id),
                }
                for app in self._engine.apps
            ],
            "nodes": {
                name: {"link": state.value, "age_s": round(age_s, 3) if age_s is not None else None}
                for name, (state, age_s) in self._engine.nodes.links().items()
            },
        }
