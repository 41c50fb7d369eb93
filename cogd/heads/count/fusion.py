"""One count out of those of several nodes: the confidence-weighted mean of their log-probabilities. Pure.

    log p(k) = sum_n c_n * ln p_n(k) / sum_n c_n - log Z

(ADR-103's fusion; a logarithmic opinion pool: C. Genest and J. V. Zidek, Combining probability distributions, 1986.)

The weights sum to 1. A plain product would take the nodes for independent; but they hear the same persons in the same
room through the same model, and share its errors: where all agree, the product is surer by far than any of them,
without new evidence. Here equals give what each of them said. A mean of the probabilities would keep every node's
doubts, however surely another excludes them; here what one node all but excludes is unlikely in the whole.

There is no cap by a minimal cut of a graph of the nodes' similarity: such a cut is a sum of similarities of
channels, in whatever unit these have. It counts nobody, and nothing bounds the number of persons by it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

FRESH_S: Final = 1.0
"""Counts whose frames are further apart than this are not of the same moment."""

LEAST_CONFIDENCE: Final = 1e-3
"""A node that is sure to be wrong still weighs this; so the weights never sum to 0."""

LEAST_PROBABILITY: Final = 1e-6
"""What a node excludes is this probable to it: the last digit of an emitted probability. Without it one node's 0 would
exclude a number whatever all the others say."""


def fuse(distributions: Sequence[Sequence[float]], confidences: Sequence[float | None]) -> list[float]:
    """The probabilities of the classes that the nodes together make.

    Args:
        distributions: one for each node, one at least: a probability for each class, the same classes for all.
        confidences: of each node, the calibrated probability that it is right. Where one has none all weigh the same.
    """
    if len(distributions) == 1:
        return list(distributions[0])
    weights = [max(confidence, LEAST_CONFIDENCE) for confidence in confidences if confidence is not None]
    if len(weights) < len(confidences):
        weights = [1.0] * len(confidences)
    total = math.fsum(weights)
    logs = [
        math.fsum(
            weight * math.log(max(probability, LEAST_PROBABILITY))
            for weight, probability in zip(weights, probabilities, strict=True)
        )
        / total
        for probabilities in zip(*distributions, strict=True)
    ]
    highest = max(logs)
    shares = [math.exp(log - highest) for log in logs]
    whole = math.fsum(shares)
    return [share / whole for share in shares]
