"""The simulator: datagrams as ESP32 nodes would send them, and the truth behind them. Deterministic by seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cogd.sim.bodies import STEP_S, Act, Body
from cogd.sim.channel import Channel
from cogd.sim.domain import KIT, Domain
from cogd.sim.esp32 import Impairments, Receiver, draw_impairments
from cogd.sim.room import make_room, moved_furniture
from cogd.sim.skeleton import SCATTERERS_RCS_M2, scatterers_of
from cogd.sim.things import things_in
from cogd.sim.traffic import Traffic
from cogd.sim.visibility import visible_joints
from cogd.wire import adr018

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISE_FLOOR_DBM = -92

_BLOCK_FRAMES = 64
"""Frames are worked out in blocks of this many, so that no result depends on how they are asked for."""
_AHEAD_STEPS = 10
"""Packets leave up to 50 ms late, and are interpolated between two steps."""
_HALF_WIDTH_M = 0.18
"""Half of an adult's width as a wave sees it, between front and side."""


@dataclass(frozen=True)
class Scene:
    """What to simulate.

    Attributes:
        nodes: how many receivers, 1..255.
        persons: how many people.
        seed: of everything that moves or is random in time.
        room: seed of the room; the scene's seed if None.
        rate_hz: packets a second and node.
        impairments: how bad all radios are; drawn from the domain, node by node, if None.
        domain: what room, people, radios and disturbances are drawn from.
        radios: seed of the kinds and faults of the radios; the scene's seed if None. Scenes of one room that share it
            are heard by the same devices.
    """

    nodes: int = 2
    persons: int = 1
    seed: int = 7
    room: int | None = None
    rate_hz: float = 20.0
    impairments: Impairments | None = None
    domain: Domain = KIT
    radios: int | None = None

    def radio(self, node: int) -> Impairments:
        """What kind of radio a node (counted from 0) has, and how bad it is."""
        seed = self.seed if self.radios is None else self.radios
        return self.impairments or draw_impairments(self.domain, np.random.default_rng([seed, 5, node]))


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
        visible: `[n, persons, 17]` whether the camera sees the joint: inside the picture, and no other body before it.
        moving: `[n, persons]` whether each person does anything but stand, sit or lie still.
        act: int8 `[n, persons]` what each person does, see `cogd.sim.bodies.Act`.
        disturbed: `[n]` whether a door, a fan or a curtain moves.
    """

    times_s: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    visible: NDArray[np.bool_]
    moving: NDArray[np.bool_]
    act: NDArray[np.int8]
    disturbed: NDArray[np.bool_]

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
        domain, seed = scene.domain, scene.seed
        room = make_room(seed if scene.room is None else scene.room, scene.nodes, domain)
        today = np.random.default_rng([seed, 4])
        self.room = moved_furniture(room, domain.furniture_moved, today)
        in_picture = bool(today.random() >= domain.roam_chance)
        self._bodies = [
            Body(self.room, np.random.default_rng([seed, 1, person]), domain, in_picture=in_picture)
            for person in range(scene.persons)
        ]
        self._things = things_in(self.room, domain, today)
        self.impairments = [scene.radio(node) for node in range(scene.nodes)]
        self._receivers = [Receiver((seed, 2, node), own) for node, own in enumerate(self.impairments)]
        self._traffic = [Traffic((seed, 2, node), own, scene.rate_hz) for node, own in enumerate(self.impairments)]
        self._channels = [Channel(self.room, node) for node in range(scene.nodes)]
        self._past = _Past(scene.persons)
        self._made: list[tuple[int, Packet]] = []  # of blocks, not yet asked for: (tick, packet)
        self._frame = self._made_until = 0

    def advance(self, frames: int) -> Chunk:
        """Play on for so many packets of each node."""
        end = self._frame + frames
        first, last = (_step_at(frame / self.scene.rate_hz) for frame in (self._frame, end))
        while self._made_until < end:
            self._make_block()
        packets = [packet for tick, packet in self._made if tick < end]
        self._made = [(tick, packet) for tick, packet in self._made if tick >= end]
        packets.sort(key=lambda packet: packet.time_s)
        self._live_until(last)
        joints, acts = self._past.between(first, last)
        self._past.forget_before(min(last, _step_at(self._made_until / self.scene.rate_hz)))
        self._frame = end
        times_s = np.arange(first, last, dtype=np.float64) * STEP_S
        keypoints = self.room.camera.project(joints)
        truth = Truth(
            times_s,
            keypoints,
            visible_joints(self.room.camera, joints, keypoints),
            acts > Act.LIE,
            acts,
            self._disturbed(times_s),
        )
        return Chunk(tuple(packets), truth)

    def _disturbed(self, times_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        if not self._things or not len(times_s):
            return np.zeros(len(times_s), dtype=np.bool_)
        return np.asarray(np.any([thing.moving(times_s) for thing in self._things], axis=0))

    def _make_block(self) -> None:
        ticks = np.arange(self._made_until, self._made_until + _BLOCK_FRAMES)
        self._live_until(_step_at((ticks[-1] + 1) / self.scene.rate_hz) + _AHEAD_STEPS)
        for node in range(self.scene.nodes):
            self._made += self._packets(node, ticks)
        self._made_until += _BLOCK_FRAMES

    def _packets(self, node: int, ticks: NDArray[np.int64]) -> list[tuple[int, Packet]]:
        times_s, arrives, noise_db = self._traffic[node].depart(ticks)
        iq, rssi_dbm = self._receivers[node].measure(self._moments(node, times_s), times_s, noise_db)
        return [
            (
                int(ticks[k]),
                Packet(
                    float(times_s[k]),
                    adr018.encode(
                        node_id=node + 1,
                        sequence=int(ticks[k]) % 2**32,
                        iq=iq[k],
                        rssi_dbm=int(rssi_dbm[k]),
                        noise_floor_dbm=NOISE_FLOOR_DBM,
                    ),
                ),
            )
            for k in np.flatnonzero(arrives)
        ]

    def _moments(self, node: int, times_s: NDArray[np.float64]) -> NDArray[np.complex64]:
        channel = self._channels[node]
        summed = np.broadcast_to(channel.others, (len(times_s), len(channel.others)))
        for thing in self._things:
            summed = summed + channel.scattered(thing.at(times_s), thing.rcs_m2)
        if not self._bodies:
            return np.asarray(summed + channel.straight.sum(axis=0))
        joints = self._past.at(times_s)
        hips = joints[:, :, 11:13].mean(axis=2).astype(np.float32)
        screens = hips.copy()
        screens[..., 2] = joints[..., 2].max(axis=2)
        half_width_m = np.asarray([_HALF_WIDTH_M * body.build.build for body in self._bodies], dtype=np.float32)
        summed = summed + channel.shadows(screens, half_width_m) @ channel.straight
        points = np.stack(
            [scatterers_of(joints[:, k], times_s, body.build) for k, body in enumerate(self._bodies)], axis=1
        )
        rcs_m2 = np.concatenate([SCATTERERS_RCS_M2 * body.build.build**2 for body in self._bodies])
        legs = channel.legs(hips, screens, half_width_m)
        parts = points.shape[2]
        there, back = (np.repeat(leg, parts, axis=1) for leg in legs)
        return summed + channel.scattered(points.reshape(len(times_s), -1, 3), rcs_m2, (there, back))

    def _live_until(self, step: int) -> None:
        steps = step - self._past.last
        if steps <= 0:
            return
        lives = [body.advance(steps) for body in self._bodies]
        if lives:
            self._past.append(
                np.stack([life.joints for life in lives], axis=1), np.stack([life.act for life in lives], axis=1)
            )
        else:
            self._past.append(np.empty((steps, 0, 17, 3)), np.empty((steps, 0), dtype=np.int8))


class _Past:
    """Where everybody was and what they did, from some step on."""

    def __init__(self, persons: int) -> None:
        self._first = 0
        self._joints = np.empty((0, persons, 17, 3))
        self._acts = np.empty((0, persons), dtype=np.int8)

    @property
    def last(self) -> int:
        """The first step not yet lived."""
        return self._first + len(self._joints)

    def append(self, joints: NDArray[np.float64], acts: NDArray[np.int8]) -> None:
        self._joints, self._acts = np.concatenate([self._joints, joints]), np.concatenate([self._acts, acts])

    def between(self, first: int, last: int) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        part = slice(first - self._first, last - self._first)
        return self._joints[part], self._acts[part]

    def at(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Joints `[n, persons, 17, 3]` between the steps."""
        position = times_s / STEP_S - self._first
        lower = position.astype(np.intp)
        share = (position - lower)[:, None, None, None]
        return np.asarray(self._joints[lower] * (1 - share) + self._joints[lower + 1] * share)

    def forget_before(self, step: int) -> None:
        self._joints, self._acts = self._joints[step - self._first :], self._acts[step - self._first :]
        self._first = step


def _step_at(time_s: float) -> int:
    """The last step of the bodies that is not after `time_s`."""
    return math.floor(time_s / STEP_S + 1e-6)
