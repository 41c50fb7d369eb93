"""What one node hears: every path from the access point to it, as moments of which any tone's gain follows.

A wall is a mirror: the path to the image of the source, times a reflection coefficient. Of what stands still, paths
with two reflections at most and the furniture are worked out once. Of what moves, each scatterer has thirteen paths:
straight on, and by way of each of the six walls before or after it. Bodies shadow the line of sight, the six paths by
one wall and the legs of each other's paths (`cogd.sim.shadow`); inner walls dim what goes through them. Left out:
diffraction around furniture, polarisation, bounces from body to body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cogd.sim.radio import free_space, moments, scattering
from cogd.sim.shadow import crossings, shadow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.sim.room import Room

    Floats = NDArray[np.float32]

_NEAREST_M2 = np.float32(0.05)


class Channel:
    """The paths to one node of a room."""

    def __init__(self, room: Room, node: int) -> None:
        self._room = room
        self._reflection = np.asarray([1.0, *(-reflection for reflection in room.wall_reflection)], dtype=np.float32)
        self._sources = _images(room.transmitter_m, room)
        self._sinks = _images(room.nodes_m[node], room)
        outside = [wall for wall in range(6) if _is_behind(room.nodes_m[node], wall, room)]
        self._reflection[[1 + wall for wall in outside]] = 0.0  # that wall lies between, and mirrors nothing
        self._line_gain = float(room.line_gain[node]) if len(room.line_gain) else 1.0
        self._straight = self._paths_of_images()
        self._others = self._second_images() + self._furniture()

    @property
    def straight(self) -> NDArray[np.complex64]:
        """Moments `[7, 12]` of the line of sight and of the paths by each of the six walls, no body near."""
        return self._straight

    @property
    def others(self) -> NDArray[np.complex64]:
        """Moments `[12]` of everything else that stands still."""
        return self._others

    def shadows(self, screens: Floats, half_width_m: Floats) -> Floats:
        """Factors `[n, 7]` on the `straight` paths, of bodies `[n, bodies, 3]` (x, y, height) and their half widths.

        On the unfolded path from an image, a body stands in the way where it is, or where its own image is.
        """
        sources = np.asarray(self._sources, dtype=np.float32)
        sink = np.asarray(self._sinks[0], dtype=np.float32)
        own = shadow(sources, sink, screens[:, :, None, :], half_width_m[:, None])
        if not self._reflection[1:5].any():
            return np.asarray(own.prod(axis=1), dtype=np.float32)
        mirrored = np.broadcast_to(screens[:, :, None, :], (*screens.shape[:2], 4, 3)).copy()
        for wall in range(4):
            axis, high = divmod(wall, 2)
            mirrored[:, :, wall, axis] = 2 * (self._room.size_m[axis] if high else 0.0) - mirrored[:, :, wall, axis]
        own[:, :, 1:5] *= shadow(sources[1:5], sink, mirrored, half_width_m[:, None])
        return np.asarray(own.prod(axis=1), dtype=np.float32)

    def scattered(
        self, points_m: Floats, rcs_m2: Floats, legs: tuple[Floats, Floats] | None = None
    ) -> NDArray[np.complex64]:
        """Moments `[n, 12]` of scatterers.

        Args:
            points_m: `[n, points, 3]`.
            rcs_m2: `[points]`.
            legs: factors `[n, points]` on the way there from the access point and on the way to the node.
        """
        there, back = (_distances(points_m, images) for images in (self._sources, self._sinks))
        straight_there, straight_back = there[..., :1], back[..., :1]
        length = np.concatenate([there + straight_back, straight_there + back[..., 1:]], axis=-1)
        product = np.concatenate([there * straight_back, straight_there * back[..., 1:]], axis=-1)
        factor = np.concatenate([self._reflection, self._reflection[1:]])
        amplitude = scattering(rcs_m2)[:, None] * factor / np.maximum(product, _NEAREST_M2)
        if legs is not None:
            there_factor, back_factor = (leg[..., None] for leg in legs)
            amplitude[..., :1] *= there_factor * back_factor
            amplitude[..., 1:7] *= back_factor
            amplitude[..., 7:] *= there_factor
        return moments(amplitude.reshape(len(points_m), -1), length.reshape(len(points_m), -1))

    def legs(self, places_m: Floats, screens: Floats, half_width_m: Floats) -> tuple[Floats, Floats]:
        """Factors `[n, bodies]` on the ways to and from bodies at `places_m` `[n, bodies, 3]`: by walls, by others."""
        ends = [np.asarray(end, dtype=np.float32) for end in (self._sources[0], self._sinks[0])]
        factors = []
        for end in ends:
            factor = self._through_walls(np.broadcast_to(end, places_m.shape), places_m)
            if screens.shape[1] > 1:
                by_other = shadow(end, places_m[:, :, None, :], screens[:, None, :, :], half_width_m)
                by_other[:, np.arange(screens.shape[1]), np.arange(screens.shape[1])] = 1.0
                factor = factor * by_other.prod(axis=2)
            factors.append(factor)
        return factors[0], factors[1]

    def _through_walls(self, start_m: Floats, end_m: Floats) -> Floats:
        walls = self._room.screens_m.astype(np.float32)
        if not len(walls):
            return np.ones(end_m.shape[:-1], dtype=np.float32)
        lets = self._room.screen_transmission.astype(np.float32)
        through = np.where(crossings(start_m, end_m, walls), lets, np.float32(1.0))
        return np.asarray(through.prod(axis=-1), dtype=np.float32)

    def _paths_of_images(self) -> NDArray[np.complex64]:
        length = np.linalg.norm(self._sources - self._sinks[0], axis=1)
        dimmed = self._through_walls(
            self._sources.astype(np.float32), np.broadcast_to(self._sinks[0], (7, 3)).astype(np.float32)
        )
        amplitude = self._reflection * free_space(length) * dimmed
        amplitude[0] *= self._line_gain
        return moments(amplitude.astype(np.float32)[:, None], length.astype(np.float32)[:, None])

    def _second_images(self) -> NDArray[np.complex64]:
        """Paths by two walls, from the image of one to the image of the other; corners of two walls once each."""
        pairs = [(one, other) for one in range(1, 7) for other in range(one, 7) if (one - 1) // 2 != (other - 1) // 2]
        pairs += [
            (one, other)
            for one in range(1, 7)
            for other in range(1, 7)
            if (one - 1) // 2 == (other - 1) // 2 and one != other
        ]
        ones, others = np.asarray(pairs).T
        length = np.linalg.norm(self._sources[ones] - self._sinks[others], axis=1)
        amplitude = self._reflection[ones] * self._reflection[others] * free_space(length)
        dimmed = self._through_walls(
            np.asarray(self._sources[0], dtype=np.float32), np.asarray(self._sinks[:1], dtype=np.float32)
        )
        return moments((amplitude * dimmed).astype(np.float32), length.astype(np.float32))

    def _furniture(self) -> NDArray[np.complex64]:
        places = self._room.furniture_m.astype(np.float32)[None]
        if not places.shape[1]:
            return np.zeros(moments(np.zeros(1, np.float32), np.zeros(1, np.float32)).shape, dtype=np.complex64)
        none = np.empty((1, 0, 3), dtype=np.float32)
        legs = self.legs(places, none, none[..., 0])
        scattered = self.scattered(places, self._room.furniture_rcs_m2.astype(np.float32), legs)
        return np.asarray(scattered[0], dtype=np.complex64)


def _images(point_m: NDArray[np.float64], room: Room) -> NDArray[np.float64]:
    """A point and its images in the six walls, `[7, 3]`."""
    images = np.tile(point_m, (7, 1))
    for wall in range(6):
        axis, high = divmod(wall, 2)
        images[1 + wall, axis] = 2 * (room.size_m[axis] if high else 0.0) - point_m[axis]
    return images


def _is_behind(point_m: NDArray[np.float64], wall: int, room: Room) -> bool:
    axis, high = divmod(wall, 2)
    return bool(point_m[axis] > room.size_m[axis] if high else point_m[axis] < 0)


def _distances(points_m: Floats, images_m: NDArray[np.float64]) -> Floats:
    """`[n, points, images]`; an image differs from its source in one axis only, and that one squared is summed anew."""
    squared = [(points_m[..., axis, None] - images_m[:, axis].astype(np.float32)) ** 2 for axis in range(3)]
    return np.asarray(np.sqrt(squared[0] + squared[1] + squared[2]), dtype=np.float32)
