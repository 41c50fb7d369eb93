"""Which joints the camera sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.sim.room import Camera

_TRUNK = [5, 6, 11, 12]


def visible_joints(camera: Camera, joints_m: NDArray[np.float64], keypoints: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether joints `[n, persons, 17, 3]` at picture coordinates `[n, persons, 17, 2]` are seen, `[n, persons, 17]`.

    A joint is hidden when it is outside the picture, or inside the picture's box around the trunk and the head of
    somebody nearer to the camera. A body's own parts hide nothing: who draws poses marks those, too.
    """
    cos, sin = np.cos(camera.tilt_rad), np.sin(camera.tilt_rad)
    relative = joints_m - np.asarray(camera.position_m)
    depth = relative[..., 1] * cos - relative[..., 2] * sin
    x, y = keypoints[..., 0], keypoints[..., 1]
    seen = (depth > 0.2) & (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
    persons = joints_m.shape[1]
    if persons < 2:
        return np.asarray(seen)
    box = keypoints[:, :, [0, *_TRUNK]]
    low, high = box.min(axis=2), box.max(axis=2)
    nearest = depth[:, :, _TRUNK].mean(axis=2)
    for other in range(persons):
        (left, top), (right, bottom) = (corner[:, other].T[..., None, None] for corner in (low, high))
        distance = nearest[:, other, None, None]
        covered = (x >= left) & (x <= right) & (y >= top) & (y <= bottom) & (depth > distance + 0.1) & (distance > 0.2)
        covered[:, other] = False
        seen &= ~covered
    return np.asarray(seen)
