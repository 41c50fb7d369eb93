"""The count head: `count_logits [batch, classes]`, `conf_logits [batch, 1]` to `count`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cogd.heads.base import Reading
from cogd.heads.rules import count_calibration, count_classes
from cogd.inferred import CountFields
from cogd.rounding import rounded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from cogd.bundle.manifest import OutputSpec
    from cogd.heads.platt import Line
    from cogd.inferred import Context

_PARTS = 1_000_000
_MASS = 0.95


class CountHead:
    """The number of persons among the trained ones; classes that were never trained are left out, not zero.

    Calibration: `temperature` divides the class logits; the confidence is sigmoid(`slope` * logit + `offset`).

    Attributes:
        fused_line: makes a confidence of the log-odds that several nodes together give to the most probable number;
            of the calibration's `fused_slope` and `fused_offset`, None where it has none.
    """

    event = "count"

    def __init__(self, output: OutputSpec, calibration: Mapping[str, NDArray[np.float32]]) -> None:
        self._counts = count_classes(output)
        self._trained = output.trained_classes or []
        self._temperature = 1.0
        self._line: Line | None = None
        self.fused_line: Line | None = None
        fitted = count_calibration(output, {name: tensor.ravel().tolist() for name, tensor in calibration.items()})
        if fitted is not None:
            self._temperature, self._line, self.fused_line = fitted

    def read(self, outputs: Mapping[str, NDArray[np.float32]], contexts: Sequence[Context]) -> list[Reading]:
        """One count for each row. A handful of numbers: plain floats are faster here than arrays."""
        rows = outputs["count_logits"].tolist()
        sure = outputs["conf_logits"].ravel().tolist()
        return [self._reading(*row) for row in zip(rows, sure, contexts, strict=True)]

    def _confidence(self, logit: float) -> float | None:
        return None if self._line is None else rounded(self._line.probability(logit), _PARTS)

    def _reading(self, logits: list[float], conf_logit: float, context: Context) -> Reading:
        trained = [logits[index] for index in self._trained]
        highest = max(trained)
        weights = [math.exp((logit - highest) / self._temperature) for logit in trained]
        total = sum(weights)
        probabilities = [weight / total for weight in weights]
        best = probabilities.index(max(probabilities))
        known = logits.index(max(logits)) in self._trained
        confidence = self._confidence(conf_logit)
        low, high = p95_range(probabilities, best)
        fields = CountFields(
            **context.fields(),
            count=self._counts[best],
            raw_count=self._counts[best] if known else None,
            confidence=confidence,
            low_confidence=not known,
            count_p95_low=self._counts[low],
            count_p95_high=self._counts[high],
            n_nodes=1,
            probs=[rounded(probability, _PARTS) for probability in probabilities],
            classes=self._counts,
        )
        return Reading("info" if known else "warn", fields, confidence)


def p95_range(probabilities: Sequence[float], best: int) -> tuple[int, int]:
    """Widen from the most probable class, always by the more probable neighbour (the lower one at a tie)."""
    low = high = best
    mass = probabilities[best]
    while mass < _MASS and (low > 0 or high < len(probabilities) - 1):
        below = probabilities[low - 1] if low > 0 else -1.0
        above = probabilities[high + 1] if high < len(probabilities) - 1 else -1.0
        if below >= above:
            low -= 1
            mass += below
        else:
            high += 1
            mass += above
    return low, high
