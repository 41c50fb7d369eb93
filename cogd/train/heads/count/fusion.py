"""Counts of several nodes made one, on windows of data: what the daemon's `count.fused` would say.

The same functions do it here and there (`fuse` and `FRESH_S` of `cogd.heads.count.fusion`, `median` of
`cogd.heads.count.distribution`). Which counts are made one can't be found in the same way. The daemon hears a count of
every window and takes each node's newest, be it as much as `FRESH_S` old: where all send, one that is at most as old as
two of the node's frames are apart. Of data one window in `stride` is cut, and by the daemon's rule a node's newest
would be one that the daemon has long forgotten, or that comes too late for it. So windows that end within `MOMENT_S`
stand for those that the daemon would have at hand: what it fuses while a node sends fewer frames, or has fallen silent
for up to a second, is in no figure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from cogd.heads.count.distribution import log_odds, median
from cogd.heads.count.fusion import fuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cogd.train.data.windows import Windows
    from cogd.train.predictions import Answer, Predictions

    Moments = list[NDArray[np.int64]]
    """Of each moment that several nodes have a window of, in order of time within its session: the windows' places."""

MOMENT_S: Final = 0.1
"""Windows of one session whose ends are no further apart than this end in the same moment: two frames at 20 Hz."""


@dataclass(frozen=True, eq=False)
class FusedCounts:
    """What several nodes say together, one entry for each moment.

    Attributes:
        count: int64 `[n]`.
        score: float64 `[n]`, log-odds of the probability of that count: what `fused_slope` and `fused_offset` are for.
    """

    count: NDArray[np.int64]
    score: NDArray[np.float64]


def moments(windows: Windows, rows: NDArray[np.int64]) -> Moments:
    """The moments of these rows at which two nodes of a session or more have a window, as places in `rows`.

    A moment begins with the first window that is in none, and holds the next window of every other node if that ends
    within `MOMENT_S`. Windows whose number of persons differs within a moment can't be counted as one and are left out.
    """
    session, node, end_s = windows.session[rows], windows.node[rows], windows.end_s[rows]
    found: Moments = []
    current: list[int] = []
    for place in [*np.lexsort((node, end_s, session)).tolist(), None]:
        if place is not None and current:
            first = current[0]
            if (
                session[place] == session[first]
                and end_s[place] - end_s[first] <= MOMENT_S
                and node[place] not in node[current]
            ):
                current.append(place)
                continue
        if len(current) > 1 and len(np.unique(windows.persons[rows[current]])) == 1:
            found.append(np.asarray(sorted(current, key=lambda one: int(node[one])), dtype=np.int64))
        current = [] if place is None else [place]
    return found


def fuse_moments(
    together: Moments,
    probabilities: Sequence[Sequence[float]],
    confidences: NDArray[np.float64] | None,
    numbers: Sequence[int],
) -> FusedCounts:
    """The fused count of each moment.

    Args:
        together: moments.
        probabilities: of each window, over the trained numbers.
        confidences: of each window; None where the model has none.
        numbers: the trained numbers of persons.
    """
    counts: list[int] = []
    scores: list[float] = []
    for places in together:
        sure = [None] * len(places) if confidences is None else confidences[places].tolist()
        fused = fuse([probabilities[place] for place in places], sure)
        middle = median(fused)
        counts.append(numbers[middle])
        scores.append(log_odds(fused[middle]))
    return FusedCounts(np.asarray(counts, dtype=np.int64), np.asarray(scores, dtype=np.float64))


def fused_predictions(
    predictions: Predictions, windows: Windows, rows: NDArray[np.int64], answer: Answer
) -> list[Predictions]:
    """What the nodes say together, as a part of its own; nothing where no moment has two nodes, or it is no count.

    Args:
        predictions: what each window's node says alone.
        windows: the data.
        rows: which of them.
        answer: of these rows.
    """
    together = moments(windows, rows) if answer.counted is not None else []
    if answer.counted is None or not together:
        return []
    said = answer.counted
    fused = fuse_moments(together, said.probabilities, answer.confidence, said.numbers)
    confidence = None
    if said.fused_line is not None:
        confidence = np.asarray([said.fused_line.probability(score) for score in fused.score.tolist()])
    nodes = sorted({len(places) for places in together})
    many = f"{nodes[0]}" if len(nodes) == 1 else f"{nodes[0]} to {nodes[-1]}"
    chosen = predictions.take(
        np.asarray([places[0] for places in together]), f"fused counts of {many} nodes; {predictions.part}"
    )
    return [replace(chosen, predicted=fused.count, confidence=confidence)]
