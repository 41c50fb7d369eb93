"""The channel as a sum of paths: complex gain of every tone from their amplitudes and lengths.

Free space: amplitude wavelength / (4 pi d) (Friis 1946). A scatterer of radar cross-section s contributes wavelength *
sqrt(s) / ((4 pi)**1.5 * d1 * d2), the bistatic radar equation (Skolnik, Introduction to Radar Systems).

Tones differ by so little in frequency that the gain of all of them is a smooth function of a path's length. So paths
are not summed tone by tone but as moments: the sum of their gains at the carrier, weighted by Chebyshev polynomials of
the length. A tone's gain is then a fixed combination of the moments (the Chebyshev series of a complex exponential; its
coefficients are Bessel functions, by the Jacobi-Anger expansion, so that twelve leave an error below 1e-5).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from cogd.csi.tones import HT_TONES

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPEED_OF_LIGHT_M_S = 299_792_458.0
CARRIER_HZ = 2.437e9
"""Channel 6."""
TONE_SPACING_HZ = 312_500.0
TONE_HZ = CARRIER_HZ + TONE_SPACING_HZ * np.asarray(HT_TONES, dtype=np.float64)
"""Frequency of each of the 56 tones, lowest first."""
WAVELENGTH_M = SPEED_OF_LIGHT_M_S / CARRIER_HZ

REACH_M = 40.0
"""No path is longer: two rooms' diagonals at the most."""
ORDERS = 12
"""How many moments; the error of the series is the first Bessel function left out, J_12(3.7) = 3e-6."""


def moments(amplitude: NDArray[np.float32], length_m: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Moments `[..., 12]` of the sum of paths `[..., paths]`."""
    angle = (length_m * np.float32(1 / WAVELENGTH_M)) % np.float32(1.0) * np.float32(-2 * np.pi)
    gains = np.empty((*np.broadcast_shapes(amplitude.shape, angle.shape), 2), dtype=np.float32)
    np.multiply(amplitude, np.cos(angle), out=gains[..., 0])
    np.multiply(amplitude, np.sin(angle), out=gains[..., 1])
    place = np.minimum(length_m * np.float32(2 / REACH_M), np.float32(2.0)) - np.float32(1.0)
    weights = np.empty((*place.shape[:-1], ORDERS, place.shape[-1]), dtype=np.float32)
    weights[..., 0, :], weights[..., 1, :] = 1.0, place
    twice = place + place
    for order in range(2, ORDERS):
        np.multiply(twice, weights[..., order - 1, :], out=weights[..., order, :])
        weights[..., order, :] -= weights[..., order - 2, :]
    summed: NDArray[np.float32] = weights @ gains
    return summed.view(np.complex64)[..., 0]


@lru_cache(maxsize=32)
def tone_basis(tones: tuple[float, ...]) -> NDArray[np.complex64]:
    """Matrix `[12, tones]` by which moments become the gains of tones, counted in HT20 subcarriers from the carrier."""
    samples = 64
    angles = np.pi * (np.arange(samples) + 0.5) / samples
    length_m = REACH_M / 2 * (1 + np.cos(angles))
    turns = np.outer(length_m / SPEED_OF_LIGHT_M_S, TONE_SPACING_HZ * np.asarray(tones))
    cosines = np.cos(np.outer(np.arange(ORDERS), angles))
    series = cosines @ np.exp(-2j * np.pi * turns) * (2 / samples)
    series[0] /= 2
    return np.asarray(series, dtype=np.complex64)


def free_space(length_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Amplitude of a path of this length."""
    return WAVELENGTH_M / (4 * np.pi * np.maximum(length_m, 0.1))


def scattering(rcs_m2: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the product of both distances divides: amplitude of a scattered path times (d1 * d2)."""
    return np.asarray(WAVELENGTH_M * np.sqrt(rcs_m2) / (4 * np.pi) ** 1.5, dtype=np.float32)
