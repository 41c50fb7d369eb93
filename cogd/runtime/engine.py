"""The engine: frames in, windows by node, one batch an app and tick, events out.

It owns no task and no socket: sources hand frames in, the daemon beats the tick. Every window that a frame completes
is inferred once, so the events are a function of the frames and not of when the tick fell.

Apps come, change and go between two ticks: `add`, `remove`, and for a new version `prepare`, `replace` once it is
`ready`, then `settle` or `revert`. None of these waits for anything.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

from msgspec.structs import force_setattr

from cogd.csi.frame import Origin
from cogd.events import AppFailed, WindowReset
from cogd.events.rounding import rounded
from cogd.runtime.app import MAX_BATCH
from cogd.runtime.nodes import Nodes
from cogd.runtime.place import Ledger, Place
from cogd.runtime.runner import Pending, Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cogd.clock import Clock
    from cogd.csi.frame import Frame
    from cogd.csi.link import LinkLimits
    from cogd.events import Emitter
    from cogd.heads.base import Reading
    from cogd.runtime.app import App, Outputs
    from cogd.runtime.nodes import InputKey
    from cogd.runtime.place import Progress
    from cogd.runtime.runner import Answered

TICK_S = 0.02
"""A tick begins no other batch after so long, half of the deadline: what arrives must be taken in, too. Apps that want
windows of different shapes share it."""


@dataclass(slots=True)
class _Given:
    """The part of a batch that one app serves, and its answer or what will become it."""

    place: Place
    own: Sequence[Pending]
    answer: Answered | asyncio.Future[Outputs]


class Engine:
    """Turns frames into events.

    Args:
        apps: what to run.
        limits: when links change their state.
        clock: where times come from.
        emitter: receives every event, in order.
        believe_simulated: names of sources whose simulated frames may be inferred from.
        max_pending: windows that may wait for a tick, for each shape of input; more sheds the oldest.
        max_wait_s: a window of a live frame that is older when a tick has no time left for it is shed.
        run: makes the runner of an app.

    Attributes:
        nodes: who is heard; to be read only.
        news: set when a window begins to wait, and when a batch is full; whoever beats the tick clears it.
        full: whether a frame that must not be lost waits for room.
        observers: told of every reading, its app, and whether it was emitted, in the order of the events.
    """

    def __init__(
        self,
        apps: Sequence[App],
        limits: LinkLimits,
        clock: Clock,
        emitter: Emitter,
        *,
        believe_simulated: Callable[[str], bool],
        max_pending: int,
        max_wait_s: float = math.inf,
        run: Callable[[App], Runner] = Runner,
    ) -> None:
        self._clock, self._emitter = clock, emitter
        self._max_pending = max_pending
        self._max_wait_s = max_wait_s
        self._run = run
        self._places: dict[str, Place] = {}
        self._trials: list[tuple[Place, Runner]] = []
        """Places where a version stands by, and that version."""
        self.nodes = Nodes(limits, clock, believe_simulated, emitter.emit)
        self._pending: dict[InputKey, deque[Pending]] = {}
        self._failed: dict[str, str] = {}
        self._serial = 0
        self._room = asyncio.Event()
        self.full = asyncio.Event()
        self.news = asyncio.Event()
        self.observers: list[Callable[[Reading, App, bool], None]] = []
        self.ticks = 0
        self.inferences: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        for app in apps:
            self.add(app)

    def take(self, frame: Frame) -> None:
        """Take a frame; where too many windows wait for the tick, the oldest is shed and counted."""
        node = self.nodes.by_name.get(frame.node) or self.nodes.join(frame.node)
        if node is None:
            self.dropped["too_many_nodes"] += 1
            return
        previous = node.link.state
        taken = node.take(frame)
        if taken.accepted:
            self._serial += 1
            self.nodes.heard[node.name] = frame
        if taken.link is not None:
            self.nodes.emit_link_state(node, previous)
        for spec, reason in taken.resets:
            apps = [place.id for place in self._places.values() if place.active.app.window == spec]
            if apps:  # else it is of a version that does not serve, and nobody falls silent
                self._emitter.emit(WindowReset(node=node.name, apps=apps, reason=reason.value, time=frame.time_s))
        for spec in taken.complete:
            waiting = self._pending.get(spec)
            if waiting is None:  # it fills for a version that does not serve yet
                continue
            ready = node.ready(spec)
            if not waiting:
                self.news.set()
            waiting.append(Pending(self._serial, frame, ready.info, ready.window))
            if len(waiting) > self._max_pending:
                waiting.popleft()
                self.dropped["overload"] += 1

    async def put(self, frame: Frame) -> None:
        """Take a frame that must not be lost: where a full batch waits already, wait for the tick first."""
        while any(len(waiting) >= min(MAX_BATCH, self._max_pending) for waiting in self._pending.values()):
            self._room.clear()
            self.full.set()
            self.news.set()
            await self._room.wait()
        self.take(frame)

    @property
    def waiting(self) -> bool:
        """Whether a window waits for the tick."""
        return any(self._pending.values())

    @property
    def behind_s(self) -> float:
        """Age of the newest frame of which a window waits: what was read last was read so late; 0 where none waits."""
        newest_s = max((waiting[-1].frame.arrival_s for waiting in self._pending.values() if waiting), default=math.inf)
        return max(0.0, self._clock.monotonic_s() - newest_s)

    async def tick(self, *, beat: bool = True) -> None:
        """Infer every window that waits; on the beat, let time pass for the links."""
        self.ticks += 1
        self.full.clear()
        until = self._serial  # what comes in meanwhile is the next tick's
        ledgers = {place.id: Ledger(place, standby) for place, standby in self._trials}
        try:
            for spec, waiting in self._pending.items():
                if waiting:
                    end_s = self._clock.monotonic_s() + TICK_S / len(self._pending)
                    await self._infer(spec, waiting, until, end_s, ledgers)
            for ledger in ledgers.values():
                ledger.count()
                await self._fall_back(ledger)
        finally:
            for ledger in ledgers.values():
                self._emit_inferred(ledger.answers())
        if beat:
            self.nodes.check_links()

    async def _infer(
        self, spec: InputKey, waiting: deque[Pending], until: int, end_s: float, ledgers: Mapping[str, Ledger]
    ) -> None:
        """Infer windows of one shape, in batches; what there is no time for waits for the next tick, or is too old."""
        given = self._give(spec, waiting, until, ledgers)
        while given:
            on_threads = False
            for part in given:
                if isinstance(part.answer, asyncio.Future):
                    on_threads = True
                    part.answer = await self._answered(part.place.active, part.answer, part.own)
            if not on_threads:
                self._conclude(given, ledgers)
            following: list[_Given] = []
            if waiting and (now_s := self._clock.monotonic_s()) < end_s:
                following = self._give(spec, waiting, until, ledgers)
            elif waiting:
                self._shed(waiting, until, now_s - self._max_wait_s)
            if on_threads:  # which are at the next batch meanwhile
                self._conclude(given, ledgers)
            given = following

    def _give(self, spec: InputKey, waiting: deque[Pending], until: int, ledgers: Mapping[str, Ledger]) -> list[_Given]:
        """Give the next batch to all apps that want it; empty where nothing waits. Their threads run side by side."""
        while waiting and waiting[0].serial <= until:
            batch = _next_batch(waiting, until, self._batch_limit(spec))
            self._room.set()
            given = []
            for place in self._places.values():
                if ledgers and place.id in ledgers:
                    ledgers[place.id].spare(spec, batch)
                if place.active.app.window == spec and (own := place.own(batch)):
                    given.append(_Given(place, own, place.active.submit(own)))
            if given:
                return given
        return []

    def _batch_limit(self, spec: InputKey) -> int:
        """How many windows of one shape the next batch may have: what the slowest app that wants them can take."""
        runners = (place.active for place in self._places.values() if place.active.app.window == spec)
        return min((runner.batch_limit for runner in runners), default=MAX_BATCH)

    def _shed(self, waiting: deque[Pending], until: int, oldest_s: float) -> None:
        """Shed what a tick had no time for and is too old by now, so that the new is not late as well."""
        while waiting and waiting[0].serial <= until and waiting[0].frame.arrival_s < oldest_s:
            if waiting[0].frame.origin is not Origin.LIVE:
                break
            waiting.popleft()
            self.dropped["overload"] += 1

    def _conclude(self, given: Sequence[_Given], ledgers: Mapping[str, Ledger]) -> None:
        """Make events of a batch; they come in the apps' order."""
        for part in given:
            self._conclude_part(part, ledgers)

    def _conclude_part(self, given: _Given, ledgers: Mapping[str, Ledger]) -> None:
        """Make events of what one app gave.

        Those of an app of which a new version is tried come at the end of the tick, from both versions in one order.
        """
        place, own, outputs = given.place, given.own, given.answer
        if isinstance(outputs, asyncio.Future):
            raise TypeError("a batch is read before it was answered")
        inferred = place.active.read(outputs, own, self.ticks)
        if ledgers and place.id in ledgers:
            ledgers[place.id].active_gave(own, inferred)
            return
        if place.candidate is not None:
            place.progress.windows += len(own)
        app = place.active.app
        if inferred.failure is not None or self._failed:
            self._note_failure(app, inferred.failure, inferred.readings.count(None))
        self._emit_inferred(zip(own, inferred.readings, repeat(app), strict=False))

    async def _fall_back(self, ledger: Ledger) -> None:
        """Let the version before infer what is its own, and what the new one could not."""
        left = ledger.left()
        first = 0
        while first < len(left):
            batch = left[first : first + ledger.standby.batch_limit]
            first += len(batch)
            outputs = ledger.standby.submit(batch)
            if isinstance(outputs, asyncio.Future):
                outputs = await self._answered(ledger.standby, outputs, batch)
            ledger.standby_gave(batch, ledger.standby.read(outputs, batch, self.ticks))
        if ledger.lost or left:
            self._note_failure(ledger.standby.app, ledger.failure if ledger.lost else None, ledger.lost)

    async def _answered(self, runner: Runner, future: asyncio.Future[Outputs], batch: Sequence[Pending]) -> Answered:
        try:
            return await runner.answered(future, batch)
        except asyncio.CancelledError:
            self.dropped["stopping"] += len(batch)
            raise

    def _emit_inferred(self, answers: Iterable[tuple[Pending, Reading | None, App]]) -> None:
        now_s, unix_s = self._clock.monotonic_s(), self._clock.unix_s()
        emit = self._emitter.emit
        for pending, reading, app in answers:
            if reading is None:
                continue
            emitted = reading.confidence is None or reading.confidence >= app.min_confidence
            if emitted:
                fields = reading.fields
                latency_ms = rounded(max(0.0, now_s - pending.frame.arrival_s) * 1e3, 1000)
                force_setattr(fields, "latency_ms", latency_ms)
                emit(fields, ts=unix_s)
                self.inferences[fields.app] += 1
            else:
                self.dropped["below_min_confidence"] += 1
            for observe in self.observers:
                observe(reading, app, emitted)

    def _note_failure(self, app: App, reason: str | None, windows: int) -> None:
        """Count windows that could not be inferred, and say why, once; without a reason the app works (again)."""
        if reason is None:
            self._failed.pop(app.id, None)
            return
        self.dropped["inference_failed"] += windows
        if self._failed.get(app.id) != reason:
            self._failed[app.id] = reason
            self._emitter.emit(AppFailed(app=app.id, backend=app.backend, reason=reason))

    @property
    def apps(self) -> list[App]:
        """The versions that serve."""
        return [place.active.app for place in self._places.values()]

    @property
    def places(self) -> list[Place]:
        """Who serves, app by app; to be read only."""
        return list(self._places.values())

    def place(self, app_id: str) -> Place | None:
        """Who serves an app; to be read only."""
        return self._places.get(app_id)

    def add(self, app: App) -> None:
        """Run another app from the next frame on."""
        self._places[app.id] = Place(self._run(app), since=self._serial + 1, run=self._run)
        self.inferences[app.id] += 0
        self._fit()

    def remove(self, app_id: str) -> None:
        """Run an app no more; what waits for it is not inferred."""
        self._places.pop(app_id).close()
        self._failed.pop(app_id, None)
        self._fit()

    def prepare(self, app: App) -> None:
        """Let the windows of a new version fill while the one before serves. One new version at a time."""
        self._places[app.id].prepare(app)
        self._fit()

    def ready(self, app_id: str) -> bool:
        """Whether the prepared version can serve every node that is heard and served now.

        Where it wants other windows than the version before, it must be able to serve at least one: where nobody is
        heard, nothing tells whether its windows can fill.
        """
        place = self._places[app_id]
        if place.candidate is None:
            return False
        old, new = place.active.app.window, place.candidate.window
        if old == new:
            return True
        nodes = list(self.nodes.giving())
        return any(node.is_complete(new) for node in nodes) and all(
            node.is_complete(new) or not node.is_complete(old) for node in nodes
        )

    def replace(self, app_id: str) -> None:
        """Let the prepared version serve every frame from now on; the one before stands by."""
        place = self._places[app_id]
        spec = place.candidate.window if place.candidate is not None else None
        full = [node.name for node in self.nodes.giving() if spec is not None and node.is_complete(spec)]
        place.replace(self._serial + 1, full)
        self._fit()

    def progress(self, app_id: str) -> Progress:
        """How the new version is doing; to be read only."""
        return self._places[app_id].progress

    def settle(self, app_id: str) -> None:
        """Let the version before go, at the earliest after one tick: what came before the change is its own."""
        self._places[app_id].settle()
        self._fit()

    def revert(self, app_id: str) -> None:
        """Let the version before serve all that was not inferred yet, and forget the new one."""
        self._places[app_id].revert()
        self._fit()

    def _fit(self) -> None:
        """Keep the windows and the queues that are wanted now, and no others."""
        self._trials = [(place, place.standby) for place in self._places.values() if place.standby is not None]
        serving = [runner.app.window for place in self._places.values() for runner in place.serving]
        filling = [place.candidate.window for place in self._places.values() if place.candidate is not None]
        self._pending = {spec: self._pending.get(spec, deque()) for spec in serving}
        self.nodes.want(tuple(dict.fromkeys([*serving, *filling])))
        self._room.set()  # whoever waited for room in a queue that is no more

    def close(self) -> None:
        """End the inference threads; what still waits is lost, and counted."""
        if waiting := sum(len(pending) for pending in self._pending.values()):
            self.dropped["stopping"] += waiting
        for place in self._places.values():
            place.close()


def _next_batch(waiting: deque[Pending], until: int, limit: int) -> list[Pending]:
    batch: list[Pending] = []
    while waiting and waiting[0].serial <= until and len(batch) < limit:
        batch.append(waiting.popleft())
    return batch
