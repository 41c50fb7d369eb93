"""Who is who: predicted poses of several persons to true ones, so that the similarities' sum is greatest.

The Hungarian method, by SciPy's `linear_sum_assignment` (Crouse 2016). COCO's average precision has a matching of its
own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def assign(similarity: Array) -> NDArray[np.int64]:
    """For each true person `[t]` the number of its pose, -1 where there is none left, of similarities `[p, t]`."""
    pose_of = np.full(similarity.shape[1], -1, dtype=np.int64)
    poses, truths = linear_sum_assignment(similarity, maximize=True)
    pose_of[truths] = poses
    return pose_of
