"""The count head: `count_logits [batch, classes]`, `conf_logits [batch, 1]` to `count`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from cogd.events.rounding import rounded
from cogd.heads.base import Head, Reading
from cogd.heads.count.combiner import CountCombiner
from cogd.heads.count.distribution import PARTS, log_odds, median, p95_range
from cogd.heads.count.events import CountFields, FusedCountFields
from cogd.heads.count.rules import count_calibration, count_classes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from cogd.bundle.manifest import OutputSpec
    from cogd.events import Context, EventFields
    from cogd.heads.base import Baseline
    from cogd.heads.platt import Line


class Counted(NamedTuple):
    """What the head makes of one window.

    Attributes:
        probabilities: of each trained number.
        middle: the place of the count among them.
        persons: the number that has this place: the median.
        known: whether the model's largest output was of a trained number.
        confidence: calibrated probability that the count is right; None where the bundle has no calibration.
    """

    probabilities: list[float]
    middle: int
    persons: int
    known: bool
    confidence: float | None


class CountHead(Head):
    """The number of persons among the trained ones; classes that were never trained are left out, not zero.

    Calibration: `temperature` divides the class logits; the confidence is sigmoid(`slope` * logit + `odds` * log-odds
    of the count's probability + `offset`), `odds` being 0 where there is none.

    Attributes:
        numbers: the trained numbers of persons, ascending.
    """

    name: ClassVar[str] = "count"
    events: ClassVar[Sequence[type[EventFields]]] = (CountFields, FusedCountFields)
    combiner: CountCombiner

    def __init__(self, output: OutputSpec, calibration: Mapping[str, NDArray[np.float32]]) -> None:
        self.numbers = count_classes(output)
        self._trained = output.trained_classes or []
        self._temperature = 1.0
        self._line: Line | None = None
        self._odds = 0.0
        fused_line: Line | None = None
        fitted = count_calibration(output, {name: tensor.ravel().tolist() for name, tensor in calibration.items()})
        if fitted is not None:
            self._temperature, self._line, self._odds, fused_line = fitted
        self.combiner = CountCombiner(fused_line)

    def read(
        self,
        outputs: Mapping[str, NDArray[np.float32]],
        contexts: Sequence[Context],
        baselines: Sequence[Baseline | None] = (),  # noqa: ARG002  # it declares no use for them
    ) -> list[Reading]:
        """One count for each row. A handful of numbers: plain floats are faster here than arrays."""
        return [self._reading(*row) for row in zip(self.counted(outputs), contexts, strict=True)]

    def counted(self, outputs: Mapping[str, NDArray[np.float32]]) -> list[Counted]:
        """What each row says, without where it comes from."""
        rows = outputs["count_logits"].tolist()
        sure = outputs["conf_logits"].ravel().tolist()
        return [self._count(*row) for row in zip(rows, sure, strict=True)]

    def _count(self, logits: list[float], conf_logit: float) -> Counted:
        trained = [logits[index] for index in self._trained]
        highest = max(trained)
        weights = [math.exp((logit - highest) / self._temperature) for logit in trained]
        total = sum(weights)
        probabilities = [weight / total for weight in weights]
        middle = median(probabilities)
        known = logits.index(max(logits)) in self._trained
        confidence = None
        if self._line is not None:
            extra = self._odds * log_odds(probabilities[middle]) if self._odds else 0.0
            confidence = rounded(self._line.probability(conf_logit, extra), PARTS)
        return Counted(probabilities, middle, self.numbers[middle], known, confidence)

    def _reading(self, counted: Counted, context: Context) -> Reading:
        probabilities, middle, persons, known, confidence = counted
        low, high = p95_range(probabilities, middle)
        fields = CountFields(
            **context.fields(),
            count=persons,
            raw_count=self.numbers[probabilities.index(max(probabilities))] if known else None,
            confidence=confidence,
            low_confidence=not known,
            count_p95_low=self.numbers[low],
            count_p95_high=self.numbers[high],
            n_nodes=1,
            probs=[rounded(probability, PARTS) for probability in probabilities],
            classes=self.numbers,
        )
        return Reading(fields, confidence)
