"""The motion head: `motion_logits [batch, 1]` to `motion`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cogd.events.rounding import rounded
from cogd.heads.base import Head, Reading
from cogd.heads.motion.events import MotionFields
from cogd.heads.motion.quiet import MotionLines, QuietRoom
from cogd.heads.motion.rules import motion_calibration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from cogd.bundle.manifest import OutputSpec
    from cogd.events import Context, EventFields
    from cogd.heads.base import Baseline

_PARTS = 1_000_000


class MotionHead(Head):
    """Whether something moves in a node's view.

    Calibration: the probability of moving is sigmoid(`slope` * logit + `offset`); for a node that has watched the quiet
    room it is sigmoid(`baseline_slope` * (logit - `baseline_share` * the node's baseline) + `baseline_offset`). The
    share is 1 where the calibration has none.
    """

    name: ClassVar[str] = "motion"
    events: ClassVar[Sequence[type[EventFields]]] = (MotionFields,)
    quiet: QuietRoom

    def __init__(self, output: OutputSpec, calibration: Mapping[str, NDArray[np.float32]]) -> None:
        numbers = {name: tensor.ravel().tolist() for name, tensor in calibration.items()}
        self._lines = MotionLines(*motion_calibration(output, numbers))
        self.quiet = QuietRoom(self._lines)

    def read(
        self,
        outputs: Mapping[str, NDArray[np.float32]],
        contexts: Sequence[Context],
        baselines: Sequence[Baseline | None] = (),
    ) -> list[Reading]:
        """One event for each row."""
        scores = outputs["motion_logits"].ravel().tolist()
        known = baselines or [None] * len(contexts)
        return [self._reading(*row) for row in zip(scores, contexts, known, strict=True)]

    def _reading(self, score: float, context: Context, baseline: Baseline | None) -> Reading:
        probability = self._lines.probability(score, None if baseline is None else baseline.score)
        confidence = rounded(max(probability, 1 - probability), _PARTS)
        fields = MotionFields(
            **context.fields(),
            moving=probability >= 0.5,
            probability=rounded(probability, _PARTS),
            confidence=confidence,
            score=round(score, 6),
            baseline=None if baseline is None else baseline.score,
            baseline_time=None if baseline is None else baseline.time,
        )
        return Reading(fields, confidence, score)
