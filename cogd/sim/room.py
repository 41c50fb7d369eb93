"""The room: walls, furniture, an access point, nodes and a camera.

Metres; x to the right, y away from the camera, z up.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from cogd.sim.domain import KIT
from cogd.sim.materials import MATERIALS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.sim.domain import Domain

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along +y, tilted down.

    Attributes:
        position_m: where it hangs.
        tilt_rad: downward tilt.
        half_width: tangent of half the horizontal field of view.
        aspect: width of the picture over its height.
    """

    position_m: Vector
    tilt_rad: float
    half_width: float = 0.85
    aspect: float = 4 / 3

    def project(self, points_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Picture coordinates `[..., 2]` of points `[..., 3]`: 0..1 from left to right and from top to bottom."""
        relative = points_m - np.asarray(self.position_m)
        cos, sin = np.cos(self.tilt_rad), np.sin(self.tilt_rad)
        depth = np.maximum(relative[..., 1] * cos - relative[..., 2] * sin, 0.1)
        height = relative[..., 1] * sin + relative[..., 2] * cos
        x = relative[..., 0] / depth / self.half_width
        y = -height / depth / self.half_width * self.aspect
        return np.stack([(x + 1) / 2, (y + 1) / 2], axis=-1)


@dataclass(frozen=True)
class Room:
    """A furnished room.

    Attributes:
        size_m: width, depth, height.
        wall_reflection: amplitude reflection coefficient of the six walls: x low/high, y low/high, z low/high.
        furniture_m: `[n, 3]` static scatterers.
        furniture_rcs_m2: `[n]` their radar cross-sections.
        transmitter_m: the access point.
        nodes_m: `[nodes, 3]` the receivers.
        camera: what the truth's picture coordinates refer to.
        screens_m: `[n, 4]` inner walls, and outer ones with a node behind: x, y of one end and of the other.
        screen_transmission: `[n]` amplitude that gets through each.
        line_gain: `[nodes]` amplitude of each line of sight over that in free space; ones if empty.
    """

    size_m: Vector
    wall_reflection: tuple[float, ...]
    furniture_m: NDArray[np.float64]
    furniture_rcs_m2: NDArray[np.float64]
    transmitter_m: NDArray[np.float64]
    nodes_m: NDArray[np.float64]
    camera: Camera
    screens_m: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 4)))
    screen_transmission: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    line_gain: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def random_place(self, rng: np.random.Generator, *, in_picture: bool = True) -> tuple[float, float]:
        """A place on the floor (x, y) where a person is wholly in the picture, or any half a metre off the walls."""
        width, depth, _ = self.size_m
        if not in_picture:
            return float(rng.uniform(0.5, width - 0.5)), float(rng.uniform(0.5, depth - 0.5))
        y = rng.uniform(2.2, depth - 0.6)
        reach = min(0.8 * self.camera.half_width * y, width / 2 - 0.5)
        return width / 2 + rng.uniform(-reach, reach), y


def make_room(seed: int, nodes: int, domain: Domain = KIT) -> Room:
    """A room drawn from a seed; the first nodes are the same however many there are.

    In a kit's plan the access point stands at the middle of the left wall and the nodes along it, in turn before and
    behind, then along the right wall. Where placement is free, devices stand anywhere along the walls, at heights from
    a socket's to a shelf's, and a node may stand behind a wall. A walled-off corner lies beside the camera, where no
    one walks; a node that stands in it is behind walls, too.
    """
    rng = np.random.default_rng([seed, 0])
    size = width, depth, height = (
        float(rng.uniform(*domain.width_m)),
        float(rng.uniform(*domain.depth_m)),
        float(rng.uniform(*domain.height_m)),
    )
    count = int(rng.integers(int(domain.furniture[0]), int(domain.furniture[1]) + 1))
    furniture = rng.uniform([0.2, 0.3, 0.1], [width - 0.2, depth - 0.2, 1.6], size=(count, 3))
    rcs = rng.uniform(*domain.furniture_rcs_m2, size=count)
    walls = [MATERIALS[domain.materials[k]] for k in rng.integers(0, len(domain.materials), size=6)]
    reflection = tuple(min(0.9, wall.reflection * float(rng.uniform(*domain.wall_spread))) for wall in walls)
    camera = Camera((width / 2, 0.1, 1.5 + rng.uniform(-0.05, 0.05)), tilt_rad=0.12 + rng.uniform(-0.02, 0.02))
    free = rng.random() < domain.free_placement_chance
    corner = _corner(rng, size) if rng.random() < domain.corner_chance else np.empty((0, 4))
    inner = MATERIALS[domain.materials[int(rng.integers(len(domain.materials)))]].transmission
    transmitter = _along_the_walls(rng, size) if free else _shifted(rng, 0.2, depth / 2, 1.1)
    screens, transmissions, receivers = [*corner], [inner] * len(corner), []
    line_gains = []
    for index in range(nodes):
        own = np.random.default_rng([seed, 3, index])
        place = _planned(own, index, size) if not free else _along_the_walls(own, size, away_from=transmitter)
        if free and own.random() < domain.next_room_chance:
            place, screen, wall = _behind_a_wall(own, place, size)
            screens.append(screen)
            transmissions.append(walls[wall].transmission)
        receivers.append(place)
        line_gains.append(10 ** (-own.uniform(*domain.line_loss_db) / 20))
    return Room(
        (width, depth, height), reflection, furniture, rcs, transmitter, np.asarray(receivers), camera,
        np.asarray(screens, dtype=np.float64).reshape(-1, 4), np.asarray(transmissions, dtype=np.float64),
        np.asarray(line_gains),
    )  # fmt: skip


def moved_furniture(room: Room, share: float, rng: np.random.Generator) -> Room:
    """The same room on another day: some of its furniture stands elsewhere."""
    moved = rng.random(len(room.furniture_m)) < share
    elsewhere = rng.uniform([0.2, 0.3, 0.1], [room.size_m[0] - 0.2, room.size_m[1] - 0.2, 1.6], room.furniture_m.shape)
    return replace(room, furniture_m=np.where(moved[:, None], elsewhere, room.furniture_m))


def _shifted(rng: np.random.Generator, x: float, y: float, z: float) -> NDArray[np.float64]:
    return np.asarray([x, y, z]) + rng.uniform([-0.1, -0.2, -0.15], [0.1, 0.2, 0.15])


def _planned(rng: np.random.Generator, index: int, size: Vector) -> NDArray[np.float64]:
    width, depth, _ = size
    x = 0.2 if index % 4 < 2 else width - 0.2
    nearer, step = index % 2 == 0, 0.3 * (index // 4)
    return _shifted(rng, x, 0.8 + step if nearer else depth - 0.8 - step, 1.0)


def _along_the_walls(
    rng: np.random.Generator, size: Vector, away_from: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """A place 0.1 to 0.5 m off a wall, if asked for at least 1.5 m away from another device."""
    width, depth, _ = size
    for _ in range(20):
        off, share, z = rng.uniform(0.1, 0.5), rng.uniform(0.08, 0.92), rng.uniform(0.3, 1.9)
        place = [
            (off, share * depth),
            (width - off, share * depth),
            (share * width, off),
            (share * width, depth - off),
        ][int(rng.integers(4))]
        found = np.asarray([*place, z])
        if away_from is None or np.linalg.norm(found - away_from) >= 1.5:
            break
    return found


def _behind_a_wall(
    rng: np.random.Generator, place: NDArray[np.float64], size: Vector
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """The place mirrored to 0.3 to 2 m behind the nearest wall; that wall as a screen, and its number."""
    width, depth, _ = size
    gaps = [place[0], width - place[0], place[1], depth - place[1]]
    wall = int(np.argmin(gaps))
    axis, high = divmod(wall, 2)
    behind = place.copy()
    away = rng.uniform(0.3, 2.0)
    behind[axis] = size[axis] + away if high else -away
    ends = [[0.0, 0.0, 0.0, depth], [width, 0.0, width, depth], [0.0, 0.0, width, 0.0], [0.0, depth, width, depth]]
    return behind, np.asarray(ends[wall]), wall


def _corner(rng: np.random.Generator, size: Vector) -> NDArray[np.float64]:
    """Two walls that cut a corner off, left or right of the camera and nearer than anybody walks."""
    width, _, _ = size
    x, y = rng.uniform(0.15, 0.3) * width, rng.uniform(0.8, 1.8)
    if rng.random() < 0.5:
        return np.asarray([[x, 0.0, x, y], [0.0, y, x, y]])
    return np.asarray([[width - x, 0.0, width - x, y], [width - x, y, width, y]])
