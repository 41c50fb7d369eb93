"""The motion head: `motion_logits [batch, 1]` to `motion`."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, ClassVar, Final

from cogd.events.inferred import MotionFields
from cogd.events.rounding import rounded
from cogd.heads.base import Reading
from cogd.heads.rules import motion_calibration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from cogd.bundle.manifest import OutputSpec
    from cogd.events import Context, EventFields
    from cogd.heads.base import Baseline

_PARTS = 1_000_000

MOVING_SHARE: Final = 0.1
"""Of scores measured against their own median, so many at most may be moving where the room is said to be quiet ..."""

ONE_MOMENT: Final = 20
"""... or as many as hold one and the same moment, which a single disturbance of the radio makes stand out ..."""

MOST_SHARE: Final = 0.25
"""... but never more than this."""

SURELY_MOVING: Final = 0.65
"""Where half of the windows are moving with this probability without any baseline, something moves all the time: the
scores' own median, which is as high, would hide it. A half would refuse noisy links, which need a baseline most."""


class MotionHead:
    """Whether something moves in a node's view.

    Calibration: the probability of moving is sigmoid(`slope` * logit + `offset`); for a node that has watched the quiet
    room it is sigmoid(`baseline_slope` * (logit - `baseline_share` * the node's baseline) + `baseline_offset`). The
    share is 1 where it is not told.
    """

    events: ClassVar[Sequence[type[EventFields]]] = (MotionFields,)

    def __init__(self, output: OutputSpec, calibration: Mapping[str, NDArray[np.float32]]) -> None:
        numbers = {name: tensor.ravel().tolist() for name, tensor in calibration.items()}
        self._line, self._above_baseline, self._share = motion_calibration(output, numbers)

    def read(self, outputs: Mapping[str, NDArray[np.float32]], contexts: Sequence[Context]) -> list[Reading]:
        """One event for each row, of nodes without a baseline."""
        return self.read_against(outputs, contexts, [None] * len(contexts))

    def read_against(
        self,
        outputs: Mapping[str, NDArray[np.float32]],
        contexts: Sequence[Context],
        baselines: Sequence[Baseline | None],
    ) -> list[Reading]:
        """One event for each row."""
        scores = outputs["motion_logits"].ravel().tolist()
        return [self._reading(*row) for row in zip(scores, contexts, baselines, strict=True)]

    def why_not_quiet(self, scores: Sequence[float]) -> str | None:
        """What speaks against a room that was said to be quiet: that its baseline would call it moving, or hide it."""
        median = statistics.median(scores)
        moving = sum(self._probability(score, median) >= 0.5 for score in scores)
        if moving > min(max(MOVING_SHARE * len(scores), ONE_MOMENT), MOST_SHARE * len(scores)):
            return f"something moved: {moving} of {len(scores)} windows stand out from the others"
        probability = self._line.probability(median)
        if probability >= SURELY_MOVING:
            return f"something moves: half of the windows are moving with a probability of {probability:.2f} or more"
        return None

    def _probability(self, score: float, baseline: float | None) -> float:
        if baseline is None:
            return self._line.probability(score)
        return self._above_baseline.probability(score - self._share * baseline)

    def _reading(self, score: float, context: Context, baseline: Baseline | None) -> Reading:
        probability = self._probability(score, None if baseline is None else baseline.score)
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
