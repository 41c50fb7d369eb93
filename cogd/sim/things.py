"""What moves in a room and is no person: a door, a fan, a curtain. Each is a few scatterers on a path of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.sim.domain import Domain
    from cogd.sim.room import Room


class Thing(Protocol):
    """Something that moves.

    Attributes:
        rcs_m2: float32 `[points]`.
    """

    rcs_m2: NDArray[np.float32]

    def at(self, times_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """Its points `[n, points, 3]`."""

    def moving(self, times_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether it moves, `[n]`."""


class Door:
    """A leaf of 0.8 m that is opened and closed again now and then, each time in 1 to 2.5 s."""

    def __init__(self, room: Room, rng: np.random.Generator) -> None:
        width, depth, _ = room.size_m
        wall, self._rng = int(rng.integers(4)), rng
        along = rng.uniform(0.2, 0.8)
        places = [(0.0, along * depth), (width, along * depth), (along * width, 0.0), (along * width, depth)]
        self._hinge_m = np.asarray(places[wall])
        self._closed_rad = np.pi / 2 if wall < 2 else 0.0
        self._inwards = (-1.0, 1.0, 1.0, -1.0)[wall]
        self.rcs_m2 = np.asarray(rng.uniform(0.1, 0.5, size=4), dtype=np.float32)
        self._times_s, self._shares = [0.0], [0.0]  # knots of a line: how far it is open when

    def at(self, times_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """Four points of the leaf."""
        self._go_on_until(float(times_s[-1]))
        angle = self._closed_rad + self._inwards * 1.4 * np.interp(times_s, self._times_s, self._shares)
        points = np.empty((len(times_s), 4, 3), dtype=np.float32)
        for index, (out, up) in enumerate(((0.3, 0.6), (0.75, 0.6), (0.3, 1.5), (0.75, 1.5))):
            points[:, index, 0] = self._hinge_m[0] + out * np.cos(angle)
            points[:, index, 1] = self._hinge_m[1] + out * np.sin(angle)
            points[:, index, 2] = up
        return points

    def moving(self, times_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Between two knots of different height."""
        self._go_on_until(float(times_s[-1]))
        knot = np.clip(np.searchsorted(self._times_s, times_s, side="right") - 1, 0, len(self._times_s) - 2)
        shares = np.asarray(self._shares)
        return np.asarray(shares[knot] != shares[knot + 1])

    def _go_on_until(self, time_s: float) -> None:
        while self._times_s[-1] <= time_s:
            share = self._shares[-1]
            still_s = self._rng.uniform(3.0, 40.0) if share == 0.0 else self._rng.uniform(0.5, 20.0)
            self._times_s += [self._times_s[-1] + still_s, self._times_s[-1] + still_s + self._rng.uniform(1.0, 2.5)]
            self._shares += [share, float(self._rng.uniform(0.4, 1.0)) if share == 0.0 else 0.0]


class Fan:
    """Three blades that turn all the time, 1 to 6 times a second."""

    def __init__(self, room: Room, rng: np.random.Generator) -> None:
        width, depth, _ = room.size_m
        self._hub_m = rng.uniform([0.4, 0.4, 0.6], [width - 0.4, depth - 0.4, 1.8])
        self._radius_m, self._turns_hz = rng.uniform(0.12, 0.3), rng.uniform(1.0, 6.0)
        self._facing = rng.uniform(0, np.pi)
        self.rcs_m2 = np.full(3, rng.uniform(0.002, 0.02), dtype=np.float32)

    def at(self, times_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """The middles of the blades, in an upright plane."""
        angle = 2 * np.pi * (self._turns_hz * times_s[:, None] + np.arange(3) / 3)
        across = self._radius_m * np.cos(angle)
        return np.asarray(
            self._hub_m
            + np.stack(
                [across * np.cos(self._facing), across * np.sin(self._facing), self._radius_m * np.sin(angle)], -1
            ),
            dtype=np.float32,
        )

    def moving(self, times_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Always."""
        return np.ones(len(times_s), dtype=np.bool_)


class Curtain:
    """Folds at a wall that sway by a few centimetres, each on its own."""

    def __init__(self, room: Room, rng: np.random.Generator) -> None:
        width, depth, _ = room.size_m
        x, y = ((0.1, rng.uniform(0.5, depth - 0.5)), (rng.uniform(0.5, width - 0.5), depth - 0.1))[
            int(rng.integers(2))
        ]
        self._rest_m = np.asarray([x, y, 0.0]) + rng.uniform([0, 0, 0.4], [0.3, 0.3, 2.0], size=(4, 3))
        self._hz, self._phase = rng.uniform(0.15, 0.9, size=(2, 4)), rng.uniform(0, 2 * np.pi, size=(2, 4))
        self._sway_m = rng.uniform(0.004, 0.03)
        self.rcs_m2 = np.asarray(rng.uniform(0.01, 0.06, size=4), dtype=np.float32)

    def at(self, times_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """Four folds."""
        sway = self._sway_m * np.sin(2 * np.pi * self._hz * times_s[:, None, None] + self._phase).sum(axis=1)
        points = np.broadcast_to(self._rest_m, (len(times_s), 4, 3)).astype(np.float32)
        points[..., 0] += sway
        points[..., 1] += sway
        return points

    def moving(self, times_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Always."""
        return np.ones(len(times_s), dtype=np.bool_)


def things_in(room: Room, domain: Domain, rng: np.random.Generator) -> list[Thing]:
    """What moves in a scene of a domain."""
    made: list[Thing] = []
    for chance, kind in ((domain.door_chance, Door), (domain.fan_chance, Fan), (domain.curtain_chance, Curtain)):
        drawn, own = rng.random(), np.random.default_rng(rng.integers(2**63))
        if drawn < chance:
            made.append(kind(room, own))
    return made
