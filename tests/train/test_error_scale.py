import numpy as np
import pytest
from scipy.stats import gamma, norm

from cogd.heads.pose import rules
from cogd.train import losses
from cogd.train.heads.pose.error_scale import calibrate_pose

pytestmark = pytest.mark.train

FACTORS = np.linspace(0.5, 2.0, 17)


def drawn(count=4000, seed=0):
    """Scales, and errors of poses whose density falls off exponentially in every direction alike."""
    rng = np.random.default_rng(seed)
    log_scale = rng.normal(-3, 0.5, (count, 1)) + rng.normal(0, 0.2, (count, 17))
    error = rng.gamma(2, np.exp(log_scale) * FACTORS)
    right = rng.random(count) < 1 / (1 + np.exp(-(2.0 * -log_scale.mean(axis=1) - 6.5)))
    return log_scale.astype(np.float32), error, right


def test_the_factor_of_each_joint_is_recovered_and_its_radius_holds_half_of_the_errors():
    log_scale, error, right = drawn()

    fitted = calibrate_pose(log_scale, error, right)

    np.testing.assert_allclose(fitted.joint_scale, FACTORS, rtol=0.04)
    other_scale, other_error, _ = drawn(seed=1)
    for radius, share in ((rules.RADIUS_50, 0.5), (rules.RADIUS_90, 0.9)):
        held = other_error <= radius * fitted.joint_scale * np.exp(other_scale)
        np.testing.assert_allclose(held.mean(axis=0), share, atol=0.03)


def test_no_other_factor_makes_the_errors_likelier():
    log_scale, error, right = drawn(300)
    fitted = calibrate_pose(log_scale, error, right)
    unit = error / np.exp(log_scale.astype(np.float64))

    def surprise(scale):
        return -gamma.logpdf(unit, 2, scale=scale).sum(axis=0)

    for factor in (0.98, 1.02):
        assert (surprise(fitted.joint_scale) < surprise(factor * fitted.joint_scale)).all()


def test_the_radii_are_the_quantiles_of_the_distribution():
    assert pytest.approx(gamma.ppf(0.5, 2), rel=1e-12) == rules.RADIUS_50
    assert pytest.approx(gamma.ppf(0.9, 2), rel=1e-12) == rules.RADIUS_90


def test_the_line_of_the_confidence_is_recovered():
    fitted = calibrate_pose(*drawn(20_000))

    assert fitted.informative
    assert fitted.slope == pytest.approx(2.0, rel=0.1)
    assert fitted.offset == pytest.approx(-6.5, rel=0.1)


def test_scales_that_tell_nothing_are_not_informative():
    log_scale, error, right = drawn(500)
    shuffled = np.random.default_rng(3).permutation(right)

    assert not calibrate_pose(log_scale, error, shuffled).informative


def test_scales_out_of_bounds_are_taken_as_the_loss_takes_them():
    assert rules.LOG_SCALE == losses.LOG_SCALE
    error, right = np.full((50, 17), 0.1), norm.rvs(size=50, random_state=0) > 0
    wild = np.where(np.arange(50)[:, None] % 2, 90.0, -90.0).repeat(17, axis=1).astype(np.float32)

    fitted = calibrate_pose(wild, error, right)

    low, high = rules.LOG_SCALE
    np.testing.assert_allclose(fitted.joint_scale, 0.1 * (np.exp(-low) + np.exp(-high)) / 2 / 2)
    assert np.isfinite([fitted.slope, fitted.offset]).all()
