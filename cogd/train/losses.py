"""The terms of the losses: pure functions, each the mean over something and how much that something is.

Every term gives a `Mean`. What it is the mean of matters where a batch is cut into parts for several processes: a mean
of parts of unequal weight is the mean of their means weighted by `amount`, in value and gradient, since no amount
depends on the network.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cogd.train.metrics.skeleton import COCO

if TYPE_CHECKING:
    from typing import Literal

_LEAST_AMOUNT = 1e-6
_LEAST_LENGTH = 1e-6
BONE_BETA: Final = 0.05
"""Of SmoothL1 of bone lengths (WiFlow)."""

HEATMAP_SIGMA: Final = 2.0
HEATMAP_CUT: Final = 3.0
"""Pixels, and standard deviations after which a target is 0 (wifi-densepose-train)."""

LOG_SCALE: Final = (-7.0, 3.0)
"""A scale is taken to be between e^-7 and e^3 of the picture's width: finite losses whatever a network says."""

BONES: Final = (
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12), (11, 13),
    (13, 15), (12, 14), (14, 16),
)  # fmt: skip
"""Pairs of COCO joints."""


class Mean(NamedTuple):
    """A term of a loss.

    Attributes:
        value: scalar mean, with a gradient.
        amount: scalar weight that it is the mean over; it has no gradient.
    """

    value: Tensor
    amount: Tensor


def keypoints(predicted: Tensor, truth: Tensor, weight: Tensor, beta: float) -> Mean:
    """SmoothL1 of keypoints `[n, joints, 2]`, weighted by how much each window's label is believed `[n]`."""
    error = functional.smooth_l1_loss(predicted, truth, beta=beta, reduction="none")
    return _weighted(error.mean(dim=(1, 2)), weight)


def bones(predicted: Tensor, truth: Tensor, weight: Tensor) -> Mean:
    """SmoothL1 of bone lengths of `[n, 17, 2]`, each as a share of all bones together: near and far are alike."""
    shares, expected = _bone_shares(predicted), _bone_shares(truth)
    error = functional.smooth_l1_loss(shares, expected, beta=BONE_BETA, reduction="none")
    return _weighted(error.mean(dim=1), weight)


def temporal(predicted: Tensor, later: Tensor, truth: Tensor, truth_later: Tensor, weight: Tensor, beta: float) -> Mean:
    """SmoothL1 of how joints move from a window to the next one of its session, against how they really moved.

    The published form (ADR-079) compares the prediction with the one before and so punishes every motion, a walker's
    too; this one punishes only the motion that the truth does not have.

    Args:
        predicted: keypoints `[n, joints, 2]`.
        later: those of the next windows.
        truth: the labels.
        truth_later: those of the next windows.
        weight: `[n]` how much the pair is believed; 0 where there is no next window.
        beta: of SmoothL1.
    """
    error = functional.smooth_l1_loss(later - predicted, truth_later - truth, beta=beta, reduction="none")
    return _weighted(error.mean(dim=(1, 2)), weight)


def oks(predicted: Tensor, truth: Tensor, weight: Tensor) -> Mean:
    """1 - OKS of `[n, 17, 2]` with COCO's sigmas; the area is that of the box around the truth's joints.

    As in COCO's evaluator: the mean over joints of exp(-d^2 / (2 s^2 k^2)) with k = 2 sigma and s^2 the area.
    """
    sigmas = COCO.sigmas or ()
    with torch.no_grad():
        width_height = truth.amax(dim=1) - truth.amin(dim=1)
        area = width_height.prod(dim=1).clamp(min=_LEAST_LENGTH)
        k = 2 * _constant(sigmas, truth.dtype, truth.device)
        spread = 2 * area[:, None] * k**2
    similarity = torch.exp(-(predicted - truth).square().sum(dim=2) / spread).mean(dim=1)
    return _weighted(1 - similarity, weight)


def gaussian_heatmaps(truth: Tensor, size: tuple[int, int]) -> Tensor:
    """Targets `[n, joints, height, width]` for keypoints in 0..1: a Gaussian of 2 pixels, 1 at its peak, 0 beyond 6."""
    height, width = size
    x, y = truth[..., 0] * (width - 1), truth[..., 1] * (height - 1)
    columns = torch.arange(width, dtype=truth.dtype, device=truth.device)
    rows = torch.arange(height, dtype=truth.dtype, device=truth.device)
    square = (columns - x[..., None]).square()[..., None, :] + (rows - y[..., None]).square()[..., :, None]
    peak = torch.exp(-square / (2 * HEATMAP_SIGMA**2))
    return peak * (square <= (HEATMAP_CUT * HEATMAP_SIGMA) ** 2)


def heatmaps(predicted: Tensor, truth: Tensor, weight: Tensor) -> Mean:
    """Squared error of heatmaps `[n, joints, height, width]`, a mean over pixels, for keypoints `[n, joints, 2]`."""
    target = gaussian_heatmaps(truth, (predicted.shape[2], predicted.shape[3]))
    return _weighted((predicted - target).square().mean(dim=(1, 2, 3)), weight)


def likelihood(
    predicted: Tensor, log_scale: Tensor, truth: Tensor, weight: Tensor, form: Literal["laplace", "gaussian"]
) -> Mean:
    """Negative log-likelihood of keypoints `[n, joints, 2]`; both coordinates of a joint have its scale.

    Laplace with scale b: |e| / b + log 2b. Gaussian with standard deviation s: e^2 / 2s^2 + log s + log(2 pi) / 2.

    Args:
        predicted: keypoints.
        log_scale: `[n, joints]` natural logarithm of b or s; clamped to `LOG_SCALE`.
        truth: labels.
        weight: `[n]`.
        form: which distribution.
    """
    log = log_scale.clamp(*LOG_SCALE)[..., None]
    error = predicted - truth
    if form == "laplace":
        surprise = error.abs() * torch.exp(-log) + log + math.log(2)
    else:
        surprise = error.square() * torch.exp(-2 * log) / 2 + log + math.log(2 * math.pi) / 2
    return _weighted(surprise.mean(dim=(1, 2)), weight)


def cross_entropy(logits: Tensor, classes: Tensor, class_weight: Tensor, smoothing: float = 0.0) -> Mean:
    """Cross-entropy of logits `[n, classes]`, each window weighted by its class.

    Smoothing gives its share of a label to the classes in proportion to their weights: nothing to untrained ones.
    """
    value = functional.cross_entropy(logits, classes, weight=class_weight.to(logits.dtype), label_smoothing=smoothing)
    return Mean(value, class_weight[classes].sum())


def confidence(conf_logits: Tensor, right: Tensor) -> Mean:
    """Cross-entropy of a confidence's logit `[n]` with whether the window is right, 0 or 1 `[n]`."""
    return Mean(
        functional.binary_cross_entropy_with_logits(conf_logits, right.to(conf_logits.dtype)), _number_of(right)
    )


def brier(conf_logits: Tensor, right: Tensor) -> Mean:
    """Squared error of a confidence, with a gradient (the published trainer computed it without)."""
    return Mean(torch.mean((torch.sigmoid(conf_logits) - right) ** 2), _number_of(right))


def binary(logits: Tensor, labels: Tensor, class_weight: Tensor, smoothing: float = 0.0) -> Mean:
    """Cross-entropy of logits `[n]` with labels 0 or 1 `[n]`, each window weighted by its class `[2]`.

    Smoothing moves labels towards a half: 1 to 1 - smoothing / 2, 0 to smoothing / 2.
    """
    target = labels.to(logits.dtype) * (1 - smoothing) + smoothing / 2
    error = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return _weighted(error, class_weight[labels])


def class_weights(classes: Tensor, count: int) -> Tensor:
    """Weights `[count]` under which all classes that occur weigh the same together, one on average; 0 for others."""
    frequency = torch.bincount(classes, minlength=count).float()
    present = frequency > 0
    weight = torch.zeros(count)
    weight[present] = frequency.sum() / (present.sum() * frequency[present])
    return weight


def _weighted(per_window: Tensor, weight: Tensor) -> Mean:
    amount = weight.sum()
    return Mean((per_window * weight).sum() / amount.clamp(min=_LEAST_AMOUNT), amount)


def _number_of(values: Tensor) -> Tensor:
    return torch.full((), len(values), dtype=values.dtype, device=values.device)


@lru_cache(maxsize=32)
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor that is made once: a recorded step may not take it over from the host."""
    return torch.tensor(values, dtype=dtype, device=device)


def _bone_shares(joints: Tensor) -> Tensor:
    """Lengths `[n, bones]`, as shares of their sum."""
    start, end = (_constant(ends, torch.int64, joints.device) for ends in zip(*BONES, strict=True))
    # The least length keeps the gradient of a bone of no length finite.
    lengths = ((joints[:, start] - joints[:, end]).square().sum(dim=2) + _LEAST_LENGTH**2).sqrt()
    return lengths / lengths.sum(dim=1, keepdim=True)
