"""The engine: frames in, windows by node, one batch an app and tick, events out.

It owns no task and no socket: sources hand frames in, the daemon beats the tick. Every window that a frame completes
is inferred once, so the events are a function of the frames and not of when the tick fell.

Apps come, change and go between two ticks: `add`, `remove`, and for a new version `prepare`, `replace` once it is
`ready`, then `settle` or `revert`. None of these waits for anything.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cogd.csi.frame import Origin
from cogd.csi.link import LinkState
from cogd.csi.node import Node
from cogd.events import AppFailed, Event, LinkChanged, NodeTotals, WindowInfo, WindowReset
from cogd.runtime.app import MAX_BATCH
from cogd.runtime.place import Answer, Ledger, Place
from cogd.runtime.runner import Pending, Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import msgspec

    from cogd.csi.frame import Frame
    from cogd.csi.link import LinkLimits
    from cogd.csi.window import WindowSpec
    from cogd.events import Level
    from cogd.runtime.app import App, Outputs
    from cogd.runtime.place import Progress
    from cogd.runtime.runner import Inferred
    from cogd.sources.base import Clock

MAX_NODES = 4096
"""Nodes that are remembered; frames of further ones are counted and dropped. Node ids are bytes, sources are few."""

_HEARD = frozenset({LinkState.LIVE, LinkState.SIMULATED})
"""States of links whose frames fill windows."""


@dataclass
class _Heard:
    """What is known of a node's last new frame."""

    arrival_s: float
    time_s: float
    origin: Origin


@dataclass(frozen=True, slots=True)
class NodeInput:
    """What a node gives.

    Attributes:
        link: its state.
        age_s: of its last new frame.
        believed: its frames fill windows: they are live, or simulated where that is believed.
        full: apps whose window of it is complete.
        filling: the other apps.
    """

    link: LinkState
    age_s: float | None
    believed: bool
    full: list[str]
    filling: list[str]


class Engine:
    """Turns frames into events.

    Args:
        apps: what to run.
        limits: when links change their state.
        clock: where times come from.
        emit: takes every event, in order; must not block.
        believe_simulated: names of sources whose simulated frames may be inferred from.
        max_pending: windows that may wait for a tick, for each shape of input; more sheds the oldest.
    """

    def __init__(
        self,
        apps: Sequence[App],
        limits: LinkLimits,
        clock: Clock,
        emit: Callable[[Event], None],
        *,
        believe_simulated: Callable[[str], bool],
        max_pending: int,
    ) -> None:
        self._limits, self._clock, self._emit = limits, clock, emit
        self._believe_simulated = believe_simulated
        self._max_pending = max_pending
        self._places: dict[str, Place] = {}
        self._specs: tuple[WindowSpec, ...] = ()
        self._pending: dict[WindowSpec, deque[Pending]] = {}
        self._nodes: dict[str, Node] = {}
        self._heard: dict[str, _Heard] = {}
        self._failed: dict[str, str] = {}
        self._serial = 0
        self._room = asyncio.Event()
        self.full = asyncio.Event()
        self.ticks = 0
        self.inferences: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        for app in apps:
            self.add(app)

    def take(self, frame: Frame) -> None:
        """Take a frame; where too many windows wait for the tick, the oldest is shed and counted."""
        node = self._node(frame)
        if node is None:
            self.dropped["too_many_nodes"] += 1
            return
        previous = node.link.state
        taken = node.take(frame)
        if taken.accepted:
            self._serial += 1
            self._heard[frame.node] = _Heard(frame.arrival_s, frame.time_s, frame.origin)
        if taken.link is not None:
            self._say_link(node, taken.link, previous)
        for spec, reason in taken.resets:
            apps = [place.id for place in self._places.values() if place.active.app.window == spec]
            if apps:  # else it is of a version that does not serve, and nobody falls silent
                self.say("window.reset", WindowReset(node=node.name, apps=apps, reason=reason.value, time=frame.time_s))
        for spec in taken.complete:
            waiting = self._pending.get(spec)
            if waiting is None:  # it fills for a version that does not serve yet
                continue
            window = node.windows[spec]
            info = WindowInfo(frames=len(window), span_s=round(window.span_s, 6), measured_tones=window.measured_tones)
            waiting.append(Pending(self._serial, frame, info, window.view().copy()))
            if len(waiting) > self._max_pending:
                waiting.popleft()
                self.dropped["overload"] += 1

    async def put(self, frame: Frame) -> None:
        """Take a frame that must not be lost: where a full batch waits already, wait for the tick first."""
        while any(len(waiting) >= min(MAX_BATCH, self._max_pending) for waiting in self._pending.values()):
            self._room.clear()
            self.full.set()
            await self._room.wait()
        self.take(frame)

    def _node(self, frame: Frame) -> Node | None:
        node = self._nodes.get(frame.node)
        if node is None and len(self._nodes) < MAX_NODES:
            believe = self._believe_simulated(frame.node.rpartition("/")[0])
            node = self._nodes[frame.node] = Node(frame.node, self._specs, self._limits, believe_simulated=believe)
        return node

    async def tick(self) -> None:
        """Infer every window that waits, then let time pass for the links."""
        self.ticks += 1
        self.full.clear()
        until = self._serial  # what comes in meanwhile is the next tick's
        ledgers = {
            place.id: Ledger(place, place.standby) for place in self._places.values() if place.standby is not None
        }
        try:
            for spec, waiting in self._pending.items():
                while waiting and waiting[0].serial <= until:
                    batch = _next_batch(waiting, until)
                    self._room.set()
                    await self._infer_all(spec, batch, ledgers)
            for ledger in ledgers.values():
                ledger.count()
                await self._fall_back(ledger)
        finally:
            for ledger in ledgers.values():
                self._answer(ledger.answers())
        self._check_links()

    async def _infer_all(self, spec: WindowSpec, batch: Sequence[Pending], ledgers: dict[str, Ledger]) -> None:
        """Give a batch to all apps at once; each has a thread of its own, their events come in the apps' order.

        Those of an app of which a new version is tried come at the end of the tick, from both versions in one order.
        """
        windows = np.stack([pending.values for pending in batch])
        given: list[tuple[Place, Sequence[Pending], asyncio.Future[Outputs] | None]] = []
        for place in self._places.values():
            if place.id in ledgers:
                ledgers[place.id].spare(spec, batch)
            if place.active.app.window == spec and (own := place.own(batch)):
                given.append((place, own, place.active.submit(windows[len(batch) - len(own) :])))
        for place, own, future in given:
            inferred = await self._inferred(place.active, future, own)
            if place.id in ledgers:
                ledgers[place.id].active_gave(own, inferred)
                continue
            if place.candidate is not None:
                place.progress.windows += len(own)
            answers = [
                Answer(pending, reading, place.active)
                for pending, reading in zip(own, inferred.readings, strict=True)
                if reading is not None
            ]
            self._note_failure(place.active.app, inferred.failure, len(own) - len(answers))
            self._answer(answers)

    async def _fall_back(self, ledger: Ledger) -> None:
        """Let the version before infer what is its own, and what the new one could not."""
        left = ledger.left()
        for first in range(0, len(left), MAX_BATCH):
            batch = left[first : first + MAX_BATCH]
            future = ledger.standby.submit(np.stack([pending.values for pending in batch]))
            ledger.standby_gave(batch, await self._inferred(ledger.standby, future, batch))
        if ledger.lost or left:
            self._note_failure(ledger.standby.app, ledger.failure if ledger.lost else None, ledger.lost)

    async def _inferred(
        self, runner: Runner, future: asyncio.Future[Outputs] | None, batch: Sequence[Pending]
    ) -> Inferred:
        try:
            return await runner.inferred(future, batch, self.ticks)
        except asyncio.CancelledError:
            self.dropped["stopping"] += len(batch)
            raise

    def _answer(self, answers: Sequence[Answer]) -> None:
        """Emit what was inferred."""
        now_s, unix_s = self._clock.monotonic_s(), self._clock.unix_s()
        for answer in answers:
            reading, app = answer.reading, answer.runner.app
            if reading.confidence is not None and reading.confidence < app.min_confidence:
                self.dropped["below_min_confidence"] += 1
                continue
            reading.fields.latency_ms = round((now_s - answer.pending.frame.arrival_s) * 1e3, 3)
            self._emit(Event(ts=unix_s, level=reading.level, event=app.head.event, fields=reading.fields))
            self.inferences[app.id] += 1

    def _note_failure(self, app: App, reason: str | None, windows: int) -> None:
        """Count windows that could not be inferred, and say why, once; without a reason the app works (again)."""
        if reason is None:
            self._failed.pop(app.id, None)
            return
        self.dropped["inference_failed"] += windows
        if self._failed.get(app.id) != reason:
            self._failed[app.id] = reason
            self.say("app.failed", AppFailed(app=app.id, backend=app.backend, reason=reason), "error")

    def _check_links(self) -> None:
        """Let time pass: for live nodes on the arrivals' clock, for replayed ones on their recording's."""
        now_s = self._clock.monotonic_s()
        replayed_to: dict[str, float] = {}
        for name, heard in self._heard.items():
            if heard.origin is Origin.REPLAYED:
                source = name.rpartition("/")[0]
                replayed_to[source] = max(replayed_to.get(source, heard.time_s), heard.time_s)
        for name, heard in self._heard.items():
            replayed = heard.origin is Origin.REPLAYED
            silence_s = replayed_to[name.rpartition("/")[0]] - heard.time_s if replayed else now_s - heard.arrival_s
            node = self._nodes[name]
            previous = node.link.state
            changed = node.link.check(silence_s)
            if changed is not None:
                self._say_link(node, changed, previous)

    def say(self, name: str, fields: msgspec.Struct, level: Level = "info") -> None:
        """Emit an event that is not inferred."""
        self._emit(Event(ts=self._clock.unix_s(), level=level, event=name, fields=fields))

    def _say_link(self, node: Node, state: LinkState, previous: LinkState) -> None:
        fields = LinkChanged(node=node.name, state=state.value, previous=previous.value, time=node.link.last_time_s)
        self.say("link.state", fields, "info" if state.value == "live" else "warn")

    def totals(self) -> dict[str, NodeTotals]:
        """What became of each node's frames."""
        return {
            name: NodeTotals(frames=node.frames, lost=node.lost, dropped=dict(node.dropped))
            for name, node in sorted(self._nodes.items())
        }

    def inputs(self) -> dict[str, NodeInput]:
        """What each node gives to the apps that serve."""
        found: dict[str, NodeInput] = {}
        for name, (state, age_s) in self.links().items():
            windows = self._nodes[name].windows
            full = [place.id for place in self.places if windows[place.active.app.window].complete]
            filling = [place.id for place in self.places if place.id not in full]
            simulated = state is LinkState.SIMULATED and self._believe_simulated(name.rpartition("/")[0])
            found[name] = NodeInput(state, age_s, state is LinkState.LIVE or simulated, full, filling)
        return found

    def links(self) -> dict[str, tuple[LinkState, float | None]]:
        """State of each node's link, and the age of its last new frame in seconds."""
        now_s = self._clock.monotonic_s()
        return {
            name: (node.link.state, now_s - self._heard[name].arrival_s if name in self._heard else None)
            for name, node in sorted(self._nodes.items())
        }

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
        self._places[app.id] = Place(Runner(app), since=self._serial + 1)
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
        heard = [node.windows for node in self._nodes.values() if node.link.state in _HEARD]
        return any(windows[new].complete for windows in heard) and all(
            windows[new].complete or not windows[old].complete for windows in heard
        )

    def replace(self, app_id: str) -> None:
        """Let the prepared version serve every frame from now on; the one before stands by."""
        place = self._places[app_id]
        spec = place.candidate.window if place.candidate is not None else None
        full = [
            name
            for name, node in self._nodes.items()
            if node.link.state in _HEARD and spec in node.windows and node.windows[spec].complete
        ]
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
        serving = [runner.app.window for place in self._places.values() for runner in place.serving]
        filling = [place.candidate.window for place in self._places.values() if place.candidate is not None]
        self._specs = tuple(dict.fromkeys([*serving, *filling]))
        self._pending = {spec: self._pending.get(spec, deque()) for spec in serving}
        for node in self._nodes.values():
            node.want(self._specs)
        self._room.set()  # whoever waited for room in a queue that is no more

    def close(self) -> None:
        """End the inference threads; what still waits is lost, and counted."""
        if waiting := sum(len(pending) for pending in self._pending.values()):
            self.dropped["stopping"] += waiting
        for place in self._places.values():
            place.close()


def _next_batch(waiting: deque[Pending], until: int) -> list[Pending]:
    batch: list[Pending] = []
    while waiting and waiting[0].serial <= until and len(batch) < MAX_BATCH:
        batch.append(waiting.popleft())
    return batch
