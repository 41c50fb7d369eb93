"""Counts of several nodes become one: `count.fused`, made of the `count` events alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cogd.events.inferred import CountFields, FusedCountFields
from cogd.events.rounding import rounded
from cogd.heads.count import CountHead, log_odds, median, p95_range
from cogd.heads.fusion import fuse

if TYPE_CHECKING:
    from cogd.events import Emitter
    from cogd.heads.base import Reading
    from cogd.runtime.app import App

FRESH_S: Final = 1.0
"""Counts whose frames are further apart than this are not of the same moment."""

_MAX_ROUNDS: Final = 64
"""Sources and bundles that are remembered: those that counted last."""

_PARTS: Final = 1_000_000


class _Round:
    """The nodes of one source in the eyes of one bundle: what each counted last, and who did since the last fusion."""

    def __init__(self) -> None:
        self.latest: dict[str, CountFields] = {}
        self.counted: set[str] = set()

    def add(self, fields: CountFields) -> list[CountFields]:
        """Take a node's count; returns the fresh ones of all nodes if they are to be fused now, else nothing."""
        latest, node = self.latest, fields.node
        latest[node] = fields
        if len(latest) == 1:
            return []
        again = node in self.counted
        self.counted.add(node)
        fresh = [each for each in latest.values() if abs(fields.time - each.time) <= FRESH_S]
        if not again and any(each.node not in self.counted for each in fresh):
            return []
        self.counted.clear()
        self.latest = {each.node: each for each in fresh}
        return fresh if len(fresh) > 1 else []


class Fusion:
    """Observes an engine's readings.

    Nodes of one source that counted within `FRESH_S` of each other are fused once each of them has counted since the
    last time, or one of them for the second time. That depends on the frames alone, not on when a tick fell.

    Args:
        emitter: receives every `count.fused`.
    """

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self._rounds: dict[tuple[str, str], _Round] = {}

    def observe(self, reading: Reading, app: App, emitted: bool) -> None:  # noqa: FBT001
        """Take note of a reading; what was kept back counts for nothing."""
        fields = reading.fields
        if not emitted or not isinstance(fields, CountFields):
            return
        key = fields.digest, fields.node.rpartition("/")[0]
        round_ = self._rounds.get(key)
        if round_ is None:
            round_ = self._rounds[key] = _Round()
            if len(self._rounds) > _MAX_ROUNDS:
                self._rounds.pop(next(iter(self._rounds)))
        if fresh := round_.add(fields):
            self._emitter.emit(_fused(key[1], fresh, fields, app))


def _fused(source: str, fresh: list[CountFields], newest: CountFields, app: App) -> FusedCountFields:
    fresh.sort(key=lambda each: each.node)
    probabilities = fuse([each.probs for each in fresh], [each.confidence for each in fresh])
    middle = median(probabilities)
    low, high = p95_range(probabilities, middle)
    line = app.head.fused_line if isinstance(app.head, CountHead) else None
    return FusedCountFields(
        tick=newest.tick,
        app=newest.app,
        version=newest.version,
        digest=newest.digest,
        source=source,
        nodes=[each.node for each in fresh],
        n_nodes=len(fresh),
        time=newest.time,
        origin=newest.origin,
        count=newest.classes[middle],
        confidence=None if line is None else rounded(line.probability(log_odds(probabilities[middle])), _PARTS),
        count_p95_low=newest.classes[low],
        count_p95_high=newest.classes[high],
        probs=[rounded(probability, _PARTS) for probability in probabilities],
        classes=newest.classes,
        latency_ms=newest.latency_ms,
    )
