"""The intake of one source: what it delivers goes to the engine, what it says about itself becomes events."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Literal

from cogd.events import SourceChanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from cogd.csi.frame import Frame
    from cogd.events import Emitter
    from cogd.runtime.engine import Engine

_State = Literal["up", "down", "silent", "ended"]
_LOOK_FOR_ROOM_S = 0.01


class SourceIntake:
    """Implements `cogd.sources.base.Intake` for one source.

    `has_room` tells whether the sinks keep up; a frame that must not be lost waits until they do.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        emitter: Emitter,
        now_s: float,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name = name
        self.was_up = False
        self._has_room = has_room
        self._last_arrival_s = now_s
        self.counts: Counter[str] = Counter()
        self._engine, self._emitter = engine, emitter
        self._state: _State | None = None
        self._reason: str | None = None

    @property
    def state(self) -> _State | None:
        """What was said of it last; None: nothing yet."""
        return self._state

    @property
    def reason(self) -> str | None:
        """Why, if it was said."""
        return self._reason

    def offer(self, frame: Frame) -> None:
        """Hand in a live frame."""
        self._delivered(frame)
        self._engine.take(frame)

    async def put(self, frame: Frame) -> None:
        """Hand in a frame that must not be lost."""
        while not self._has_room():  # noqa: ASYNC110  # a sink writes on a thread of its own
            await asyncio.sleep(_LOOK_FOR_ROOM_S)
        self._delivered(frame)
        await self._engine.put(frame)

    def count(self, reason: str, amount: int = 1) -> None:
        """Count something that is not a frame."""
        self.counts[reason] += amount

    def down(self, reason: str) -> None:
        """Say that the source delivers nothing."""
        self._enter("down", reason)

    def up(self) -> None:
        """Say that the source delivers."""
        self._enter("up", None)

    def ended(self, reason: str | None = None) -> None:
        """Say that the source has no more frames."""
        self._enter("ended", reason)

    def silent(self, now_s: float, limit_s: float) -> None:
        """Say that the source is open but has delivered nothing for `limit_s`, if that is so."""
        if self._state in {None, "up"} and now_s - self._last_arrival_s >= limit_s:
            self._enter("silent", f"no frame for {limit_s:g} s")

    def _delivered(self, frame: Frame) -> None:
        self._last_arrival_s = frame.arrival_s
        if self._state != "up":
            self._enter("up", None)

    def _enter(self, state: _State, reason: str | None) -> None:
        if state == self._state:
            return
        self._state, self._reason = state, reason
        self.was_up = self.was_up or state == "up"
        self._emitter.emit(SourceChanged(source=self.name, state=state, reason=reason))
