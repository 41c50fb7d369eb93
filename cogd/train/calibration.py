"""Calibration on data that neither trained nor tests: temperature of the classes, Platt scaling of the confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class CountCalibration:
    """What the count head applies.

    Attributes:
        temperature: divides the class logits (Guo et al. 2017).
        slope: of the confidence logit (Platt 1999).
        offset: added to it.
        informative: whether a larger logit means a right count, by more than chance would have it (the line must beat
            a constant by Schwarz's criterion, 1978); where not, there is no confidence to emit.
    """

    temperature: float
    slope: float
    offset: float
    informative: bool


def calibrate_count(
    count_logits: NDArray[np.float32], conf_logits: NDArray[np.float32], persons: NDArray[np.int64]
) -> CountCalibration:
    """Fit on the calibration part: logits `[n, classes]` and `[n, 1]`, true classes `[n]`, -1 for untrained ones."""
    logits, labels = torch.from_numpy(count_logits).double(), torch.from_numpy(persons)
    right = (logits.argmax(dim=1) == labels).double()
    confidence = torch.from_numpy(conf_logits[:, 0]).double()
    log_temperature = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    if (labels >= 0).any():
        _minimise(
            [log_temperature],
            lambda: functional.cross_entropy(logits / log_temperature.exp(), labels, ignore_index=-1),
        )
    line = fit_line(confidence, right)
    return CountCalibration(float(log_temperature.detach().exp()), line.slope, line.offset, line.informative)


@dataclass(frozen=True)
class FittedLine:
    """sigmoid(slope * score + offset), and whether it tells more than one probability for all would."""

    slope: float
    offset: float
    informative: bool


def fit_line(score: torch.Tensor, right: torch.Tensor) -> FittedLine:
    """Platt scaling: the line that makes probabilities of being right, 0 or 1 `[n]`, of scores float64 `[n]`."""
    centre, width = score.mean(), score.std(correction=0).clamp(min=1e-6)
    line = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    standard = (score - centre) / width
    # A faint pull to zero keeps the fit finite where every answer of the part is right.
    _minimise(
        [line],
        lambda: (
            functional.binary_cross_entropy_with_logits(line[0] * standard + line[1], right) + 1e-4 * (line**2).sum()
        ),
    )
    slope = float(line[0].detach() / width)
    offset = float(line[1].detach() - line[0].detach() * centre / width)
    said = functional.binary_cross_entropy_with_logits((line[0] * standard + line[1]).detach(), right)
    constant = functional.binary_cross_entropy(right.mean().expand_as(right), right)
    told = 2 * len(right) * float(constant - said)
    return FittedLine(slope, offset, informative=slope > 0 and told > math.log(len(right)))


def _minimise(parameters: list[torch.Tensor], loss: object) -> None:
    optimiser = torch.optim.LBFGS(parameters, lr=0.5, max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value: torch.Tensor = loss()  # type: ignore[operator]
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
