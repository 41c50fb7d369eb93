"""The networks once more, in NumPy and double precision: what golden pairs and parity are checked against.

Written from the layers' definitions, not from the torch modules; it shares no code with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cogd.train.reference import count, motion, pose, published

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    Forward = Callable[[Mapping[str, NDArray[np.float32]], NDArray[np.float32]], dict[str, NDArray[np.float32]]]

_BY_WEIGHT: Final[Mapping[str, Forward]] = {
    "strided.c1.weight": count.forward,
    "head.fc1.weight": published.forward,
    "count_head.fc1.weight": published.forward,
    "pose.fc1.weight": pose.forward,
    "motion.weight": motion.forward,
}
"""By a weight that only this family has; of several that fit, the first."""


def forward(weights: Mapping[str, NDArray[np.float32]], csi: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Outputs by name, float32, of model inputs `[batch, 56, frames]`; which network it is follows from its weights.

    Raises:
        KeyError: there is no reference for such weights.
    """
    family = next((name for name in _BY_WEIGHT if name in weights), "a weight of any of them")
    return _BY_WEIGHT[family](weights, csi)
