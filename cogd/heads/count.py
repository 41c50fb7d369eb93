"""The count head: `count_logits [batch, classes]`, `conf_logits [batch, 1]` to `count`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cogd.events import CountFields
from cogd.heads.base import Reading
from cogd.heads.rules import count_calibration, count_classes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cogd.bundle.manifest import OutputSpec
    from cogd.events import Context

DECIMALS = 6
_MASS = 0.95


class CountHead:
    """The number of persons among the trained ones; classes that were never trained are left out, not zero.

    Calibration: `temperature` divides the class logits; the confidence is sigmoid(`slope` * logit + `offset`).
    """

    event = "count"

    def __init__(self, output: OutputSpec, calibration: Mapping[str, NDArray[np.float32]]) -> None:
        self._counts = count_classes(output)
        self._trained = np.asarray(output.trained_classes, dtype=np.intp)
        self._temperature = 1.0
        self._line: tuple[float, float] | None = None
        fitted = count_calibration(output, {name: tensor.ravel().tolist() for name, tensor in calibration.items()})
        if fitted is not None:
            self._temperature, slope, offset = fitted
            self._line = slope, offset

    def read(self, outputs: Mapping[str, NDArray[np.float32]], contexts: Sequence[Context]) -> list[Reading]:
        """One count for each row."""
        logits = outputs["count_logits"].astype(np.float64)
        trained = logits[:, self._trained] / self._temperature
        weights = np.exp(trained - trained.max(axis=1, keepdims=True))
        probabilities = weights / weights.sum(axis=1, keepdims=True)
        known = np.isin(logits.argmax(axis=1), self._trained)
        confidence = self._confidence(outputs["conf_logits"][:, 0].astype(np.float64))
        return [
            self._reading(probabilities[row], known=bool(known[row]), confidence=confidence[row], context=context)
            for row, context in enumerate(contexts)
        ]

    def _confidence(self, logits: NDArray[np.float64]) -> list[float | None]:
        if self._line is None:
            return [None] * len(logits)
        slope, offset = self._line
        exponent = np.clip(-(slope * logits + offset), -700, 700)
        return [float(value) for value in np.round(1 / (1 + np.exp(exponent)), DECIMALS)]

    def _reading(
        self, probabilities: NDArray[np.float64], *, known: bool, confidence: float | None, context: Context
    ) -> Reading:
        best = int(probabilities.argmax())
        low, high = _p95_range(probabilities, best)
        fields = CountFields(
            **context.fields(),
            count=self._counts[best],
            raw_count=self._counts[best] if known else None,
            confidence=confidence,
            low_confidence=not known,
            count_p95_low=self._counts[low],
            count_p95_high=self._counts[high],
            n_nodes=1,
            probs=np.round(probabilities, DECIMALS).tolist(),
            classes=self._counts,
        )
        return Reading("info" if known else "warn", fields, confidence)


def _p95_range(probabilities: NDArray[np.float64], best: int) -> tuple[int, int]:
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
