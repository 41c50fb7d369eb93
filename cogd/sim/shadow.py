"""Bodies in the way of a path: the four-edge screen of 3GPP TR 38.901, 7.6.4.2 (blockage model B).

A body is a screen across the path, as wide as its diameter and as high as it stands; each edge diffracts like a knife
edge. The formula is that of METIS D1.4, 6.2.2, which TR 38.901 took over:
loss = 1 - (F_left + F_right) * (F_bottom + F_top), F = atan(pi/2 * sqrt(pi / wavelength * detour)) / pi, negative for
the edge that the straight path leaves on the same side as the other one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cogd.sim.radio import WAVELENGTH_M

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float32]

_STEEPNESS = np.float32(np.pi / 2 * np.sqrt(np.pi / WAVELENGTH_M))


def shadow(start_m: Points, end_m: Points, screens_m: Points, half_width_m: Points) -> Points:
    """Factor `[...]`, 0 to about 1, by which one body each dims paths.

    Args:
        start_m: `[..., 3]` where the paths begin.
        end_m: `[..., 3]` where they end.
        screens_m: `[..., 3]` the bodies: x, y of the middle, and the height of the top.
        half_width_m: `[...]` half of their width.
    """
    along_x, along_y = end_m[..., 0] - start_m[..., 0], end_m[..., 1] - start_m[..., 1]
    to_x, to_y = screens_m[..., 0] - start_m[..., 0], screens_m[..., 1] - start_m[..., 1]
    length = np.sqrt(along_x * along_x + along_y * along_y) + np.float32(1e-3)
    before = (to_x * along_x + to_y * along_y) / length
    behind = length - before
    aside = (to_x * along_y - to_y * along_x) / length
    share = before / length
    height = start_m[..., 2] * (1 - share) + end_m[..., 2] * share
    near = np.maximum(before, np.float32(0.05)), np.maximum(behind, np.float32(0.05))
    wide = _edge(aside + half_width_m, near) - _edge(aside - half_width_m, near)
    high = _edge(screens_m[..., 2] - height, near) + _edge(height, near)
    factor = 1 - wide * high
    return np.where((before > 0) & (behind > 0), np.maximum(factor, np.float32(0.02)), np.float32(1.0))


def _edge(offset: Points, near: tuple[Points, Points]) -> Points:
    before, behind = near
    squared = offset * offset
    detour = np.sqrt(before * before + squared) - before + np.sqrt(behind * behind + squared) - behind
    bent = np.arctan(_STEEPNESS * np.sqrt(np.maximum(detour, 0)))
    return np.asarray(np.copysign(bent, offset) * np.float32(1 / np.pi), dtype=np.float32)


def crossings(start_m: Points, end_m: Points, walls_m: Points) -> NDArray[np.bool_]:
    """Whether paths `[..., 3]` go through walls `[walls, 4]` (x, y of one end and of the other): `[..., walls]`."""
    sx, sy, ex, ey = (point[..., axis, None] for point in (start_m, end_m) for axis in (0, 1))
    ax, ay, bx, by = walls_m.T

    def side(px: Points, py: Points, qx: Points, qy: Points, rx: Points, ry: Points) -> NDArray[np.bool_]:
        return np.asarray((qx - px) * (ry - py) - (qy - py) * (rx - px) > 0)

    apart = side(ax, ay, bx, by, sx, sy) != side(ax, ay, bx, by, ex, ey)
    astride = side(sx, sy, ex, ey, ax, ay) != side(sx, sy, ex, ey, bx, by)
    return np.asarray(apart & astride)
