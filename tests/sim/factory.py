"""Rooms whose channel can be worked out by hand."""

from __future__ import annotations

import numpy as np

from cogd.sim.room import Camera, Room


def bare_room(
    *,
    transmitter=(0.5, 3.0, 1.0),
    node=(4.5, 3.0, 1.0),
    size=(5.0, 6.0, 2.5),
    reflection=(0.0,) * 6,
    furniture=(),
    screens=(),
    transmission=(),
) -> Room:
    """A room with one node; without walls and furniture unless given (furniture: (x, y, z, cross-section))."""
    table = np.asarray(furniture, dtype=np.float64).reshape(-1, 4)
    return Room(
        size_m=size,
        wall_reflection=reflection,
        furniture_m=table[:, :3],
        furniture_rcs_m2=table[:, 3],
        transmitter_m=np.asarray(transmitter, dtype=np.float64),
        nodes_m=np.asarray([node], dtype=np.float64),
        camera=Camera((2.5, 0.0, 1.5), tilt_rad=0.0),
        screens_m=np.asarray(screens, dtype=np.float64).reshape(-1, 4),
        screen_transmission=np.asarray(transmission, dtype=np.float64),
    )
