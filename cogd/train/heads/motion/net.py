"""The motion network: robust energies of shapes over the tones, and one linear layer.

Everything before the layer is fixed. What moves bends the amplitudes over the tones slowly, for its path is not much
longer than the direct one, and it goes on doing so over several columns; noise does neither, and single bad frames
stand alone. So fast shapes are noise, and say how much of the slow ones is. A linear layer over logarithms can tell
how much there is of each and in what ratio, and little else: networks that learnt more knew rooms and radios of the
training better and all others worse (docs/motion.md).
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

from cogd.train.nets.base import Net

TONES: Final = 56
SHAPES: Final = 8
"""Cosines over the tones, of half a period to four; a constant would be the gain, which is divided out."""

FAST: Final = ((22, 36), (36, 55))
"""Cosines of eleven periods and more, in two bands: from which to before which."""

LAGS: Final = (1, 2, 5)
"""Columns: 50, 100 and 250 ms."""

MEDIAN_OF: Final = 5
"""Columns: a difference over the longest lag must be left of the running median."""

LEAST_RMS: Final = 1e-6
LEAST_ENERGY: Final = 1e-6
FEATURES: Final = 2 * SHAPES * (1 + len(LAGS)) + len(FAST)
LEAST_DEVIATION: Final = 1e-3
_CHUNK: Final = 4096


class MotionNet(Net):
    """`csi_window [batch, 56, frames]` to `motion_logits [batch, 1]`. 67 parameters.

    Each column is divided by its root mean square. Twice, once of the columns and once of their running median over
    five, each of eight cosines over the tones (DCT-II, orthonormal) gives a series in time. Of each series, centred,
    come four energies: of itself, and half of that of its differences over 1, 2 and 5 columns. Of two bands of fast
    cosines of the columns comes the mean energy. An energy is the fourth power of the mean root of the magnitude, on
    which one bad column in twenty has little hold. Their logarithms are shifted and scaled by what `standardise`
    measured.
    """

    output_names = ("motion_logits",)
    wants_normaliser = False
    least_frames = MEDIAN_OF + max(LAGS)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cosines", _cosines(1, SHAPES + 1), persistent=False)
        self.register_buffer("fast_cosines", _cosines(FAST[0][0], FAST[-1][1]), persistent=False)
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("deviation", torch.ones(FEATURES))
        self.motion = nn.Linear(FEATURES, 1)

    def standardise(self, csi_window: Tensor) -> None:
        """Take the features' mean and standard deviation from windows that train, `[n, 56, frames]`."""
        features = torch.cat([self._features(part) for part in torch.split(csi_window, _CHUNK)]).double()
        self.get_buffer("mean").copy_(features.mean(dim=0))
        self.get_buffer("deviation").copy_(features.std(dim=0, correction=0).clamp(min=LEAST_DEVIATION))

    def forward(self, csi_window: Tensor) -> tuple[Tensor]:
        """Estimate how much speaks for motion."""
        features = (self._features(csi_window) - self.get_buffer("mean")) / self.get_buffer("deviation")
        return (self.motion(features),)

    def _features(self, csi_window: Tensor) -> Tensor:
        power = (csi_window * csi_window).mean(dim=1, keepdim=True)
        columns = csi_window / power.sqrt().clamp(min=LEAST_RMS)
        energies = [*self._energies(columns), *self._energies(running_median_of_5(columns)), *self._noise(columns)]
        return torch.log(torch.cat(energies, dim=1) + LEAST_ENERGY)

    def _energies(self, columns: Tensor) -> list[Tensor]:
        series = _series(self.get_buffer("cosines"), columns)
        return [_energy(series), *(_energy(series[:, :, lag:] - series[:, :, :-lag]) / 2 for lag in LAGS)]

    def _noise(self, columns: Tensor) -> list[Tensor]:
        energy, first = _energy(_series(self.get_buffer("fast_cosines"), columns)), FAST[0][0]
        return [energy[:, low - first : high - first].mean(dim=1, keepdim=True) for low, high in FAST]


def _cosines(first: int, end: int) -> Tensor:
    """DCT-II, orthonormal: `[end - first, 56]`."""
    tone, shape = torch.arange(TONES, dtype=torch.float64) + 0.5, torch.arange(first, end, dtype=torch.float64)
    return (torch.cos(math.pi / TONES * shape[:, None] * tone) * math.sqrt(2 / TONES)).float()


def _series(cosines: Tensor, columns: Tensor) -> Tensor:
    # Centred before it is summed over the tones: what varies is small beside what does not.
    return torch.matmul(cosines, columns - columns.mean(dim=2, keepdim=True))


def _energy(series: Tensor) -> Tensor:
    root = series.abs().sqrt().mean(dim=2)
    return (root * root) * (root * root)


def running_median_of_5(values: Tensor) -> Tensor:
    """The median of each five neighbours in time: `[batch, tones, n]` to `[batch, tones, n - 4]`.

    Of two pairs the smallest and the largest of the four can't be the median; of the other two and the fifth it is the
    median. In minima and maxima, which every runtime has.
    """
    count = values.shape[2] - 4
    a, b, c, d, e = (values[:, :, first : first + count] for first in range(5))
    low = torch.maximum(torch.minimum(a, b), torch.minimum(c, d))
    high = torch.minimum(torch.maximum(a, b), torch.maximum(c, d))
    return torch.maximum(torch.minimum(low, high), torch.minimum(torch.maximum(low, high), e))
