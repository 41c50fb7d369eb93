import numpy as np
import pytest
import torch

from cogd.train.calibration import fit_line, fit_temperature

pytestmark = pytest.mark.train


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def drawn(count=20_000, slope=1.7, offset=-0.6, seed=0):
    """Scores, and answers right as often as a known line says."""
    rng = np.random.default_rng(seed)
    score = rng.normal(0.5, 1.2, count)
    return score, rng.random(count) < sigmoid(slope * score + offset)


def classes_of(logits, seed=1):
    """Classes drawn as logits `[n, classes]` say."""
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return (np.random.default_rng(seed).random((len(logits), 1)) > probabilities.cumsum(axis=1)).sum(axis=1)


def test_a_known_temperature_is_recovered():
    logits = np.random.default_rng(1).normal(0, 2, (20_000, 4))

    assert fit_temperature((logits * 2.5).astype(np.float32), classes_of(logits)) == pytest.approx(2.5, rel=0.03)


def test_the_temperature_is_where_the_loss_is_least():
    logits = np.random.default_rng(2).normal(0, 3, (500, 4)).astype(np.float32)
    labels = classes_of(logits / 2)
    scaled = torch.from_numpy(logits).double()

    def loss(temperature):
        return float(torch.nn.functional.cross_entropy(scaled / temperature, torch.from_numpy(labels)))

    grid = np.geomspace(0.2, 20, 2000)
    least = grid[np.argmin([loss(value) for value in grid])]
    assert fit_temperature(logits, labels) == pytest.approx(least, rel=0.01)


def test_windows_of_untrained_classes_do_not_bend_the_temperature():
    logits = np.random.default_rng(3).normal(0, 3, (3000, 4)).astype(np.float32)
    labels = classes_of(logits / 2)
    unknown = np.random.default_rng(5).random(3000) < 0.3

    fitted = fit_temperature(logits, np.where(unknown, -1, labels))

    assert fitted == pytest.approx(fit_temperature(logits[~unknown], labels[~unknown]), rel=1e-4)
    assert fit_temperature(logits, np.full_like(labels, -1)) == 1.0


def test_a_known_line_is_recovered():
    fitted = fit_line(*drawn())

    assert fitted.informative
    assert fitted.slope == pytest.approx(1.7, rel=0.05)
    assert fitted.offset == pytest.approx(-0.6, abs=0.06)


def test_an_inverted_confidence_is_not_informative():
    score, right = drawn(2000)

    assert not fit_line(-score, right).informative


def test_a_confidence_without_a_meaning_is_hardly_ever_informative():
    rng = np.random.default_rng(2)
    right = rng.random(200) < 0.25

    assert sum(fit_line(rng.normal(size=200), right).informative for _ in range(100)) <= 5


@pytest.mark.parametrize("share", [1.0, 0.0])
def test_where_every_count_is_right_or_none_the_fit_is_finite_and_tells_nothing(share):
    fitted = fit_line(np.random.default_rng(3).normal(size=50), np.full(50, bool(share)))

    assert not fitted.informative
    assert np.isfinite([fitted.slope, fitted.offset]).all()


@pytest.mark.parametrize("count", [1, 30])
def test_a_constant_confidence_tells_nothing(count):
    fitted = fit_line(np.full(count, 3.0), np.arange(count) % 4 == 0)

    assert not fitted.informative
    assert np.isfinite([fitted.slope, fitted.offset]).all()
