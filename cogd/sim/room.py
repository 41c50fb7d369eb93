"""The room: walls, furniture, an access point, nodes and a camera.

Metres; x to the right, y away from the camera, z up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    """

    size_m: Vector
    wall_reflection: tuple[float, ...]
    furniture_m: NDArray[np.float64]
    furniture_rcs_m2: NDArray[np.float64]
    transmitter_m: NDArray[np.float64]
    nodes_m: NDArray[np.float64]
    camera: Camera

    def random_place(self, rng: np.random.Generator) -> tuple[float, float]:
        """A place on the floor (x, y) where a person is wholly in the picture."""
        width, depth, _ = self.size_m
        y = rng.uniform(2.2, depth - 0.6)
        reach = min(0.8 * self.camera.half_width * y, width / 2 - 0.5)
        return width / 2 + rng.uniform(-reach, reach), y


def make_room(seed: int, nodes: int) -> Room:
    """A room drawn from a seed: size, walls, furniture and small shifts of the devices differ, the plan does not.

    The access point stands at the middle of the left wall and the nodes along it, in turn before and behind, then
    along the right wall: one kit, put up the same way in every home.
    """
    rng = np.random.default_rng([seed, 0])
    width, depth, height = rng.uniform(4.6, 6.2), rng.uniform(5.2, 6.8), rng.uniform(2.4, 2.8)
    count = int(rng.integers(6, 14))
    furniture = rng.uniform([0.2, 0.3, 0.1], [width - 0.2, depth - 0.2, 1.6], size=(count, 3))
    rcs = rng.uniform(0.02, 0.4, size=count)
    reflection = tuple(rng.uniform(0.25, 0.6, size=6))

    def shifted(x: float, y: float, z: float) -> list[float]:
        return [x + rng.uniform(-0.1, 0.1), y + rng.uniform(-0.2, 0.2), z + rng.uniform(-0.15, 0.15)]

    transmitter = shifted(0.2, depth / 2, 1.1)
    camera = Camera((width / 2, 0.1, 1.5 + rng.uniform(-0.05, 0.05)), tilt_rad=0.12 + rng.uniform(-0.02, 0.02))
    receivers = []
    for index in range(nodes):
        x = 0.2 if index % 4 < 2 else width - 0.2
        nearer, step = index % 2 == 0, 0.3 * (index // 4)
        receivers.append(shifted(x, 0.8 + step if nearer else depth - 0.8 - step, 1.0))
    return Room(
        (width, depth, height), reflection, furniture, rcs, np.asarray(transmitter), np.asarray(receivers), camera
    )
