"""The motion network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_SHAPES = 8
_FAST = ((22, 36), (36, 55))


def forward(weights: Mapping[str, NDArray[np.float32]], csi: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """`motion_logits [batch, 1]`, float32, of columns `[batch, 56, frames]`."""
    columns = csi.astype(np.float64)
    columns = columns / np.maximum(np.sqrt(np.mean(columns**2, axis=1, keepdims=True)), 1e-6)
    neighbours = np.lib.stride_tricks.sliding_window_view(columns, 5, axis=2)
    noise = [_energy(_series(columns, range(low, high))).mean(axis=1, keepdims=True) for low, high in _FAST]
    energies = _energies(columns) + _energies(np.median(neighbours, axis=3)) + noise
    features = np.log(np.concatenate(energies, axis=1) + 1e-6)
    features = (features - weights["mean"].astype(np.float64)) / weights["deviation"].astype(np.float64)
    logits = features @ weights["motion.weight"].astype(np.float64).T + weights["motion.bias"]
    return {"motion_logits": logits.astype(np.float32)}


def _energies(columns: Array) -> list[Array]:
    """Four energies `[batch, 8]` of the columns' slow cosines: of the series, and of its differences."""
    series = _series(columns, range(1, _SHAPES + 1))
    return [_energy(series), *(_energy(series[:, :, lag:] - series[:, :, :-lag]) / 2 for lag in (1, 2, 5))]


def _series(columns: Array, shapes: range) -> Array:
    """Cosines `[batch, shapes, columns]` of each column, centred in time."""
    tones = columns.shape[1]
    series = np.stack(
        [
            np.einsum("t,btn->bn", np.cos(np.pi * shape * (2 * np.arange(tones) + 1) / (2 * tones)), columns)
            for shape in shapes
        ],
        axis=1,
    ) * np.sqrt(2.0 / tones)
    centred: Array = series - series.mean(axis=2, keepdims=True)
    return centred


def _energy(series: Array) -> Array:
    energy: Array = np.mean(np.sqrt(np.abs(series)), axis=2) ** 4
    return energy
