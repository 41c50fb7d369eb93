"""Each term against NumPy, which shares no code with it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cogd.train import losses
from cogd.train.metrics.skeleton import COCO
from tests.train.factory import make_windows

pytestmark = pytest.mark.train

RNG = np.random.default_rng(3)
TRUTH = RNG.uniform(0.2, 0.8, (5, 17, 2))
PREDICTED = TRUTH + RNG.normal(0, 0.08, TRUTH.shape)
WEIGHT = np.asarray([1.0, 0.25, 0.5, 0.0, 0.75])


def tensor(array) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.float64))


def smooth_l1(difference, beta):
    size = np.abs(difference)
    return np.where(size < beta, 0.5 * size**2 / beta, size - 0.5 * beta)


def weighted(per_window, weight=WEIGHT):
    return float((per_window * weight).sum() / weight.sum())


def grad_of(function, start) -> torch.Tensor:
    leaf = tensor(start).requires_grad_()
    function(leaf).backward()
    return leaf.grad


def test_keypoints():
    term = losses.keypoints(tensor(PREDICTED), tensor(TRUTH), tensor(WEIGHT), 0.1)

    assert float(term.value) == pytest.approx(weighted(smooth_l1(PREDICTED - TRUTH, 0.1).mean(axis=(1, 2))))
    assert float(term.amount) == pytest.approx(WEIGHT.sum())
    assert (smooth_l1(PREDICTED - TRUTH, 0.1) != smooth_l1(PREDICTED - TRUTH, 1.0)).any()


def bone_shares(joints):
    lengths = np.asarray([np.linalg.norm(joints[:, a] - joints[:, b], axis=1) for a, b in losses.BONES]).T
    return lengths / lengths.sum(axis=1, keepdims=True)


def test_bones_are_shares_of_the_body():
    term = losses.bones(tensor(PREDICTED), tensor(TRUTH), tensor(WEIGHT))

    expected = weighted(smooth_l1(bone_shares(PREDICTED) - bone_shares(TRUTH), losses.BONE_BETA).mean(axis=1))
    assert float(term.value) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("scale", [0.1, 0.5, 3.0])
def test_bones_do_not_see_how_far_away_a_body_is(scale):
    same = losses.bones(tensor(0.5 + scale * (TRUTH - 0.5)), tensor(TRUTH), tensor(WEIGHT))
    other = losses.bones(tensor(0.5 + scale * (PREDICTED - 0.5)), tensor(TRUTH), tensor(WEIGHT))

    assert float(same.value) < 1e-9
    assert float(other.value) == pytest.approx(
        float(losses.bones(tensor(PREDICTED), tensor(TRUTH), tensor(WEIGHT)).value), rel=1e-3
    )


def test_a_body_that_is_one_point_has_a_finite_gradient():
    gradient = grad_of(
        lambda joints: losses.bones(joints, tensor(TRUTH), tensor(WEIGHT)).value, np.full(TRUTH.shape, 0.5)
    )

    assert torch.isfinite(gradient).all()


def test_temporal_sees_only_motion_that_the_truth_has_not():
    truth_later = TRUTH + RNG.normal(0, 0.05, TRUTH.shape)
    later = PREDICTED + RNG.normal(0, 0.05, TRUTH.shape)
    term = losses.temporal(*map(tensor, (PREDICTED, later, TRUTH, truth_later, WEIGHT)), beta=0.1)

    expected = weighted(smooth_l1((later - PREDICTED) - (truth_later - TRUTH), 0.1).mean(axis=(1, 2)))
    assert float(term.value) == pytest.approx(expected)
    walking = losses.temporal(*map(tensor, (PREDICTED, PREDICTED + 0.3, TRUTH, TRUTH + 0.3, WEIGHT)), beta=0.1)
    assert float(walking.value) == pytest.approx(0, abs=1e-12)


def test_pairs_that_do_not_exist_weigh_nothing():
    nobody = losses.temporal(*map(tensor, (PREDICTED, TRUTH, TRUTH, PREDICTED, np.zeros(5))), beta=0.1)

    assert (float(nobody.value), float(nobody.amount)) == (0, 0)


def test_oks():
    """As COCO's evaluator computes it: e = d^2 / (2 sigma)^2 / area / 2."""
    area = np.prod(TRUTH.max(axis=1) - TRUTH.min(axis=1), axis=1)
    squared = ((PREDICTED - TRUTH) ** 2).sum(axis=2)
    oks = np.exp(-squared / (2 * np.asarray(COCO.sigmas)) ** 2 / area[:, None] / 2).mean(axis=1)

    term = losses.oks(tensor(PREDICTED), tensor(TRUTH), tensor(WEIGHT))

    assert float(term.value) == pytest.approx(weighted(1 - oks))
    assert float(losses.oks(tensor(TRUTH), tensor(TRUTH), tensor(WEIGHT)).value) == pytest.approx(0, abs=1e-12)


def test_heatmaps_have_their_peak_at_the_joint_and_end_after_three_deviations():
    truth = np.asarray([[[0.25, 0.5], [1.0, 0.0]]])
    target = losses.gaussian_heatmaps(tensor(truth), (41, 21)).numpy()[0]

    for joint, (x, y) in enumerate(truth[0]):
        for row in range(41):
            for column in range(21):
                square = (column - x * 20) ** 2 + (row - y * 40) ** 2
                expected = math.exp(-square / 8) if square <= 36 else 0.0
                assert target[joint, row, column] == pytest.approx(expected), (row, column)
    assert target[0].max() == target[0, 20, 5] == 1


def test_heatmap_loss():
    predicted = RNG.uniform(size=(5, 17, 12, 10))
    target = losses.gaussian_heatmaps(tensor(TRUTH), (12, 10)).numpy()

    term = losses.heatmaps(tensor(predicted), tensor(TRUTH), tensor(WEIGHT))

    assert float(term.value) == pytest.approx(weighted(((predicted - target) ** 2).mean(axis=(1, 2, 3))))


@pytest.mark.parametrize("form", ["laplace", "gaussian"])
def test_likelihoods_are_those_of_the_distributions(form):
    stats = pytest.importorskip("scipy.stats")
    log_scale = RNG.normal(-2, 0.5, (5, 17))
    law = stats.laplace if form == "laplace" else stats.norm
    density = law.logpdf(PREDICTED - TRUTH, scale=np.exp(log_scale)[..., None])

    term = losses.likelihood(tensor(PREDICTED), tensor(log_scale), tensor(TRUTH), tensor(WEIGHT), form)

    assert float(term.value) == pytest.approx(weighted(-density.mean(axis=(1, 2))))


@pytest.mark.parametrize(("form", "best"), [("laplace", 0.06), ("gaussian", 0.1)])
def test_the_likeliest_scale_is_the_size_of_the_errors(form, best):
    """Of errors 0.02 and 0.1414..: mean absolute, and root mean square of the two."""
    errors = {"laplace": (0.02, 0.1), "gaussian": (math.sqrt(0.002), math.sqrt(0.018))}[form]
    truth, predicted = np.zeros((2, 1, 2)), np.asarray(errors)[:, None, None] * np.ones((2, 1, 2))

    def loss(log_scale):
        return losses.likelihood(tensor(predicted), log_scale.expand(2, 1), tensor(truth), tensor([1, 1]), form).value

    assert abs(float(grad_of(loss, math.log(best)))) < 1e-9
    assert float(grad_of(loss, math.log(best) - 0.1)) < 0 < float(grad_of(loss, math.log(best) + 0.1))


def test_a_scale_beyond_reason_is_taken_for_the_limit():
    def loss(log_scale):
        return float(
            losses.likelihood(
                tensor(PREDICTED), tensor(np.full((5, 17), log_scale)), tensor(TRUTH), tensor(WEIGHT), "gaussian"
            ).value
        )

    assert loss(-500.0) == loss(-7.0)
    assert loss(500.0) == loss(3.0)


LOGITS = RNG.normal(0, 2, (6, 4))
CLASSES = torch.tensor([0, 3, 3, 0, 0, 1])
CLASS_WEIGHT = losses.class_weights(CLASSES, 4).double()


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_cross_entropy(smoothing):
    weight, log_p = CLASS_WEIGHT.numpy(), log_softmax(LOGITS)
    rows = weight[CLASSES]
    hard = -(rows * log_p[np.arange(6), CLASSES]).sum() / rows.sum()
    soft = -(weight * log_p).sum() / rows.sum() / 4

    term = losses.cross_entropy(tensor(LOGITS), CLASSES, CLASS_WEIGHT, smoothing)

    assert float(term.value) == pytest.approx((1 - smoothing) * hard + smoothing * soft)
    assert float(term.amount) == pytest.approx(rows.sum())


def test_smoothing_gives_nothing_to_classes_that_never_occur():
    gradient = grad_of(lambda logits: losses.cross_entropy(logits, CLASSES, CLASS_WEIGHT, 0.3).value, LOGITS)
    p = np.exp(log_softmax(LOGITS))

    assert CLASS_WEIGHT[2] == 0
    assert (gradient[:, 2] > 0).all()  # only pushed down, as an untrained class is by any true one
    weights = CLASS_WEIGHT[CLASSES].numpy()
    pushed = (weights * 0.7 + 0.3 / 4 * CLASS_WEIGHT.sum().item()) / weights.sum()
    np.testing.assert_allclose(gradient[:, 2], pushed * p[:, 2], rtol=1e-9)


def test_class_weights_make_classes_weigh_the_same_together():
    assert losses.class_weights(torch.tensor([0, 0, 0, 2]), 4).tolist() == pytest.approx([4 / 6, 0, 2, 0])


RIGHT = np.asarray([1.0, 0.0, 0.0, 1.0, 1.0, 0.0])
CONF = RNG.normal(0, 1.5, 6)


def test_confidence_and_brier():
    p = 1 / (1 + np.exp(-CONF))

    assert float(losses.confidence(tensor(CONF), tensor(RIGHT)).value) == pytest.approx(
        -np.mean(np.where(RIGHT > 0, np.log(p), np.log(1 - p)))
    )
    assert float(losses.brier(tensor(CONF), tensor(RIGHT)).value) == pytest.approx(np.mean((p - RIGHT) ** 2))


def test_brier_has_the_gradient_of_its_formula():
    p = 1 / (1 + np.exp(-CONF))

    gradient = grad_of(lambda logits: losses.brier(logits, tensor(RIGHT)).value, CONF)

    np.testing.assert_allclose(gradient, 2 * (p - RIGHT) * p * (1 - p) / 6, rtol=1e-9)
    assert (gradient != 0).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary(smoothing):
    labels, weight = torch.tensor([1, 0, 0, 1, 1, 0]), np.asarray([0.6, 3.0])
    target = np.where(labels.numpy() == 1, 1 - smoothing / 2, smoothing / 2)
    p = 1 / (1 + np.exp(-CONF))
    each = -(target * np.log(p) + (1 - target) * np.log(1 - p))

    term = losses.binary(tensor(CONF), labels, tensor(weight), smoothing)

    assert float(term.value) == pytest.approx(weighted(each, weight[labels]))


@settings(deadline=None, max_examples=40)
@given(cut=st.integers(1, 4), seed=st.integers(0, 1000))
def test_a_mean_is_the_mean_of_its_parts_by_their_amounts(cut, seed):
    """On which training in several processes rests."""
    rng = np.random.default_rng(seed)
    predicted, truth, weight = rng.uniform(size=(5, 17, 2)), rng.uniform(size=(5, 17, 2)), rng.uniform(0.1, 1, 5)
    classes = torch.from_numpy(rng.integers(0, 3, 5))
    class_weight = tensor([0.5, 1.0, 2.5])

    def terms(rows):
        pose = (tensor(predicted)[rows], tensor(truth)[rows], tensor(weight)[rows])
        logits = tensor(predicted)[rows, :3, 0]
        return [
            losses.keypoints(*pose, 0.1),
            losses.bones(*pose),
            losses.oks(*pose),
            losses.cross_entropy(logits, classes[rows], class_weight, 0.1),
            losses.confidence(logits[:, 0], (classes[rows] == 1).double()),
            losses.brier(logits[:, 0], (classes[rows] == 1).double()),
            losses.binary(logits[:, 0], (classes[rows] == 1).long(), class_weight[:2]),
        ]

    parts = zip(terms(slice(0, 5)), terms(slice(0, cut)), terms(slice(cut, 5)), strict=True)
    for whole, one, other in parts:
        assert float(whole.amount) == pytest.approx(float(one.amount + other.amount))
        mean = (one.value * one.amount + other.value * other.amount) / whole.amount
        assert float(whole.value) == pytest.approx(float(mean))


def test_the_labels_of_windows_are_what_the_losses_take():
    """float32 as the data have it, and in the shapes that they have."""
    windows = make_windows(4)
    term = losses.oks(
        torch.full((4, 17, 2), 0.5), torch.from_numpy(windows.keypoints), torch.from_numpy(windows.weight)
    )

    assert 0 < float(term.value) < 1
    assert term.value.dtype == torch.float32
