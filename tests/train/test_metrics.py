import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.train.metrics import (
    auroc,
    confidence_metrics,
    count_metrics,
    ece,
    mpjpe,
    pck,
    pose_metrics,
)
from cogd.train.report import LOWER_IS_BETTER, beats_baseline

pytestmark = pytest.mark.train

scores = st.lists(st.tuples(st.integers(0, 6).map(lambda tenth: tenth / 6), st.booleans()), min_size=1, max_size=60)


def figures(metrics) -> dict[str, tuple[float, float]]:
    return {metric.name: (metric.value, metric.baseline_value) for metric in metrics}


def standing(count: int = 1) -> np.ndarray:
    """Poses whose right shoulder and left hip are (0.3, 0.4) apart: a torso of 0.5."""
    pose = np.full((count, 17, 2), 0.5)
    pose[:, 6], pose[:, 11] = (0.2, 0.2), (0.5, 0.6)
    return pose


def test_mpjpe_is_the_mean_distance():
    truth = np.zeros((2, 3, 2))
    predicted = np.asarray([[[3, 4], [0, 0], [0, 1]], [[0, 0], [0, 2], [5, 12]]], dtype=np.float64) / 10

    assert mpjpe(predicted, truth) == pytest.approx((5 + 0 + 1 + 0 + 2 + 13) / 10 / 6)


def test_pck_takes_the_truths_right_shoulder_and_left_hip_as_its_yardstick():
    truth = standing()
    predicted = truth.copy()
    predicted[0, :4, 0] += [0.0999, 0.1001, 0.2499, 0.2501]
    predicted[0, 11] += 5  # neither the prediction's torso

    assert pck(predicted, truth, 0.2) == pytest.approx(13 / 17)
    assert pck(predicted, truth, 0.5) == pytest.approx(15 / 17)


def test_pck_measures_each_window_by_its_own_torso():
    truth = np.concatenate([standing(), standing() * 0.1])
    predicted = truth + np.asarray([0.06, 0.0])

    assert pck(predicted, truth, 0.2) == 0.5  # within 0.1 of the large one, not within 0.01 of the small one


def test_a_window_without_a_torso_is_not_counted():
    truth = np.concatenate([standing(), np.full((1, 17, 2), 0.5)])

    assert pck(truth, truth, 0.2) == 1.0


def test_a_perfect_pose_is_perfect_beside_the_mean_poses_figures():
    truth = np.concatenate([standing(), standing() + np.asarray([0.3, 0.0])])
    mean_pose = truth.mean(axis=0)

    metrics = figures(pose_metrics(truth, truth, mean_pose, "test"))

    assert metrics == {
        "mpjpe_picture": (0.0, 0.15),
        "pck20_torso_rsho_lhip": (1.0, 0.0),
        "pck50_torso_rsho_lhip": (1.0, 1.0),
    }


def test_a_constant_pose_scores_exactly_the_baseline():
    rng = np.random.default_rng(0)
    truth, mean_pose = standing(20) + rng.normal(0, 0.1, (20, 17, 2)), standing()[0]

    for metric in pose_metrics(np.broadcast_to(mean_pose, truth.shape), truth, mean_pose, "test"):
        assert metric.value == metric.baseline_value
        assert metric.baseline_name == "mean pose of the training part"
        assert not beats_baseline(metric)


def test_count_figures_by_hand():
    truth, predicted = np.asarray([0, 0, 1, 2, 3, 7]), np.asarray([0, 1, 1, 0, 2, 7])

    metrics = figures(count_metrics(predicted, truth, majority=1, split="test"))

    assert metrics == {
        "accuracy": (pytest.approx(3 / 6, abs=1e-6), pytest.approx(1 / 6, abs=1e-6)),
        "within_1": (pytest.approx(5 / 6, abs=1e-6), pytest.approx(4 / 6, abs=1e-6)),
        "mae_persons": (pytest.approx(4 / 6, abs=1e-6), pytest.approx(11 / 6, abs=1e-6)),
    }


def test_perfect_and_constant_counts():
    truth = np.asarray([0, 1, 1, 2])

    assert {name: value for name, (value, _) in figures(count_metrics(truth, truth, 1, "test")).items()} == {
        "accuracy": 1.0,
        "within_1": 1.0,
        "mae_persons": 0.0,
    }
    for metric in count_metrics(np.full(4, 1), truth, 1, "test"):
        assert metric.value == metric.baseline_value
        assert "always 1, the training part" in metric.baseline_name


@given(scores)
def test_auroc_equals_the_share_of_pairs_in_the_right_order(pairs):
    score, positive = (np.asarray(column) for column in zip(*pairs, strict=True))
    if positive.all() or not positive.any():
        return

    won = [
        1.0 if above > below else 0.5 if above == below else 0.0
        for above in score[positive]
        for below in score[~positive]
    ]

    assert auroc(score, positive) == pytest.approx(np.mean(won))


@given(scores, st.integers(1, 12))
def test_ece_equals_a_plain_loop_over_bins(pairs, bins):
    confidence, right = (np.asarray(column) for column in zip(*pairs, strict=True))

    total = 0.0
    for number in range(bins):
        inside = [
            (said, was)
            for said, was in zip(confidence.tolist(), right.tolist(), strict=True)
            if min(math.floor(said * bins), bins - 1) == number
        ]
        if inside:
            said, was = (sum(column) / len(inside) for column in zip(*inside, strict=True))
            total += len(inside) / len(pairs) * abs(said - was)

    assert ece(confidence, right, bins) == pytest.approx(total)


def test_confidence_figures_of_a_perfect_and_of_a_constant_confidence():
    right = np.asarray([True, True, False, True])

    assert figures(confidence_metrics(right.astype(np.float64), right, usual=0.5, split="test")) == {
        "confidence_auroc": (1.0, 0.5),
        "confidence_ece": (0.0, 0.25),
    }
    assert figures(confidence_metrics(np.full(4, 0.5), right, usual=0.5, split="test")) == {
        "confidence_auroc": (0.5, 0.5),
        "confidence_ece": (0.25, 0.25),
    }


@pytest.mark.parametrize("right", [True, False])
def test_the_area_under_the_curve_is_left_out_where_it_is_not_defined(right):
    metrics = confidence_metrics(np.asarray([0.2, 0.9]), np.asarray([right, right]), usual=0.5, split="test")

    assert [metric.name for metric in metrics] == ["confidence_ece"]


def test_every_figure_carries_its_definition_split_and_sample_count():
    truth, right = standing(3), np.asarray([True, False, True])
    metrics = [
        *pose_metrics(truth, truth, truth[0], "some part"),
        *count_metrics(np.asarray([1, 2, 3]), np.asarray([1, 1, 1]), 1, "some part"),
        *confidence_metrics(np.asarray([0.5, 0.6, 0.7]), right, 0.5, "some part"),
    ]

    for metric in metrics:
        assert metric.n == 3
        assert metric.split == "some part"
        assert len(metric.definition) > 20
    assert {metric.name for metric in metrics} >= LOWER_IS_BETTER


@pytest.mark.parametrize(("name", "better"), [("mpjpe_picture", 0.1), ("mae_persons", 0.1), ("accuracy", 0.9)])
def test_a_figure_beats_its_baseline_only_by_being_better(name, better):
    import msgspec

    metric = count_metrics(np.asarray([1]), np.asarray([1]), 1, "test")[0]
    metric = msgspec.structs.replace(metric, name=name, value=better, baseline_value=0.5)

    assert beats_baseline(metric)
    assert not beats_baseline(msgspec.structs.replace(metric, value=0.5))
    assert not beats_baseline(msgspec.structs.replace(metric, value=1 - better))
