import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.csi.model_input import ModelInput, fit_normaliser


def windows(batch: int = 2, rows: int = 56, frames: int = 20) -> np.ndarray:
    return np.random.default_rng(1).uniform(1, 40, size=(batch, rows, frames)).astype(np.float32)


class TestLayout:
    def test_subcarrier_major_is_the_window_as_it_is(self):
        np.testing.assert_array_equal(ModelInput("subcarrier_major", "none").prepare(windows()), windows())

    def test_the_published_one_is_frame_after_frame_read_as_if_it_were_rows(self):
        laid_out = ModelInput("time_major_mislabelled_56x20", "none").prepare(windows())
        for given_, made in zip(windows(), laid_out, strict=True):
            in_time_order = [given_[tone, frame] for frame in range(20) for tone in range(56)]
            np.testing.assert_array_equal(made.ravel(), in_time_order)
        assert laid_out.shape == (2, 56, 20)


class TestGain:
    def test_window_rms_makes_every_windows_mean_square_one(self):
        made = ModelInput("subcarrier_major", "window_rms").prepare(windows())
        np.testing.assert_allclose(np.mean(made.astype(np.float64) ** 2, axis=(1, 2)), 1, rtol=1e-5)

    @given(st.floats(1e-3, 1e3))
    def test_window_rms_takes_the_receivers_gain_out(self, gain):
        model_input = ModelInput("subcarrier_major", "window_rms")
        np.testing.assert_allclose(
            model_input.prepare(windows() * np.float32(gain)), model_input.prepare(windows()), rtol=1e-4
        )

    def test_window_rms_is_of_each_window_alone(self):
        model_input = ModelInput("subcarrier_major", "window_rms")
        both = windows()
        both[1] *= 100
        np.testing.assert_array_equal(model_input.prepare(both)[:1], model_input.prepare(both[:1]))

    def test_none_leaves_the_receivers_units(self):
        np.testing.assert_array_equal(ModelInput("subcarrier_major", "none").lay_out(windows()), windows())

    def test_a_window_of_zeros_stays_finite(self):
        zeros = np.zeros((1, 56, 20), np.float32)
        assert np.isfinite(ModelInput("subcarrier_major", "window_rms").prepare(zeros)).all()


class TestNormaliser:
    def test_subtracts_and_divides_row_by_row_of_the_laid_out_input(self):
        mean = np.arange(56, dtype=np.float32)
        std = np.arange(1, 57, dtype=np.float32)
        model_input = ModelInput("time_major_mislabelled_56x20", "none", mean, std)
        laid_out = model_input.lay_out(windows())
        made = model_input.prepare(windows())
        for row in (0, 17, 55):
            np.testing.assert_allclose(made[:, row], (laid_out[:, row] - row) / (row + 1), rtol=1e-5)

    def test_that_was_fitted_makes_rows_of_mean_0_and_deviation_1(self):
        data = windows(batch=50) * np.linspace(1, 9, 56, dtype=np.float32)[:, None]
        made = ModelInput("subcarrier_major", "none", *fit_normaliser(data)).prepare(data).astype(np.float64)
        np.testing.assert_allclose(made.mean(axis=(0, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(made.std(axis=(0, 2)), 1, atol=1e-5)

    def test_that_was_fitted_on_a_constant_row_is_positive(self):
        mean, std = fit_normaliser(np.full((3, 56, 20), 7, np.float32))
        np.testing.assert_allclose(mean, 7)
        assert (std > 0).all()
        assert mean.dtype == std.dtype == np.float32


@pytest.mark.parametrize("layout", ["subcarrier_major", "time_major_mislabelled_56x20"])
@pytest.mark.parametrize("gain", ["none", "window_rms"])
def test_the_result_is_float32_of_the_same_shape_and_the_windows_are_untouched(layout, gain):
    given_ = windows()
    made = ModelInput(layout, gain, np.ones(56, np.float32), np.ones(56, np.float32)).prepare(given_)
    assert (made.dtype, made.shape) == (np.float32, given_.shape)
    np.testing.assert_array_equal(given_, windows())
