"""From windows to what a model was trained on: gain, layout, normaliser. The same code trains and runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

InputLayout = Literal["subcarrier_major", "time_major_mislabelled_56x20"]
GainRule = Literal["none", "window_rms"]


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

    def prepare(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Model input of windows `[batch, subcarriers, frames]`, float32 and of the same shape."""
        return self.normalise(self.lay_out(windows))

    def lay_out(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The input before the normaliser; its statistics are taken from this."""
        batch, subcarriers, frames = windows.shape
        if self.gain == "window_rms":
            rms = np.sqrt(np.mean(np.square(windows), axis=(1, 2), keepdims=True))
            windows = windows / np.maximum(rms, np.float32(1e-6))
        if self.layout == "time_major_mislabelled_56x20":
            windows = np.ascontiguousarray(windows.transpose(0, 2, 1)).reshape(batch, subcarriers, frames)
        return windows

    def normalise(self, laid_out: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the normaliser makes of `lay_out`'s result; the same where there is no normaliser."""
        if self.mean is None or self.std is None:
            return laid_out
        return (laid_out - self.mean[:, None]) / self.std[:, None]


def fit_normaliser(laid_out: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation (+1e-6) of each row over samples and columns of `[batch, rows, columns]`."""
    mean = laid_out.mean(axis=(0, 2), dtype=np.float64)
    std = laid_out.std(axis=(0, 2), dtype=np.float64) + 1e-6
    return mean.astype(np.float32), std.astype(np.float32)
