"""Calibration on data that neither trained nor tests: temperature of the classes, Platt scaling of a confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class FittedLine:
    """Platt's line (1999): a score and it make the probability of being right, sigmoid(slope * score + offset).

    Attributes:
        slope: of the score.
        offset: added to it.
        informative: whether a larger score means a right answer, by more than chance would have it (the line must beat
            a constant by Schwarz's criterion, 1978); where not, there is no confidence to emit.
    """

    slope: float
    offset: float
    informative: bool


def fit_temperature(count_logits: NDArray[np.float32], classes: NDArray[np.int64]) -> float:
    """What to divide logits `[n, classes]` by (Guo et al. 2017); true classes `[n]`, -1 for untrained ones."""
    logits, labels = torch.from_numpy(count_logits).double(), torch.from_numpy(classes)
    log_temperature = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    if (labels >= 0).any():
        _minimise(
            log_temperature,
            lambda: functional.cross_entropy(logits / log_temperature.exp(), labels, ignore_index=-1),
        )
    return float(log_temperature.detach().exp())


def fit_line(score: NDArray[np.float64], right: NDArray[np.bool_]) -> FittedLine:
    """The line through scores `[n]` of answers that are right or not `[n]`."""
    scores, target = torch.from_numpy(score), torch.from_numpy(right).double()
    centre, width = scores.mean(), scores.std(correction=0).clamp(min=1e-6)
    line = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    standard = (scores - centre) / width

    def said() -> torch.Tensor:
        return functional.binary_cross_entropy_with_logits(line[0] * standard + line[1], target)

    # A faint pull to zero keeps the fit finite where every count of the part is right.
    _minimise(line, lambda: said() + 1e-4 * (line**2).sum())
    slope = float(line[0].detach() / width)
    offset = float(line[1].detach() - line[0].detach() * centre / width)
    constant = functional.binary_cross_entropy(target.mean().expand_as(target), target)
    told = 2 * len(target) * float(constant - said().detach())
    return FittedLine(slope, offset, informative=slope > 0 and told > math.log(len(target)))


class BalancedLine(NamedTuple):
    """A line as if positive and negative scores were equally frequent.

    Attributes:
        slope: of the score.
        offset: added to it.
        loss: mean cross-entropy of what it says, natural logarithm, weighted as it was fitted.
    """

    slope: float
    offset: float
    loss: float


def fit_balanced_line(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], weight: NDArray[np.float64] | None = None
) -> BalancedLine:
    """The line of scores `[n]`, both kinds, which must occur, weighing the same.

    Args:
        scores: the scores.
        positive: of which kind each is.
        weight: how much each counts among its kind; None: all alike.
    """
    standard = torch.from_numpy(scores).double()
    centre, width = standard.mean(), standard.std(correction=0).clamp(min=1e-6)
    standard = (standard - centre) / width
    target = torch.from_numpy(positive).double()
    own = torch.ones_like(target) if weight is None else torch.from_numpy(weight).double()
    share = torch.where(target > 0, 0.5 / (own * target).sum(), 0.5 / (own * (1 - target)).sum()) * own
    line = torch.zeros(2, dtype=torch.float64, requires_grad=True)

    def said() -> torch.Tensor:
        return functional.binary_cross_entropy_with_logits(line[0] * standard + line[1], target, share, reduction="sum")

    # A faint pull to zero keeps the fit finite where the scores part both kinds.
    _minimise(line, lambda: said() + 1e-4 * (line**2).sum())
    slope, offset = (float(number) for number in line.detach())
    return BalancedLine(slope / float(width), offset - slope * float(centre / width), float(said().detach()))


def _minimise(parameter: torch.Tensor, loss: Callable[[], torch.Tensor]) -> None:
    optimiser = torch.optim.LBFGS([parameter], lr=0.5, max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
