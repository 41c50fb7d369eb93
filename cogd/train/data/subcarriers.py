"""From as many subcarriers as a receiver measures to as many as a model wants: interpolation and selection.

All functions work along the last axis. The sparse method's basis and constants are those of wifi-densepose-train:
Gaussians of width 0.15 centred on the wanted positions, entries below 1e-4 dropped, Tikhonov weight 0.1. What
differs: the equations are solved directly, the result is the reconstructed curve and not its coefficients, and what
can't be solved is an error.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from cogd.errors import TrainError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

SPARSE_WIDTH, SPARSE_WEIGHT, SPARSE_LEAST = 0.15, 0.1, 1e-4
"""Standard deviation of the basis in units of the whole band, weight of the coefficients' squares, entries dropped."""


def interpolate(values: NDArray[np.floating], count: int) -> NDArray[np.float32]:
    """Linear interpolation of amplitudes `[..., n]` to `[..., count]`: wanted tone k lies at k (n - 1) / (count - 1).

    NaN stays where it has a share in the result.

    Raises:
        TrainError: either side has fewer than two subcarriers.
    """
    return _apply(_linear(values.shape[-1], count), values)


def interpolate_phase(radians: NDArray[np.floating], count: int) -> NDArray[np.float32]:
    """The same for wrapped phases: unwrapped over the subcarriers, interpolated, wrapped again to [-pi, pi)."""
    unwrapped = _apply(_linear(radians.shape[-1], count), np.unwrap(radians, axis=-1))
    return np.asarray((unwrapped + np.pi) % (2 * np.pi) - np.pi, dtype=np.float32)


def interpolate_complex(
    amplitude: NDArray[np.floating], radians: NDArray[np.floating], count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Amplitude and phase by interpolating the complex numbers, real and imaginary part each for itself.

    Where neighbours are far apart in phase this lowers the amplitude between them; `interpolate` does not.
    """
    csi = amplitude * np.exp(1j * radians.astype(np.float64))
    matrix = _linear(amplitude.shape[-1], count)
    real, imaginary = _apply(matrix, csi.real), _apply(matrix, csi.imag)
    return np.hypot(real, imaginary), np.arctan2(imaginary, real)


def interpolate_sparse(values: NDArray[np.floating], count: int) -> NDArray[np.float32]:
    """Regularised least squares: amplitudes `[..., n]` to `[..., count]` by `count` Gaussians over the band.

    Coefficients c minimise `|B c - y|^2 + 0.1 |c|^2`, where `B[i, k]` is the Gaussian k at subcarrier i; the result
    is the curve that they make at the wanted positions.

    Raises:
        TrainError: either side has fewer than two subcarriers, or the equations can't be solved.
    """
    return _apply(_sparse(values.shape[-1], count), values)


def select_by_variance(pieces: Iterable[NDArray[np.floating]], count: int) -> NDArray[np.int64]:
    """The `count` subcarriers of pieces `[..., n]` that vary most, ascending.

    The variance is the population's, over all pieces and their other axes together; of equals the lower one is taken.
    One piece after the other is read. Pass training rows alone: chosen on all rows, it has seen the test part.

    Raises:
        TrainError: more are wanted than there are, there is no piece, pieces differ in their subcarriers, or the values
            are not finite.
    """
    rows, mean, squares = 0, np.zeros(()), np.zeros(())
    for piece in pieces:
        flat = piece.reshape(-1, piece.shape[-1]).astype(np.float64)
        if rows and flat.shape[1] != mean.size:
            raise TrainError(f"subcarriers can't be selected: {mean.size} in one recording, {flat.shape[1]} in another")
        # Chan, Golub, LeVeque 1983: sums of squares of two parts to that of both.
        own, together = flat.mean(axis=0), rows + len(flat)
        squares = squares + ((flat - own) ** 2).sum(axis=0) + (own - mean) ** 2 * rows * len(flat) / together
        mean = mean + (own - mean) * len(flat) / together
        rows = together
    available = mean.size if rows else 0
    if not 1 <= count <= available:
        raise TrainError(f"{count} subcarriers can't be selected out of {available}")
    variance = squares / rows
    if not np.isfinite(variance).all():
        raise TrainError("subcarriers can't be selected by values that are not finite")
    return np.sort(np.argsort(-variance, kind="stable")[:count]).astype(np.int64)


def _apply(matrix: NDArray[np.float64], values: NDArray[np.floating]) -> NDArray[np.float32]:
    """`values @ matrix`, in which a NaN reaches only what it has a share in."""
    result = np.where(np.isnan(values), 0, values) @ matrix
    missing = np.isnan(values)
    if missing.any():
        result[missing.astype(np.float64) @ (matrix != 0) > 0] = np.nan
    return np.asarray(result, dtype=np.float32)


def _positions(count: int) -> NDArray[np.float64]:
    if count < 2:
        raise TrainError(f"{count} subcarrier(s) can't be interpolated")
    return np.linspace(0.0, 1.0, count)


@lru_cache(maxsize=16)
def _linear(given: int, wanted: int) -> NDArray[np.float64]:
    """Matrix `[given, wanted]`."""
    have, want = _positions(given), _positions(wanted)
    return np.stack([np.interp(want, have, unit) for unit in np.eye(given)])


@lru_cache(maxsize=16)
def _sparse(given: int, wanted: int) -> NDArray[np.float64]:
    """Matrix `[given, wanted]`: least squares and reconstruction in one."""

    def basis(at: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
        values = np.exp(-((at[:, None] - centres) ** 2) / (2 * SPARSE_WIDTH**2))
        return np.where(values < SPARSE_LEAST, 0.0, values)

    centres = _positions(wanted)
    observed, reconstructed = basis(_positions(given), centres), basis(centres, centres)
    normal = observed.T @ observed + SPARSE_WEIGHT * np.eye(wanted)
    try:
        coefficients = np.linalg.solve(normal, observed.T)
    except np.linalg.LinAlgError as error:
        raise TrainError(f"the least squares from {given} to {wanted} subcarriers can't be solved: {error}") from error
    return (reconstructed @ coefficients).T
