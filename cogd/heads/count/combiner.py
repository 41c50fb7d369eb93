"""Combine the counts of several nodes: `count.fused`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from cogd.events.rounding import rounded
from cogd.heads.count.distribution import PARTS, log_odds, median, p95_range
from cogd.heads.count.events import CountFields, FusedCountFields
from cogd.heads.count.fusion import FRESH_S, fuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cogd.events import InferenceFields
    from cogd.heads.platt import Line


class CountCombiner:
    """Implements `cogd.heads.base.Combiner` for `count` events.

    Attributes:
        line: makes a confidence of the log-odds (`log_odds`) that several nodes together give to their count; of the
            calibration's `fused_slope` and `fused_offset`, None where it has none.
    """

    fresh_s = FRESH_S

    def __init__(self, line: Line | None) -> None:
        self.line = line

    def combine(self, source: str, readings: Sequence[InferenceFields], newest: InferenceFields) -> FusedCountFields:
        """One count of those of all nodes."""
        counts, last = cast("Sequence[CountFields]", readings), cast("CountFields", newest)
        probabilities = fuse([each.probs for each in counts], [each.confidence for each in counts])
        middle = median(probabilities)
        low, high = p95_range(probabilities, middle)
        line = self.line
        return FusedCountFields(
            tick=last.tick,
            app=last.app,
            version=last.version,
            digest=last.digest,
            source=source,
            nodes=[each.node for each in counts],
            n_nodes=len(counts),
            time=last.time,
            origin=last.origin,
            count=last.classes[middle],
            confidence=None if line is None else rounded(line.probability(log_odds(probabilities[middle])), PARTS),
            count_p95_low=last.classes[low],
            count_p95_high=last.classes[high],
            probs=[rounded(probability, PARTS) for probability in probabilities],
            classes=last.classes,
            latency_ms=last.latency_ms,
        )
