import numpy as np
import pytest
import scipy.interpolate
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st

from cogd.errors import TrainError
from cogd.train.data import subcarriers
from cogd.train.data.subcarriers import (
    interpolate,
    interpolate_complex,
    interpolate_phase,
    interpolate_sparse,
    select_by_variance,
)

pytestmark = pytest.mark.train

SIZES = [(114, 56), (56, 114), (2, 7), (30, 56), (56, 56), (192, 56)]


@pytest.mark.parametrize(("given_count", "wanted"), SIZES)
def test_linear_interpolation_is_scipys_with_the_ends_aligned(given_count, wanted):
    values = np.random.default_rng(0).uniform(1, 50, (3, 4, given_count))
    spline = scipy.interpolate.make_interp_spline(np.arange(given_count), values, k=1, axis=-1)

    result = interpolate(values, wanted)

    expected = spline(np.arange(wanted) * (given_count - 1) / (wanted - 1))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    np.testing.assert_allclose(result[..., [0, -1]], values[..., [0, -1]], rtol=1e-6)


def test_what_is_missing_stays_so_only_where_it_has_a_share():
    values = np.ones((2, 114))
    values[0, 50] = np.nan
    values[1] = np.nan

    result = interpolate(values, 56)

    positions = np.arange(56) * 113 / 55
    np.testing.assert_array_equal(np.isnan(result[0]), np.abs(positions - 50) < 1)
    assert np.isnan(result[1]).all()


@given(slope=st.floats(-2.5, 2.5), offset=st.floats(-3, 3))
def test_a_phase_is_unwrapped_first(slope, offset):
    true = offset + slope * np.arange(114)
    wrapped = np.angle(np.exp(1j * true))

    result = interpolate_phase(wrapped, 56)

    expected = offset + slope * np.arange(56) * 113 / 55
    np.testing.assert_allclose(np.exp(1j * result.astype(float)), np.exp(1j * expected), atol=1e-4)
    assert (np.abs(result) <= np.pi + 1e-6).all()


def test_interpolating_wrapped_phases_as_they_are_would_be_wrong_at_the_wraps():
    wrapped = np.angle(np.exp(0.3j * np.arange(114)))

    naive, right = interpolate(wrapped, 56), interpolate_phase(wrapped, 56)

    assert np.abs(np.exp(1j * naive) - np.exp(1j * right)).max() > 1


def test_complex_interpolation_takes_real_and_imaginary_part_each_for_itself():
    rng = np.random.default_rng(1)
    amplitude, phase = rng.uniform(1, 9, (5, 114)), rng.uniform(-3, 3, (5, 114))
    csi = amplitude * np.exp(1j * phase)
    positions = np.arange(56) * 113 / 55

    new_amplitude, new_phase = interpolate_complex(amplitude, phase, 56)

    expected = np.stack([np.interp(positions, np.arange(114), row) for row in csi])  # NumPy's takes complex values
    np.testing.assert_allclose(new_amplitude * np.exp(1j * new_phase), expected, atol=1e-4)


def sparse_by_lstsq(values: np.ndarray, wanted: int) -> np.ndarray:
    """The same least squares as an augmented system, solved by another method; written from the definition."""
    at, centres = np.linspace(0, 1, values.shape[-1]), np.linspace(0, 1, wanted)
    basis = np.exp(-0.5 * ((at[:, None] - centres[None]) / 0.15) ** 2)
    curve = np.exp(-0.5 * ((centres[:, None] - centres[None]) / 0.15) ** 2)
    basis[basis < 1e-4], curve[curve < 1e-4] = 0, 0
    stacked = np.concatenate([basis, np.sqrt(0.1) * np.eye(wanted)])
    target = np.concatenate(
        [values.reshape(-1, values.shape[-1]).T, np.zeros((wanted, values.size // values.shape[-1]))]
    )
    coefficients = np.linalg.lstsq(stacked, target, rcond=None)[0]
    return (curve @ coefficients).T.reshape(*values.shape[:-1], wanted)


@pytest.mark.parametrize(("given_count", "wanted"), SIZES)
def test_the_sparse_least_squares_are_those_of_lstsq_and_give_the_curve(given_count, wanted):
    values = np.random.default_rng(2).uniform(1, 50, (2, 3, given_count))

    np.testing.assert_allclose(interpolate_sparse(values, wanted), sparse_by_lstsq(values, wanted), rtol=1e-4)


def test_the_sparse_least_squares_minimise_what_they_say():
    """A general minimiser of the objective finds no smaller value than the one that is returned."""
    values = np.random.default_rng(3).uniform(1, 5, 12)
    at, centres = np.linspace(0, 1, 12), np.linspace(0, 1, 6)
    basis = np.exp(-0.5 * ((at[:, None] - centres) / 0.15) ** 2)
    curve = np.exp(-0.5 * ((centres[:, None] - centres) / 0.15) ** 2)
    basis[basis < 1e-4], curve[curve < 1e-4] = 0, 0

    def objective(c: np.ndarray) -> float:
        return float(((basis @ c - values) ** 2).sum() + 0.1 * (c**2).sum())

    found = scipy.optimize.minimize(objective, np.zeros(6), method="BFGS", options={"gtol": 1e-9})

    np.testing.assert_allclose(interpolate_sparse(values, 6), curve @ found.x, rtol=1e-4)


def test_a_smooth_curve_comes_back():
    def curve(x: np.ndarray) -> np.ndarray:
        return 20 + 6 * np.sin(2 * np.pi * x)

    result = interpolate_sparse(curve(np.linspace(0, 1, 114)), 56)

    np.testing.assert_allclose(result[5:-5], curve(np.linspace(0, 1, 56))[5:-5], rtol=0.05)


def test_what_can_not_be_solved_is_an_error_and_not_a_fallback(monkeypatch):
    monkeypatch.setattr(subcarriers, "SPARSE_WEIGHT", 0.0)
    monkeypatch.setattr(subcarriers, "SPARSE_WIDTH", 1e9)  # all basis functions are the same
    subcarriers._sparse.cache_clear()
    try:
        with pytest.raises(TrainError, match="from 7 to 5 subcarriers can't be solved"):
            interpolate_sparse(np.ones(7), 5)
    finally:
        subcarriers._sparse.cache_clear()


@pytest.mark.parametrize("function", [interpolate, interpolate_phase, interpolate_sparse])
@pytest.mark.parametrize(("given_count", "wanted"), [(1, 5), (5, 1), (5, 0)])
def test_a_single_subcarrier_can_not_be_interpolated(function, given_count, wanted):
    with pytest.raises(TrainError, match=r"subcarrier\(s\) can't be interpolated"):
        function(np.ones((2, given_count)), wanted)


@given(seed=st.integers(0, 50), count=st.integers(1, 12))
def test_the_most_varying_subcarriers_are_selected_ascending(seed, count):
    values = np.random.default_rng(seed).normal(size=(6, 5, 12)) * np.random.default_rng(seed + 1).uniform(0.1, 3, 12)

    chosen = select_by_variance([values[:1], values[1:]], count)

    variance = [np.mean((values[..., k] - values[..., k].mean()) ** 2) for k in range(12)]
    assert chosen.tolist() == sorted(sorted(range(12), key=lambda k: -variance[k])[:count])


def test_of_equals_the_lower_one_is_selected():
    assert select_by_variance([np.tile([[0.0], [1.0]], 5)], 2).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("values", "count"), [(np.ones((4, 5)), 6), (np.ones((4, 5)), 0), (np.full((4, 5), np.nan), 2)]
)
def test_no_selection_is_made_up(values, count):
    with pytest.raises(TrainError, match="can't be selected"):
        select_by_variance([values], count)
