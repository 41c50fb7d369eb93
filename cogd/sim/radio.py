"""The channel: complex gain of every tone from the lengths of all paths.

Free space: amplitude wavelength / (4 pi d) (Friis 1946). A wall is a mirror: the path to the image of the source,
times a reflection coefficient. A scatterer of radar cross-section s contributes wavelength * sqrt(s) /
((4 pi)**1.5 * d1 * d2), the bistatic radar equation (Skolnik, Introduction to Radar Systems). A body near the line
of sight shadows it. Left out: bounces of bodies off walls, diffraction around furniture, polarisation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cogd.csi.tones import HT_TONES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.sim.room import Room

SPEED_OF_LIGHT_M_S = 299_792_458.0
CARRIER_HZ = 2.437e9
"""Channel 6."""
TONE_HZ = CARRIER_HZ + 312_500.0 * np.asarray(HT_TONES, dtype=np.float64)
"""Frequency of each of the 56 tones, lowest first."""
WAVELENGTH_M = SPEED_OF_LIGHT_M_S / CARRIER_HZ

JOINT_RCS_M2 = np.asarray(
    [0.04, *[0.01] * 4, *[0.12] * 2, *[0.03] * 2, *[0.02] * 2, *[0.16] * 2, *[0.05] * 2, *[0.03] * 2]
)
"""Radar cross-section of the 17 joints' surroundings: 0.9 m2 together, an adult's order of magnitude at 2.4 GHz."""

_SHADOW_WIDTH_M = 0.3
_SHADOW_DEPTH = 0.75


def static_gain(room: Room, node: int) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Gains `[56]` of the empty room: of the line of sight alone, and of everything else that stands still."""
    receiver = room.nodes_m[node]
    line = _path(float(np.linalg.norm(room.transmitter_m - receiver)))
    others = np.zeros_like(line)
    for wall, reflection in enumerate(room.wall_reflection):
        axis, high = divmod(wall, 2)
        image = room.transmitter_m.copy()
        image[axis] = 2 * (room.size_m[axis] if high else 0.0) - image[axis]
        others += -reflection * _path(float(np.linalg.norm(image - receiver)))
    for place, rcs_m2 in zip(room.furniture_m, room.furniture_rcs_m2, strict=True):
        others += scattered_gain(room, node, place[None, None], np.asarray([rcs_m2]))[0]
    return line, others


def scattered_gain(
    room: Room, node: int, points_m: NDArray[np.float64], rcs_m2: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Gain `[times, 56]` of scatterers at `[times, points, 3]`."""
    there = np.linalg.norm(points_m - room.transmitter_m, axis=-1)
    back = np.linalg.norm(points_m - room.nodes_m[node], axis=-1)
    amplitude = WAVELENGTH_M * np.sqrt(rcs_m2) / ((4 * np.pi) ** 1.5 * np.maximum(there * back, 0.05))
    turns = (there + back)[..., None] * (TONE_HZ / SPEED_OF_LIGHT_M_S)
    gain: NDArray[np.complex128] = np.einsum("tp,tpk->tk", amplitude, np.exp(-2j * np.pi * (turns % 1.0)))
    return gain


def line_of_sight_shadow(room: Room, node: int, hips_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factor `[times]` by which bodies at `[times, bodies, 3]` dim the line of sight; 1 where none is near."""
    start, end = room.transmitter_m[:2], room.nodes_m[node][:2]
    along = end - start
    share = np.clip((hips_m[..., :2] - start) @ along / (along @ along), 0.0, 1.0)
    distance = np.linalg.norm(hips_m[..., :2] - (start + share[..., None] * along), axis=-1)
    shadow = 1.0 - _SHADOW_DEPTH * np.exp(-((distance / _SHADOW_WIDTH_M) ** 2))
    return np.asarray(np.prod(shadow, axis=-1), dtype=np.float64)


def _path(length_m: float) -> NDArray[np.complex128]:
    turns = TONE_HZ * length_m / SPEED_OF_LIGHT_M_S
    gain: NDArray[np.complex128] = WAVELENGTH_M / (4 * np.pi * length_m) * np.exp(-2j * np.pi * (turns % 1.0))
    return gain
