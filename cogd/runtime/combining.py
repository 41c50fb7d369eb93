"""Combining: readings of several nodes of a source become one event, for every app whose head declares a combiner."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

import structlog

from cogd.events import AppFailed

if TYPE_CHECKING:
    from cogd.events import Emitter, EventFields, InferenceFields
    from cogd.heads.base import Combiner, Reading
    from cogd.runtime.app import App

_MAX_ROUNDS: Final = 64
"""Sources and bundles that are remembered: those that were combined last."""

_BY_NODE: Final = attrgetter("node")


class _Round:
    """The nodes of one source for one bundle: the last reading of each, and who has given one since the last event."""

    def __init__(self, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._latest: dict[str, InferenceFields] = {}
        self._gave: set[str] = set()

    def add(self, fields: InferenceFields) -> list[InferenceFields]:
        """Add a node's reading; returns the fresh readings of all nodes if they are to be combined now, else none."""
        latest, node = self._latest, fields.node
        latest[node] = fields
        if len(latest) == 1:
            return []
        again = node in self._gave
        self._gave.add(node)
        fresh = [each for each in latest.values() if abs(fields.time - each.time) <= self._fresh_s]
        if not again and any(each.node not in self._gave for each in fresh):
            return []
        self._gave.clear()
        self._latest = {each.node: each for each in fresh}
        return fresh if len(fresh) > 1 else []


class Combining:
    """Observes an engine's readings, and emits what the heads' combiners make of them.

    Nodes of one source whose readings are within the combiner's `fresh_s` of each other are combined once each of them
    has given one since the last time, or one of them the second one. That depends on the frames alone, not on when a
    tick fell. Readings that were not emitted are left out.

    Args:
        emitter: receives the combined events.
    """

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self._rounds: dict[tuple[str, str], _Round] = {}
        self._failed: dict[str, str] = {}
        self._log = structlog.get_logger()

    def observe(self, reading: Reading, app: App, emitted: bool) -> None:  # noqa: FBT001
        """Add a reading."""
        combiner = app.head.combiner
        if combiner is None or not emitted:
            return
        fields = reading.fields
        key = fields.digest, fields.node.rpartition("/")[0]
        round_ = self._rounds.get(key)
        if round_ is None:
            round_ = self._rounds[key] = _Round(combiner.fresh_s)
            if len(self._rounds) > _MAX_ROUNDS:
                self._rounds.pop(next(iter(self._rounds)))
        if fresh := round_.add(fields):
            fresh.sort(key=_BY_NODE)
            if (combined := self._combine(combiner, key[1], fresh, fields, app)) is not None:
                self._emitter.emit(combined)

    def _combine(
        self, combiner: Combiner, source: str, fresh: list[InferenceFields], newest: InferenceFields, app: App
    ) -> EventFields | None:
        """The combiner's event; None where it has none, or fails. `app.failed` reports every new reason once."""
        try:
            return combiner.combine(source, fresh, newest)
        except Exception as error:  # noqa: BLE001  # the plugin border: a head may fail in any way
            reason = f"its head can't combine nodes: {type(error).__name__}: {error}"
            if self._failed.get(app.id) != reason:
                self._failed[app.id] = reason
                self._emitter.emit(AppFailed(app=app.id, backend=app.backend, reason=reason))
                self._log.exception("combining failed", app=app.id, head=app.head.name)
            return None
