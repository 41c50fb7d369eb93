"""`cogd calibrate`: watch a quiet room, and remember what the heads say of it."""

from __future__ import annotations

import statistics
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from cogd.control.wire import MAX_CALIBRATION_S, MIN_CALIBRATION_S
from cogd.errors import CalibrationError, CogdError, NoAppError, StorageError
from cogd.events import CalibrationDone, CalibrationFailed, CalibrationForgotten, CalibrationUnused
from cogd.runtime.baselines import Measured
from cogd.runtime.worker import on_a_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cogd.clock import Clock
    from cogd.events import Emitter
    from cogd.heads.base import QuietRule, Reading
    from cogd.runtime.app import App
    from cogd.runtime.baselines import Baselines
    from cogd.runtime.engine import Engine

MIN_WINDOWS: Final = 20
"""Fewer scores make no median that is worth keeping."""

COVERED: Final = 0.8
"""Of the time that was watched, the windows of a node must span so much; else its link failed meanwhile."""

_WRITE_LIMIT_S: Final = 20.0


def too_little(times_s: Sequence[float], seconds: float) -> str | None:
    """Why windows that ended at these times are not enough of so many seconds; None: they are."""
    covered_s = times_s[-1] - times_s[0] if times_s else 0.0
    if len(times_s) < MIN_WINDOWS or covered_s < COVERED * seconds:
        return f"only {len(times_s)} windows came, over {covered_s:.1f} of {seconds:g} s"
    return None


def centre_of(scores: Sequence[float]) -> tuple[float, float]:
    """Median of scores, and the median of their distances from it: a baseline and its spread."""
    median = statistics.median(scores)
    return round(median, 6), round(statistics.median([abs(score - median) for score in scores]), 6)


class _Watched:
    """One node in the eyes of one app: the scores of its windows, and when they ended."""

    def __init__(self, app: App, rule: QuietRule, node: str) -> None:
        self.app, self.rule, self.node = app, rule, node
        self.scores: list[float] = []
        self.times_s: list[float] = []
        self.origin = ""

    def hear(self, reading: Reading) -> None:
        if reading.score is not None:
            self.scores.append(reading.score)
            self.times_s.append(reading.fields.time)
            self.origin = reading.fields.origin

    def lack(self, seconds: float, serving: App | None) -> str | None:
        """Why there is not enough to make a baseline of."""
        if serving is not self.app:
            return f"another version of {self.app.id} serves by now"
        return too_little(self.times_s, seconds)

    def objection(self) -> str | None:
        """Why the scores are not those of a quiet room."""
        try:
            return self.rule.why_not(self.scores)
        except Exception as error:  # noqa: BLE001  # the plugin border: a head may fail in any way
            return f"its head failed: {type(error).__name__}: {error}"

    def measured(self, seconds: float, now_unix_s: float) -> Measured:
        score, spread = centre_of(self.scores)
        return Measured(
            app=self.app.id,
            digest=self.app.bundle.digest,
            node=self.node,
            score=score,
            spread=spread,
            n=len(self.scores),
            seconds=seconds,
            time=round(now_unix_s, 3),
            origin=self.origin,
        )


class Calibrator:
    """Measures baselines, and reports the stored ones that do not belong to what serves.

    Args:
        engine: whose apps and nodes they are.
        baselines: where they are kept.
        clock: where times come from.
        emitter: receives `calibration.*`.
    """

    def __init__(self, engine: Engine, baselines: Baselines, clock: Clock, emitter: Emitter) -> None:
        self._engine, self._baselines, self._clock, self._emitter = engine, baselines, clock, emitter
        self._changing = False
        self._serving: dict[str, str] = {}
        self._told: set[tuple[str, str, str]] = set()
        self._log = structlog.get_logger()

    def load(self) -> None:
        """Read what is stored; where that can't be, say so and go on without."""
        try:
            self._baselines.load()
        except StorageError as error:
            self._emit_failed(None, [], error)

    def look(self) -> None:
        """Where other versions serve than a moment ago, say once which baselines they can't use."""
        serving = {app.id: app.bundle.digest for app in self._engine.apps}
        if serving == self._serving:
            return
        self._serving = serving
        for one in self._baselines:
            digest = serving.get(one.app, one.digest)
            key = (one.app, one.node, digest)
            if digest != one.digest and key not in self._told and one.node not in self._baselines.of(one.app, digest):
                self._told.add(key)
                fields = CalibrationUnused(
                    app=one.app, node=one.node, digest=one.digest, serving_digest=digest, time=one.time
                )
                self._emitter.emit(fields)

    async def calibrate(self, app_id: str | None, nodes: Sequence[str], seconds: float) -> list[Measured]:
        """Watch for so long, then store a baseline for every node and app; all or none.

        Args:
            app_id: the app; None: every one that has a use for baselines.
            nodes: the nodes; empty: every one that is live and whose windows are complete.
            seconds: for how long.

        Raises:
            NoAppError: there is no such app.
            CalibrationError: there is no such node, something moved, or too little came.
            CogdError: the baselines can't be stored.
        """
        try:
            if not MIN_CALIBRATION_S <= seconds <= MAX_CALIBRATION_S:
                raise CalibrationError(
                    f"{seconds:g} s is not within {MIN_CALIBRATION_S:g} to {MAX_CALIBRATION_S:g} s", hint=""
                )
            with self._one_at_a_time():
                watched = self._choose(app_id, nodes)
                self._baselines.check_writable()
                measured = await self._watch(watched, seconds)
                await self._store(self._baselines.with_measured(measured))
        except CogdError as error:
            self._emit_failed(app_id, nodes, error)
            raise
        for one in measured:
            self._emitter.emit(CalibrationDone(**msgspec.structs.asdict(one)))
        return measured

    async def forget(self, app_id: str | None, nodes: Sequence[str]) -> list[Measured]:
        """Forget the baselines of these nodes, of one app or of all.

        Raises:
            CalibrationError: a node has none.
            CogdError: the others can't be stored.
        """
        with self._one_at_a_time():
            gone = [one for one in self._baselines if one.node in nodes and app_id in {None, one.app}]
            if lacking := sorted(set(nodes) - {one.node for one in gone}):
                raise CalibrationError(f"there is no baseline of {', '.join(lacking)}", hint="cogd calibrate --list")
            await self._store([one for one in self._baselines if one not in gone])
        for one in gone:
            fields = CalibrationForgotten(app=one.app, digest=one.digest, node=one.node)
            self._emitter.emit(fields)
        return gone

    def listed(self) -> list[dict[str, object]]:
        """All baselines; `used` where the bundle that one belongs to serves now."""
        serving = {(app.id, app.bundle.digest) for app in self._engine.apps}
        return [msgspec.structs.asdict(one) | {"used": (one.app, one.digest) in serving} for one in self._baselines]

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if self._changing:
            raise CalibrationError("another calibration is under way", hint="wait until it is over")
        self._changing = True
        try:
            yield
        finally:
            self._changing = False

    def _choose(self, app_id: str | None, nodes: Sequence[str]) -> list[_Watched]:
        places = [place for place in self._engine.places if app_id in {None, place.id}]
        apps = [place.active.app for place in places]
        if not places and app_id is not None:
            raise NoAppError(f"no app {app_id} runs")
        able = [(app, app.head.quiet) for app in apps if app.head.quiet is not None]
        if not able:
            said = "no app that runs has a" if app_id is None else f"{app_id} has no"
            raise CalibrationError(f"{said} use for a baseline", hint="install an app with such a head: docs/motion.md")
        inputs = self._engine.nodes.inputs(places)
        if unknown := sorted(set(nodes) - inputs.keys()):
            raise CalibrationError(f"no node {', '.join(unknown)} was heard", hint=_heard(list(inputs)))
        watched: list[_Watched] = []
        for name, node in inputs.items():
            if (nodes and name not in nodes) or (not nodes and not (node.believed and node.full)):
                continue
            if not node.believed:
                why = " and not believed" if node.link.value == "simulated" else ""
                raise CalibrationError(f"the node {name} is {node.link.value}{why}", hint=_LIVE)
            watched += [_Watched(app, rule, name) for app, rule in able if nodes or app.id in node.full]
        if not watched:
            raise CalibrationError("no node is live with complete windows", hint=_LIVE)
        return watched

    async def _watch(self, watched: Sequence[_Watched], seconds: float) -> list[Measured]:
        by_key = {(one.app.bundle.digest, one.node): one for one in watched}

        def hear(reading: Reading, _app: App, _emitted: bool) -> None:  # noqa: FBT001
            if (one := by_key.get((reading.fields.digest, reading.fields.node))) is not None:
                one.hear(reading)

        self._engine.observers.append(hear)
        try:
            await self._clock.sleep(seconds)
        finally:
            self._engine.observers.remove(hear)
        serving = {place.id: place.active.app for place in self._engine.places}
        if lacks := _objections(watched, lambda one: one.lack(seconds, serving.get(one.app.id))):
            raise CalibrationError(lacks, hint=_LIVE)
        if motions := _objections(watched, lambda one: one.objection()):
            raise CalibrationError(motions)
        return [one.measured(seconds, self._clock.unix_s()) for one in watched]

    async def _store(self, baselines: Sequence[Measured]) -> None:
        try:
            await on_a_thread("baselines", partial(self._baselines.write, baselines), _WRITE_LIMIT_S)
        except TimeoutError as error:
            raise StorageError(f"storing the baselines took longer than {_WRITE_LIMIT_S:g} s") from error
        self._baselines.take(baselines)

    def _emit_failed(self, app_id: str | None, nodes: Sequence[str], error: CogdError) -> None:
        fields = CalibrationFailed(app=app_id, nodes=list(nodes), code=error.code, reason=str(error))
        self._emitter.emit(fields)
        self._log.warning("no baseline", code=error.code, message=str(error), hint=error.hint)


_LIVE: Final = "`cogd health --live` says why a node is not live, or its windows not complete"


def _objections(watched: Sequence[_Watched], find: Callable[[_Watched], str | None]) -> str:
    """What speaks against each, in one text; empty where nothing does."""
    found = [(one, find(one)) for one in watched]
    return "; ".join(f"{one.app.id}, {one.node}: {why}" for one, why in found if why is not None)


def _heard(names: Sequence[str]) -> str:
    return f"heard are {', '.join(names[:20])}" if names else "none was heard yet"
