import numpy as np
import pytest
from scipy.stats import gamma, spearmanr

from cogd.heads.pose.rules import RADIUS_50, RADIUS_90
from cogd.train.heads.pose.uncertainty import Doubts, is_right, right_figure
from cogd.train.metrics.bootstrap import Groups
from cogd.train.metrics.figure import Sample

SHOULDER, HIP = 6, 11


def poses(count: int, torso: float = 0.2) -> np.ndarray:
    """Poses whose torso has that length."""
    truth = np.random.default_rng(0).uniform(0.3, 0.7, (count, 17, 2))
    truth[:, HIP] = truth[:, SHOULDER] + [0.0, torso]
    return truth


def values(metrics) -> dict[str, float]:
    return {metric.name: metric.value for metric in metrics}


def sample(count: int) -> Sample:
    return Sample("test", count, Groups(np.arange(count) % 8, "rooms"))


def test_a_pose_is_right_where_its_joints_are_on_average_half_a_torso_off_or_less():
    truth = poses(4)
    predicted = truth.copy()
    predicted[0, :, 0] += 0.0999
    predicted[1, :, 0] += 0.1001
    predicted[2, :8, 1] += 0.2  # 8 of 17 joints: 0.094 on average
    predicted[3, :9, 1] += 0.2  # 9 of 17: 0.106

    assert is_right(predicted, truth).tolist() == [True, False, True, False]


def test_a_pose_that_was_not_given_or_has_no_torso_is_not_right():
    truth = poses(2)
    truth[1, HIP] = truth[1, SHOULDER]
    predicted = truth.copy()
    predicted[0, 3] = np.nan

    assert is_right(predicted, truth).tolist() == [False, False]


def test_the_share_of_right_poses_stands_beside_the_mean_poses():
    truth = poses(40)
    predicted = truth + np.where(np.arange(40) < 30, 0.0, 0.5)[:, None, None]

    (metric,) = right_figure(predicted, truth, truth[0], "the first pose", sample(40))

    assert (metric.value, metric.baseline_name) == (0.75, "the first pose")
    assert metric.baseline_value == is_right(np.broadcast_to(truth[0], truth.shape), truth).mean()


def test_by_hand_coverage_and_loss():
    error = np.asarray([[0.1, 0.3], [0.2, 0.5]])
    radius = np.asarray([[0.1, 0.2], [0.1, 0.5]])

    found = values(Doubts(error, radius).figures(Sample("test", 2)))

    assert found["error_50_coverage"] == 0.5  # 0.1 and 0.5
    assert pytest.approx(2.3176, abs=1e-4) == RADIUS_90 / RADIUS_50
    assert found["error_90_coverage"] == 1.0
    assert found["error_50_pinball"] == pytest.approx((0.0 + 0.1 + 0.1 + 0.0) / 4 / 2)


def test_errors_of_the_stated_distribution_are_covered_as_stated_and_lose_least():
    rng = np.random.default_rng(1)
    radius = rng.uniform(0.02, 0.2, (4000, 17))
    error = rng.gamma(2, radius / RADIUS_50)

    found = {metric.name: metric for metric in Doubts(error, radius).figures(sample(4000))}

    assert found["error_50_coverage"].value == pytest.approx(0.5, abs=0.01)
    assert found["error_90_coverage"].value == pytest.approx(gamma.cdf(RADIUS_90, 2), abs=0.01)
    loss = found["error_50_pinball"]
    assert loss.value < loss.baseline_value
    for factor in (0.9, 1.1):
        assert loss.value < values(Doubts(error, factor * radius).figures(sample(4000)))["error_50_pinball"]


def test_the_correlation_is_scipys():
    rng = np.random.default_rng(2)
    radius = rng.choice(np.linspace(0.1, 0.3, 9), (200, 17))  # with ties
    error = rng.exponential(radius)
    doubts = Doubts(error, radius)

    expected = [spearmanr(radius[:, joint], error[:, joint]).statistic for joint in range(17)]

    alone = values(doubts.of_joints(sample(200)))
    assert values(doubts.figures(sample(200)))["error_50_spearman"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert alone["error_50_spearman.left_wrist"] == pytest.approx(expected[9], abs=1e-6)
    assert alone["error_50_coverage.nose"] == pytest.approx((error[:, 0] <= radius[:, 0]).mean(), abs=1e-6)


def test_one_radius_for_all_has_no_correlation_and_every_figure_has_an_interval():
    error = np.random.default_rng(3).exponential(0.1, (80, 17))

    metrics = Doubts(error, np.full((80, 17), 0.1)).figures(sample(80))

    assert "error_50_spearman" not in values(metrics)
    assert all(metric.interval for metric in metrics)


def test_a_figure_of_one_joint_is_defined_of_that_joint():
    rng = np.random.default_rng(3)
    doubts = Doubts(rng.random((40, 17)), rng.random((40, 17)))
    definitions = {metric.name: metric.definition for metric in doubts.of_joints(Sample("a", 40))}

    assert definitions["error_50_coverage.left_ear"].startswith("left_ear: share of windows where this joint's truth")
    assert definitions["error_50_spearman.left_ear"].startswith("left_ear: Spearman's correlation over windows of this")
    assert not any("joints" in definition for definition in definitions.values())
