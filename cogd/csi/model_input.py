"""From windows to what a model was trained on: gain, layout, normaliser. The same code trains and runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

InputLayout = Literal["subcarrier_major", "time_major_mislabelled_56x20"]
GainRule = Literal["none", "window_rms"]

_LEAST_RMS = 1e-6
"""A window of zeros stays one."""


@dataclass(frozen=True, eq=False)
class ModelInput:
    """How a batch of windows becomes a model's input.

    Attributes:
        layout: `subcarrier_major` is `[subcarriers, frames]`. `time_major_mislabelled_56x20` is what the published
            cogs were trained on: frame after frame, read as if it were `[56, 20]`.
        gain: `window_rms` divides a window by its root mean square, so that the receiver's gain does not matter.
        mean: float32 `[rows]` subtracted from the rows of the laid-out input; None where there is no normaliser, or
            where the model has it inside.
        std: float32 `[rows]` that they are then divided by.
    """

    layout: InputLayout
    gain: GainRule
    mean: NDArray[np.float32] | None = None
    std: NDArray[np.float32] | None = None

    @property
    def changes_nothing(self) -> bool:
        """Whether a window is the model's input as it is."""
        return self.layout == "subcarrier_major" and self.gain == "none" and self.mean is None

    def prepare(
        self, windows: Sequence[NDArray[np.float32]] | NDArray[np.float32], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Model input of windows `[batch, subcarriers, frames]`, float32 and of the same shape; in `out`, if given."""
        laid_out = self.lay_out(windows, out)
        return laid_out if self.mean is None else self.normalise(laid_out, out)

    def lay_out(
        self, windows: Sequence[NDArray[np.float32]] | NDArray[np.float32], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """The input before the normaliser, in an array of its own or in `out`; the statistics are taken from this."""
        laid_out = np.empty((len(windows), *windows[0].shape), np.float32) if out is None else out
        transposed = self.layout == "time_major_mislabelled_56x20"
        by_rms = self.gain == "window_rms"
        for index, window in enumerate(windows):
            row = laid_out[index]
            if transposed:
                row.reshape(window.shape[::-1])[...] = window.T
            else:
                row[...] = window
            if by_rms:
                flat = row.reshape(-1)  # one dot product; the mean of the squares as NumPy spells it takes five passes
                rms = max(math.sqrt(flat.dot(flat) / flat.size), _LEAST_RMS)
                np.divide(flat, np.float32(rms), out=flat)
        return laid_out

    def normalise(self, laid_out: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """What the normaliser makes of `lay_out`'s result, in `out` if given; the same where there is no normaliser."""
        if self.mean is None or self.std is None:
            return laid_out
        normalised = np.subtract(laid_out, self.mean[:, None], out=out)
        return np.divide(normalised, self.std[:, None], out=out)


def fit_normaliser(laid_out: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation (+1e-6) of each row over samples and columns of `[batch, rows, columns]`."""
    mean = laid_out.mean(axis=(0, 2), dtype=np.float64)
    std = laid_out.std(axis=(0, 2), dtype=np.float64) + 1e-6
    return mean.astype(np.float32), std.astype(np.float32)
