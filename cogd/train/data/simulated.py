"""Labelled windows from the simulator, through the same datagram parser, link rules and windows as the daemon's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cogd.csi.frame import Origin
from cogd.csi.link import LinkLimits
from cogd.csi.node import Node
from cogd.csi.window import WindowSpec
from cogd.errors import TrainError
from cogd.sim.simulator import Scene, Simulator
from cogd.train.data.windows import DataOrigin, Windows, unknown
from cogd.wire import adr018

if TYPE_CHECKING:
    from collections.abc import Callable

    from cogd.sim.simulator import Truth

FRAMES = 20
MIN_GAP_S = 0.02
MAX_GAP_S = 0.25
_CHUNK_FRAMES = 100


@dataclass(frozen=True)
class SimulatedRooms:
    """Which scenes to simulate: every number of persons in every room.

    Attributes:
        rooms: seeds of the rooms.
        persons: numbers of persons.
        minutes: length of each scene.
        nodes: receivers in each room.
        seed: of what happens in the rooms.
        rate_hz: packets a second and node.
        stride: frames from one window to the next.
    """

    rooms: tuple[int, ...]
    persons: tuple[int, ...]
    minutes: float
    nodes: int = 2
    seed: int = 1
    rate_hz: float = 20.0
    stride: int = 10


def simulate_windows(plan: SimulatedRooms, progress: Callable[[int, int], None] | None = None) -> Windows:
    """Simulate all scenes of a plan; session `s` is one scene, in the order rooms x persons."""
    spec = WindowSpec("ht56", FRAMES, MIN_GAP_S, MAX_GAP_S)
    scenes = [(room, persons) for room in plan.rooms for persons in plan.persons]
    columns = _Columns()
    for session, (room, persons) in enumerate(scenes):
        scene = Scene(
            nodes=plan.nodes,
            persons=persons,
            seed=plan.seed * 1_000_003 + room * 101 + persons,
            room=room,
            rate_hz=plan.rate_hz,
        )
        _play(scene, session, plan, spec, columns)
        if progress is not None:
            progress(session + 1, len(scenes))
    name = (
        f"cogd simulator: rooms {_listed(plan.rooms)}, persons {list(plan.persons)}, {plan.minutes:g} min each, "
        f"{plan.nodes} nodes, {plan.rate_hz:g} Hz, seed {plan.seed}, stride {plan.stride}"
    )
    return columns.windows(plan, DataOrigin(name, None, "Apache-2.0"))


def _listed(rooms: tuple[int, ...]) -> str:
    """Rooms as a range where they are one: a manifest's text holds 4,000 characters."""
    if rooms == tuple(range(rooms[0], rooms[0] + len(rooms))):
        return f"{rooms[0]} to {rooms[-1]}"
    return str(list(rooms))


def _play(scene: Scene, session: int, plan: SimulatedRooms, spec: WindowSpec, columns: _Columns) -> None:
    simulator = Simulator(scene)
    truth = _Told()
    nodes = {
        number: Node(f"sim/{number}", [spec], LinkLimits(), believe_simulated=True)
        for number in range(1, scene.nodes + 1)
    }
    taken = dict.fromkeys(nodes, 0)
    for _ in range(max(1, round(plan.minutes * 60 * scene.rate_hz / _CHUNK_FRAMES))):
        chunk = simulator.advance(_CHUNK_FRAMES)
        truth.add(chunk.truth)
        for packet in chunk.packets:
            datagram = adr018.decode(packet.datagram)
            if not isinstance(datagram, adr018.CsiDatagram):
                continue
            frame = adr018.to_frame(
                datagram, source="sim", time_s=packet.time_s, arrival_s=packet.time_s, origin=Origin.SIMULATED
            )
            node = nodes[datagram.node_id]
            if not node.take(frame).complete:
                continue
            taken[datagram.node_id] += 1
            if taken[datagram.node_id] % plan.stride == 0:
                window = node.windows[spec]
                span_s = packet.time_s - window.span_s, packet.time_s
                columns.add(window.view(), span_s, (session, datagram.node_id), chunk.truth, truth.moving(*span_s))


class _Told:
    """What a scene's truth has told so far about motion."""

    def __init__(self) -> None:
        self._times_s = np.empty(0)
        self._anybody = np.empty(0, dtype=np.bool_)

    def add(self, truth: Truth) -> None:
        """Take in the next stretch."""
        self._times_s = np.concatenate([self._times_s, truth.times_s])
        self._anybody = np.concatenate([self._anybody, truth.moving.any(axis=1)])

    def moving(self, start_s: float, end_s: float) -> int:
        """1 if at every step from start to end somebody moved, 0 if nobody did at any, -1 if both happened."""
        first, last = np.searchsorted(self._times_s, (start_s, end_s), side="right")
        anybody = self._anybody[max(first - 1, 0) : max(last, 1)]  # beginning with the step that holds at the start
        return -1 if anybody.any() != anybody.all() else int(anybody.any())


class _Columns:
    """Grows row by row, then becomes `Windows`."""

    def __init__(self) -> None:
        self._csi: list[np.ndarray] = []
        self._keypoints: list[np.ndarray] = []
        self._persons: list[int] = []
        self._times: list[tuple[float, float]] = []
        self._places: list[tuple[int, int]] = []  # session and node
        self._moving: list[int] = []

    def add(
        self, csi: np.ndarray, span_s: tuple[float, float], place: tuple[int, int], truth: Truth, moving: int
    ) -> None:
        nearest = min(int(np.searchsorted(truth.times_s, span_s[1])), len(truth.times_s) - 1)
        missing = np.full((17, 2), np.nan)
        self._csi.append(csi.copy())
        self._keypoints.append(truth.keypoints[nearest, 0] if truth.persons == 1 else missing)
        self._persons.append(truth.persons)
        self._times.append(span_s)
        self._places.append(place)
        self._moving.append(moving)

    def windows(self, plan: SimulatedRooms, origin: DataOrigin) -> Windows:
        if not self._csi:
            raise TrainError("the scenes are too short for a single window", hint="simulate for longer, or stride less")
        times = np.asarray(self._times, dtype=np.float64)
        session, node = np.asarray(self._places, dtype=np.int64).T
        scenes = [(room, persons) for room in plan.rooms for persons in plan.persons]
        return Windows(
            csi=np.stack(self._csi),
            keypoints=np.stack(self._keypoints).astype(np.float32),
            weight=np.ones(len(self._csi), dtype=np.float32),
            persons=np.asarray(self._persons, dtype=np.int64),
            start_s=times[:, 0],
            end_s=times[:, 1],
            moving=np.asarray(self._moving, dtype=np.int8),
            session=session,
            room=session // len(plan.persons),
            subject=unknown(len(self._csi)),
            node=node,
            names={
                "session": tuple(f"room {room}, {persons} persons, seed {plan.seed}" for room, persons in scenes),
                "room": tuple(f"simulated room {room}" for room in plan.rooms),
                "subject": (),
            },
            tones="ht56",
            rate_hz=plan.rate_hz,
            min_gap_s=MIN_GAP_S,
            max_gap_s=MAX_GAP_S,
            origin=origin,
        )
