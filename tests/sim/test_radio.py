import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.csi.tones import HT_TONES
from cogd.sim.radio import REACH_M, TONE_HZ, free_space, moments, scattering, tone_basis

C_M_S = 299_792_458.0
WAVELENGTH_M = C_M_S / 2.437e9


def test_the_tones_are_those_of_channel_6():
    assert TONE_HZ[0] == 2.437e9 - 28 * 312_500
    assert TONE_HZ[-1] == 2.437e9 + 28 * 312_500
    assert len(TONE_HZ) == len(HT_TONES) == 56
    assert (np.diff(TONE_HZ) > 0).all()


def gains(amplitude, length_m, tones=HT_TONES) -> np.ndarray:
    summed = moments(np.asarray(amplitude, np.float32), np.asarray(length_m, np.float32))
    return summed @ tone_basis(tuple(float(tone) for tone in tones))


@given(st.lists(st.tuples(st.floats(0.1, 1.0), st.floats(0.3, REACH_M)), min_size=1, max_size=8))
def test_moments_are_the_sum_of_all_paths_on_every_tone(paths):
    """Against the sum as one writes it: each path's gain on each tone, in double precision."""
    amplitude, length_m = (
        np.asarray(column, dtype=np.float32).astype(np.float64) for column in zip(*paths, strict=True)
    )
    plain = (amplitude[:, None] * np.exp(-2j * np.pi * np.outer(length_m, TONE_HZ / C_M_S))).sum(axis=0)
    np.testing.assert_allclose(gains(amplitude, length_m), plain, rtol=0, atol=3e-4 * amplitude.sum())


def test_tones_between_the_ht_ones_follow_too():
    tones = np.arange(-122, 123) / 4
    plain = np.exp(-2j * np.pi * 7.25 * (2.437e9 + 312_500 * tones) / C_M_S)
    np.testing.assert_allclose(gains([1.0], [7.25], tones), plain, atol=3e-4)


def test_paths_are_summed_frame_by_frame():
    rng = np.random.default_rng(1)
    amplitude, length_m = rng.uniform(0, 1, (5, 9)), rng.uniform(1, 30, (5, 9))
    together = gains(amplitude, length_m)
    assert together.shape == (5, 56)
    for row in range(5):
        np.testing.assert_allclose(together[row], gains(amplitude[row], length_m[row]), atol=1e-4)


@pytest.mark.parametrize("length_m", [1.0, 4.0, 9.5])
def test_free_space_follows_friis(length_m):
    assert free_space(np.asarray([length_m])) == pytest.approx(WAVELENGTH_M / (4 * math.pi * length_m))


def test_a_scatterer_follows_the_bistatic_radar_equation():
    amplitude = scattering(np.asarray([0.3])) / (1.7 * 2.9)
    assert amplitude**2 == pytest.approx(0.3 * WAVELENGTH_M**2 / ((4 * math.pi) ** 3 * 1.7**2 * 2.9**2))
