import numpy as np
import pytest
import torch

from cogd.train.calibration import calibrate_count

pytestmark = pytest.mark.train


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def drawn(count=20_000, slope=1.7, offset=-0.6, seed=0):
    """Logits, confidence logits off by a known line, and labels: right as often as that line says."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (count, 4))
    best = logits.argmax(axis=1)
    conf = rng.normal(0.5, 1.2, count)
    right = rng.random(count) < sigmoid(slope * conf + offset)
    labels = np.where(right, best, (best + rng.integers(1, 4, count)) % 4)
    return logits.astype(np.float32), conf.astype(np.float32)[:, None], labels


def test_a_known_temperature_is_recovered():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (20_000, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random((20_000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)

    fitted = calibrate_count((logits * 2.5).astype(np.float32), np.zeros((20_000, 1), np.float32), labels)

    assert fitted.temperature == pytest.approx(2.5, rel=0.03)


def test_a_known_line_is_recovered():
    logits, conf, labels = drawn()

    fitted = calibrate_count(logits, conf, labels)

    assert fitted.informative
    assert fitted.slope == pytest.approx(1.7, rel=0.05)
    assert fitted.offset == pytest.approx(-0.6, abs=0.06)


def test_the_temperature_is_where_the_loss_is_least():
    logits, conf, labels = drawn(500)
    scaled = torch.from_numpy(logits).double()

    fitted = calibrate_count(logits, conf, labels)

    def loss(temperature):
        return float(torch.nn.functional.cross_entropy(scaled / temperature, torch.from_numpy(labels)))

    grid = np.geomspace(0.2, 20, 2000)
    assert fitted.temperature == pytest.approx(grid[np.argmin([loss(value) for value in grid])], rel=0.01)


def test_an_inverted_confidence_is_not_informative():
    logits, conf, labels = drawn(2000)

    assert not calibrate_count(logits, -conf, labels).informative


def test_a_confidence_without_a_meaning_is_hardly_ever_informative():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(200, 4)).astype(np.float32)
    labels = rng.integers(0, 4, 200)

    claims = [
        calibrate_count(logits, rng.normal(size=(200, 1)).astype(np.float32), labels).informative for _ in range(100)
    ]

    assert sum(claims) <= 5


@pytest.mark.parametrize("share", [1.0, 0.0])
def test_where_every_count_is_right_or_none_the_fit_is_finite_and_tells_nothing(share):
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(50, 4)).astype(np.float32)
    labels = logits.argmax(axis=1) if share else (logits.argmax(axis=1) + 1) % 4

    fitted = calibrate_count(logits, rng.normal(size=(50, 1)).astype(np.float32), labels)

    assert not fitted.informative
    assert np.isfinite([fitted.temperature, fitted.slope, fitted.offset]).all()
    assert fitted.temperature > 0


@pytest.mark.parametrize("count", [1, 30])
def test_a_constant_confidence_tells_nothing(count):
    logits = np.random.default_rng(4).normal(size=(count, 4)).astype(np.float32)

    fitted = calibrate_count(logits, np.full((count, 1), 3.0, np.float32), np.arange(count) % 4)

    assert not fitted.informative
    assert np.isfinite([fitted.temperature, fitted.slope, fitted.offset]).all()


def test_windows_of_untrained_classes_are_wrong_and_do_not_bend_the_temperature():
    logits, conf, labels = drawn(3000)
    unknown = np.random.default_rng(5).random(3000) < 0.3
    without = calibrate_count(logits[~unknown], conf[~unknown], labels[~unknown])

    fitted = calibrate_count(logits, conf, np.where(unknown, -1, labels))

    assert fitted.temperature == pytest.approx(without.temperature, rel=1e-4)
    assert sigmoid(fitted.slope * 0.5 + fitted.offset) < sigmoid(without.slope * 0.5 + without.offset) - 0.1


def test_a_calibration_part_of_untrained_classes_alone_leaves_the_logits_as_they_are():
    logits, conf, labels = drawn(20)

    fitted = calibrate_count(logits, conf, np.full_like(labels, -1))

    assert fitted.temperature == 1.0
    assert not fitted.informative
