"""The engine: frames in, windows by node, one batch an app and tick, events out.

It owns no task and no socket: sources hand frames in, the daemon beats the tick. Every window that a frame completes
is inferred once, so the events are a function of the frames and not of when the tick fell.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cogd.csi.frame import Origin
from cogd.csi.node import Node
from cogd.events import (
    AppFailed,
    Context,
    Event,
    LinkChanged,
    NodeTotals,
    WindowInfo,
    WindowReset,
)
from cogd.runtime.app import MAX_BATCH
from cogd.runtime.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import msgspec
    from numpy.typing import NDArray

    from cogd.csi.frame import Frame
    from cogd.csi.link import LinkLimits, LinkState
    from cogd.csi.window import WindowSpec
    from cogd.events import Level
    from cogd.runtime.app import App, Outputs
    from cogd.sources.base import Clock

INFERENCE_LIMIT_S = 1.0
"""A backend that takes longer for one batch has failed; the other apps go on, and so does this one once it answers."""

MAX_NODES = 4096
"""Nodes that are remembered; frames of further ones are counted and dropped. Node ids are bytes, sources are few."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """A complete window on its way to the next tick."""

    frame: Frame
    info: WindowInfo
    values: NDArray[np.float32]


@dataclass
class _Heard:
    """What is known of a node's last new frame."""

    arrival_s: float
    time_s: float
    origin: Origin


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
        self._apps, self._limits, self._clock, self._emit = apps, limits, clock, emit
        self._believe_simulated = believe_simulated
        self._max_pending = max_pending
        self._specs: tuple[WindowSpec, ...] = tuple(dict.fromkeys(app.window for app in apps))
        self._pending: dict[WindowSpec, deque[_Pending]] = {spec: deque() for spec in self._specs}
        self._nodes: dict[str, Node] = {}
        self._heard: dict[str, _Heard] = {}
        self._failed: dict[str, str] = {}
        self._workers: dict[str, Worker[Outputs]] = {app.id: Worker(f"infer {app.id}") for app in apps}
        self._room = asyncio.Event()
        self.full = asyncio.Event()
        self.ticks = 0
        self.inferences: Counter[str] = Counter({app.id: 0 for app in apps})
        self.dropped: Counter[str] = Counter()

    def take(self, frame: Frame) -> None:
        """Take a frame; where too many windows wait for the tick, the oldest is shed and counted."""
        node = self._node(frame)
        if node is None:
            self.dropped["too_many_nodes"] += 1
            return
        previous = node.link.state
        taken = node.take(frame)
        if taken.accepted:
            self._heard[frame.node] = _Heard(frame.arrival_s, frame.time_s, frame.origin)
        if taken.link is not None:
            self._say_link(node, taken.link, previous)
        for spec, reason in taken.resets:
            apps = [app.id for app in self._apps if app.window == spec]
            self.say("window.reset", WindowReset(node=node.name, apps=apps, reason=reason.value, time=frame.time_s))
        for spec in taken.complete:
            window = node.windows[spec]
            info = WindowInfo(frames=len(window), span_s=round(window.span_s, 6), measured_tones=window.measured_tones)
            waiting = self._pending[spec]
            waiting.append(_Pending(frame, info, window.view().copy()))
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
        for spec in self._specs:
            waiting = self._pending[spec]
            todo = len(waiting)  # what comes in meanwhile is the next tick's
            while todo > 0 and waiting:
                batch = [waiting.popleft() for _ in range(min(MAX_BATCH, todo, len(waiting)))]
                todo -= len(batch)
                self._room.set()
                await self._infer_all([app for app in self._apps if app.window == spec], batch)
        self._check_links()

    async def _infer_all(self, apps: Sequence[App], batch: Sequence[_Pending]) -> None:
        """Give a batch to all apps at once; each has a thread of its own, their events come in the apps' order."""
        windows = np.stack([pending.values for pending in batch])
        given: list[tuple[App, asyncio.Future[Outputs]]] = []
        for app in apps:
            worker = self._workers[app.id]
            if worker.busy:  # it has failed to answer, and still does not
                self.dropped["inference_failed"] += len(batch)
            else:
                given.append((app, worker.submit(partial(app.infer, windows))))
        for app, future in given:
            try:
                outputs = await asyncio.wait_for(future, INFERENCE_LIMIT_S)
            except asyncio.CancelledError:
                self.dropped["stopping"] += len(batch)
                raise
            except TimeoutError:
                self._fail(app, f"no answer within {INFERENCE_LIMIT_S:g} s", len(batch))
            except Exception as error:  # noqa: BLE001  # the plugin border: a backend may fail in any way
                self._fail(app, f"{type(error).__name__}: {error}", len(batch))
            else:
                self._read(app, batch, outputs)

    def _read(self, app: App, batch: Sequence[_Pending], outputs: Outputs) -> None:
        """Turn an app's outputs into events."""
        finite = np.all(
            [np.isfinite(values).reshape(len(batch), -1).all(axis=1) for values in outputs.values()], axis=0
        )
        if not finite.all():
            self._fail(app, "its output is not finite", int((~finite).sum()))
            batch = [pending for pending, good in zip(batch, finite, strict=True) if good]
            outputs = {name: values[finite] for name, values in outputs.items()}
        if not batch:
            return
        manifest = app.bundle.manifest
        contexts = [
            Context(
                tick=self.ticks,
                app=manifest.id,
                version=manifest.version,
                digest=app.bundle.digest,
                backend=app.backend,
                node=pending.frame.node,
                time=pending.frame.time_s,
                origin=pending.frame.origin.value,
                window=pending.info,
            )
            for pending in batch
        ]
        try:
            readings = app.head.read(outputs, contexts)
        except Exception as error:  # noqa: BLE001  # the plugin border: so may a head
            self._fail(app, f"{type(error).__name__}: {error}", len(batch))
            return
        if finite.all():
            self._failed.pop(app.id, None)
        now_s, unix_s = self._clock.monotonic_s(), self._clock.unix_s()
        for reading, pending in zip(readings, batch, strict=True):
            reading.fields.latency_ms = round((now_s - pending.frame.arrival_s) * 1e3, 3)
            self._emit(Event(ts=unix_s, level=reading.level, event=app.head.event, fields=reading.fields))
        self.inferences[app.id] += len(batch)

    def _fail(self, app: App, reason: str, windows: int) -> None:
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

    def close(self) -> None:
        """End the inference threads; what still waits is lost, and counted."""
        if waiting := sum(len(pending) for pending in self._pending.values()):
            self.dropped["stopping"] += waiting
        for worker in self._workers.values():
            worker.close()
