"""The pose head: `keypoints [batch, 34]` and perhaps `log_scale [batch, 17]` to `pose.frame`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cogd.events.rounding import rounded
from cogd.heads.base import Head, Reading
from cogd.heads.pose.events import Person, PoseFields
from cogd.heads.pose.rules import JOINT_COUNT, LOG_SCALE, RADIUS_50, pose_calibration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cogd.bundle.manifest import OutputSpec
    from cogd.events import Context, EventFields
    from cogd.heads.base import Baseline
    from cogd.heads.platt import Line

    Outputs = Mapping[str, NDArray[np.float32]]

DECIMALS = 6
"""Of emitted coordinates: finer than the models are, and short."""

_PARTS = 1_000_000


class PoseHead(Head):
    """One skeleton a window, and where the bundle is calibrated how far off it may be.

    Calibration: the scale of a joint's error is `joint_scale` * exp(its `log_scale`), and half of the errors are within
    `RADIUS_50` of it; the confidence is sigmoid(`slope` * score + `offset`) of the score -mean(`log_scale`). Without
    one both are null.
    """

    name: ClassVar[str] = "pose"
    events: ClassVar[Sequence[type[EventFields]]] = (PoseFields,)

    def __init__(self, output: OutputSpec, calibration: Mapping[str, NDArray[np.float32]]) -> None:
        fitted = pose_calibration(output, {name: tensor.ravel().tolist() for name, tensor in calibration.items()})
        self._radii: NDArray[np.float64] | None = None
        self._line: Line | None = None
        if fitted is not None:
            scales, self._line = fitted
            self._radii = RADIUS_50 * np.asarray(scales)

    def read(
        self,
        outputs: Outputs,
        contexts: Sequence[Context],
        baselines: Sequence[Baseline | None] = (),  # noqa: ARG002  # it declares no use for them
    ) -> list[Reading]:
        """One skeleton for each row."""
        rows = outputs["keypoints"].astype(np.float64).round(DECIMALS).reshape(len(contexts), JOINT_COUNT, 2).tolist()
        return [
            Reading(
                PoseFields(
                    **context.fields(),
                    n_persons=1,
                    persons=[Person(keypoints=keypoints, confidence=confidence, error_50=error_50)],
                ),
                confidence,
            )
            for keypoints, (confidence, error_50), context in zip(rows, self._doubts(outputs), contexts, strict=True)
        ]

    def _doubts(self, outputs: Outputs) -> list[tuple[float | None, list[float] | None]]:
        """Confidence and radii of each row."""
        if self._line is None or self._radii is None:
            return [(None, None)] * len(outputs["keypoints"])
        logs = outputs["log_scale"].astype(np.float64).clip(*LOG_SCALE)
        radii = (np.exp(logs) * self._radii).round(DECIMALS).tolist()
        return [
            (rounded(self._line.probability(score), _PARTS), row)
            for score, row in zip((-logs.mean(axis=1)).tolist(), radii, strict=True)
        ]
