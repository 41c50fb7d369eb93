"""How the count head is scored: its figures and gates, for each node and for several together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cogd.heads.count.combiner import CountCombiner
from cogd.heads.count.fusion import FRESH_S
from cogd.train.gates import SIMULATED
from cogd.train.heads.base import Bar, Baselines, Scoring
from cogd.train.heads.count.fusion import MOMENT_S, fused_predictions
from cogd.train.metrics import count
from cogd.train.metrics.confidence import AUROC, ECE, R_OVER_RMAX
from cogd.train.predictions import Answer, Counted
from cogd.train.scoring import all_known, confidence_metrics, fields_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from cogd.bundle.manifest import Metric
    from cogd.heads.base import Head, Reading
    from cogd.train.data.windows import Windows
    from cogd.train.metrics.confidence import Usual
    from cogd.train.metrics.figure import Sample
    from cogd.train.predictions import Predictions

    Outputs = Mapping[str, NDArray[np.float32]]

MOST_PERSONS = 7


class CountScoring(Scoring):
    """Figures of numbers of persons."""

    headline = count.ACCURACY.name
    accuracy = count.ACCURACY.name
    bars = (
        Bar(count.WITHIN_1.name, "least", 0.8),
        Bar(count.MAE.name, "most", 0.6),
        Bar(AUROC.name, "least", 0.8),
        Bar(ECE.name, "most", 0.05),
        Bar(R_OVER_RMAX.name, "least", 0.5),
    )
    condition = f"in simulated rooms of which nothing trained, with 0 to {MOST_PERSONS} persons"

    def answer(self, outputs: Outputs, readings: Sequence[Reading], labels: tuple[str, ...], head: Head) -> Answer:
        """Return the daemon's readings as one answer."""
        del outputs
        combiner = head.combiner
        fused_line = combiner.line if isinstance(combiner, CountCombiner) else None
        fields = [fields_of(reading) for reading in readings]
        return Answer(
            np.asarray([one["count"] for one in fields], dtype=np.int64),
            labels,
            all_known([one.confidence for one in readings]),
            counted=Counted([one["probs"] for one in fields], fields[0]["classes"], fused_line),
        )

    def constant(self, truth: NDArray[Any], of: str, usual: Usual | None) -> Baselines:
        """Return the best constant answer."""
        return Baselines(count.Constants.best(truth), of, usual)

    def figures(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        """Return the figures of a part as a whole."""
        return count.count_figures(self._counts(predictions, beside), sample) + confidence_metrics(
            predictions, beside, sample
        )

    def first(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        """Return the headline figure alone."""
        return count.accuracy_figure(self._counts(predictions, beside), sample)

    def parts(self, predictions: Predictions, beside: Baselines, sample: Sample) -> list[Metric]:
        """Return the figures of each joint or class."""
        return count.class_figures(self._counts(predictions, beside), sample)

    @staticmethod
    def _counts(predictions: Predictions, beside: Baselines) -> count.Counts:
        return count.Counts(predictions.predicted, predictions.truth, beside.constant, beside.name)

    def objections(self, part: Predictions, rooms: Collection[str]) -> Iterator[str | None]:
        """Yield whether the rooms are simulated, and which number of persons no window has."""
        yield None if all(room.startswith(SIMULATED) for room in rooms) else "the rooms are not simulated"
        missing = sorted(set(range(MOST_PERSONS + 1)) - set(part.truth.tolist()))
        yield f"no window is of {_or(missing)} person{'' if missing == [1] else 's'}" if missing else None

    def together(
        self, predictions: Predictions, windows: Windows, rows: NDArray[np.int64], answer: Answer
    ) -> list[Predictions]:
        """Return the fused counts of several nodes."""
        return fused_predictions(predictions, windows, rows, answer)

    def notes(self) -> list[str]:
        """Return how fusing windows of data differs from the daemon's."""
        note = (
            f"fused are windows that end at most {MOMENT_S:g} s apart; the daemon fuses each node's newest count, "
            f"which may be {FRESH_S:g} s old where a node sends seldom or falls silent"
        )
        return [note]


def _or(numbers: Sequence[int]) -> str:
    *others, last = map(str, numbers)
    return f"{', '.join(others)} or {last}" if others else last
