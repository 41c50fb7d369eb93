"""The simulator: datagrams as ESP32 nodes would send them, and the truth behind them. Deterministic by seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cogd.sim.bodies import STEP_S, Body
from cogd.sim.esp32 import Impairments, Receiver
from cogd.sim.radio import JOINT_RCS_M2, line_of_sight_shadow, scattered_gain, static_gain
from cogd.sim.room import make_room
from cogd.wire import adr018

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISE_FLOOR_DBM = -92


@dataclass(frozen=True)
class Scene:
    """What to simulate.

    Attributes:
        nodes: how many receivers, 1..255.
        persons: how many people.
        seed: of everything that moves or is random in time.
        room: seed of the room; the scene's seed if None.
        rate_hz: packets a second and node.
        impairments: how bad the radios are.
    """

    nodes: int = 2
    persons: int = 1
    seed: int = 7
    room: int | None = None
    rate_hz: float = 20.0
    impairments: Impairments = field(default_factory=Impairments)


@dataclass(frozen=True, slots=True)
class Packet:
    """One datagram and when it leaves its node, in seconds from the start of the scene."""

    time_s: float
    datagram: bytes


@dataclass(frozen=True)
class Truth:
    """What really happened, on a regular grid.

    Attributes:
        times_s: `[n]` from the start of the scene.
        keypoints: `[n, persons, 17, 2]` picture coordinates, 0..1, COCO order.
        moving: `[n, persons]` whether each person walks, turns, sits down or stands up.
    """

    times_s: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    moving: NDArray[np.bool_]

    @property
    def persons(self) -> int:
        """How many people are in the room."""
        return int(self.keypoints.shape[1])


@dataclass(frozen=True)
class Chunk:
    """A stretch of a scene: its packets in the order of time, and its truth."""

    packets: tuple[Packet, ...]
    truth: Truth


class Simulator:
    """Plays a scene, as long as one likes; the result does not depend on the lengths of its chunks."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.room = make_room(scene.seed if scene.room is None else scene.room, scene.nodes)
        self._bodies = [
            Body(self.room, np.random.default_rng([scene.seed, 1, person])) for person in range(scene.persons)
        ]
        self._receivers = [Receiver((scene.seed, 2, node), scene.impairments) for node in range(scene.nodes)]
        self._static = [static_gain(self.room, node) for node in range(scene.nodes)]
        self._frame = 0
        self._joints = np.empty((0, scene.persons, 17, 3))  # of the steps not yet passed
        self._moving = np.empty((0, scene.persons), dtype=np.bool_)
        self._first_step = 0

    def advance(self, frames: int) -> Chunk:
        """Play on for so many packets of each node."""
        ticks = np.arange(self._frame, self._frame + frames)
        start_s, end_s = ticks[0] / self.scene.rate_hz, (ticks[-1] + 1) / self.scene.rate_hz
        first, last = _step_at(start_s), _step_at(end_s)
        self._live_until(last + round(0.1 / STEP_S))
        packets: list[Packet] = []
        for node in range(self.scene.nodes):
            packets += self._packets(node, ticks)
        packets.sort(key=lambda packet: packet.time_s)
        joints, moving = self._joints[first - self._first_step : last - self._first_step], self._moving
        truth = Truth(
            np.arange(first, last, dtype=np.float64) * STEP_S,
            self.room.camera.project(joints),
            moving[first - self._first_step : last - self._first_step],
        )
        self._frame += frames
        self._forget_before(last)
        return Chunk(tuple(packets), truth)

    def _packets(self, node: int, ticks: NDArray[np.int64]) -> list[Packet]:
        late_s, arrives = self._receivers[node].departures(len(ticks))
        # Nobody leaves after the next one: the order of packets must not depend on where a chunk ends.
        times_s = ticks / self.scene.rate_hz + np.minimum(late_s, min(0.05, 0.9 / self.scene.rate_hz))
        iq, rssi_dbm = self._receivers[node].measure(self._gain(node, times_s))
        return [
            Packet(
                float(times_s[k]),
                adr018.encode(
                    node_id=node + 1,
                    sequence=int(ticks[k]) % 2**32,
                    iq=iq[k],
                    rssi_dbm=int(rssi_dbm[k]),
                    noise_floor_dbm=NOISE_FLOOR_DBM,
                ),
            )
            for k in range(len(ticks))
            if arrives[k]
        ]

    def _gain(self, node: int, times_s: NDArray[np.float64]) -> NDArray[np.complex128]:
        line, others = self._static[node]
        if not self._bodies:
            return np.broadcast_to(line + others, (len(times_s), len(line)))
        joints = self._joints_at(times_s)
        shadow = line_of_sight_shadow(self.room, node, joints[:, :, 11:13].mean(axis=2))
        points = joints.reshape(len(times_s), -1, 3)
        rcs_m2 = np.tile(JOINT_RCS_M2, len(self._bodies))
        return shadow[:, None] * line + others + scattered_gain(self.room, node, points, rcs_m2)

    def _joints_at(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        position = times_s / STEP_S - self._first_step
        lower = position.astype(np.intp)
        share = (position - lower)[:, None, None, None]
        return self._joints[lower] * (1 - share) + self._joints[lower + 1] * share

    def _live_until(self, step: int) -> None:
        steps = step - self._first_step - len(self._joints)
        if steps <= 0:
            return
        if not self._bodies:
            self._joints = np.empty((step - self._first_step, 0, 17, 3))
            self._moving = np.empty((step - self._first_step, 0), dtype=np.bool_)
            return
        lives = [body.advance(steps) for body in self._bodies]
        self._joints = np.concatenate([self._joints, np.stack([joints for joints, _ in lives], axis=1)])
        self._moving = np.concatenate([self._moving, np.stack([moving for _, moving in lives], axis=1)])

    def _forget_before(self, step: int) -> None:
        self._joints = self._joints[step - self._first_step :]
        self._moving = self._moving[step - self._first_step :]
        self._first_step = step


def _step_at(time_s: float) -> int:
    """The last step of the bodies that is not after `time_s`."""
    return math.floor(time_s / STEP_S + 1e-6)
