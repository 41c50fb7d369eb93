"""The pose head: `keypoints [batch, 34]` to `pose.frame`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cogd.heads.base import Reading
from cogd.heads.rules import check_pose
from cogd.inferred import Person, PoseFields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cogd.bundle.manifest import OutputSpec
    from cogd.inferred import Context

DECIMALS = 6
"""Of emitted coordinates: finer than the models are, and short."""


class PoseHead:
    """One skeleton a window. The known models have no confidence, so it is null."""

    event = "pose.frame"

    def __init__(self, output: OutputSpec, calibration: Mapping[str, NDArray[np.float32]]) -> None:
        check_pose(output, {name: tensor.ravel().tolist() for name, tensor in calibration.items()})

    def read(self, outputs: Mapping[str, NDArray[np.float32]], contexts: Sequence[Context]) -> list[Reading]:
        """One skeleton for each row."""
        rows = outputs["keypoints"].astype(np.float64).round(DECIMALS).reshape(len(contexts), 17, 2).tolist()
        return [
            Reading(
                "info",
                PoseFields(
                    **context.fields(),
                    n_persons=1,
                    persons=[Person(keypoints=keypoints, confidence=None)],
                ),
            )
            for keypoints, context in zip(rows, contexts, strict=True)
        ]
