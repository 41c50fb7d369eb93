"""The motion network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_SHAPES = 8


def forward(weights: Mapping[str, NDArray[np.float32]], csi: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """`motion_logits [batch, 1]`, float32, of columns `[batch, 56, frames]`."""
    columns = csi.astype(np.float64)
    columns = columns / np.maximum(np.sqrt(np.mean(columns**2, axis=1, keepdims=True)), 1e-6)
    neighbours = np.lib.stride_tricks.sliding_window_view(columns, 5, axis=2)
    energies = _energies(columns) + _energies(np.median(neighbours, axis=3))
    features = np.log(np.concatenate(energies, axis=1) + 1e-6)
    features = (features - weights["mean"].astype(np.float64)) / weights["deviation"].astype(np.float64)
    logits = features @ weights["motion.weight"].astype(np.float64).T + weights["motion.bias"]
    return {"motion_logits": logits.astype(np.float32)}


def _energies(columns: Array) -> list[Array]:
    """Four energies `[batch, 8]` of the columns' cosines: of the series, and of its differences."""
    tones = columns.shape[1]
    series = np.stack(
        [
            np.einsum("t,btn->bn", np.cos(np.pi * shape * (2 * np.arange(tones) + 1) / (2 * tones)), columns)
            for shape in range(1, _SHAPES + 1)
        ],
        axis=1,
    ) * np.sqrt(2.0 / tones)
    series = series - series.mean(axis=2, keepdims=True)
    parts = [series, *(series[:, :, lag:] - series[:, :, :-lag] for lag in (1, 2, 5))]
    factors = (1.0, 0.5, 0.5, 0.5)
    return [factor * np.mean(np.sqrt(np.abs(part)), axis=2) ** 4 for part, factor in zip(parts, factors, strict=True)]
