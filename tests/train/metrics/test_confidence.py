import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from cogd.train.metrics.confidence import (
    Usual,
    aurc,
    auroc,
    brier,
    confidence_figures,
    ece,
    r_over_rmax,
    reliability,
    risk_coverage,
    spearman,
)
from cogd.train.metrics.figure import Sample

pytestmark = pytest.mark.train

scores = st.lists(st.tuples(st.integers(0, 6).map(lambda tenth: tenth / 6), st.booleans()), min_size=2, max_size=60)


def columns(pairs) -> tuple[np.ndarray, np.ndarray]:
    said, was = zip(*pairs, strict=True)
    return np.asarray(said), np.asarray(was)


def figures(metrics) -> dict[str, tuple[float, float]]:
    return {metric.name: (metric.value, metric.baseline_value) for metric in metrics}


@given(scores)
def test_auroc_equals_the_share_of_pairs_in_the_right_order(pairs):
    score, positive = columns(pairs)
    assume(positive.any() and not positive.all())

    won = [
        1.0 if above > below else 0.5 if above == below else 0.0
        for above in score[positive]
        for below in score[~positive]
    ]

    assert auroc(score, positive).value() == pytest.approx(np.mean(won))


@given(scores, st.integers(1, 12))
def test_ece_equals_a_plain_loop_over_bins(pairs, bins):
    confidence, right = columns(pairs)

    total = 0.0
    for number in range(bins):
        inside = [(said, was) for said, was in pairs if min(math.floor(said * bins), bins - 1) == number]
        if inside:
            said, was = (sum(column) / len(inside) for column in zip(*inside, strict=True))
            total += len(inside) / len(pairs) * abs(said - was)

    assert ece(confidence, right, bins).value() == pytest.approx(total)


@given(scores)
def test_brier_equals_a_plain_loop(pairs):
    value = brier(*columns(pairs)).value()

    assert value == pytest.approx(sum((said - was) ** 2 for said, was in pairs) / len(pairs))


@given(scores)
def test_spearman_is_scipys(pairs):
    confidence, right = columns(pairs)
    assume(right.any() and not right.all() and len(np.unique(confidence)) > 1)

    assert spearman(confidence, right).value() == pytest.approx(spearmanr(confidence, right).statistic, abs=1e-9)


@given(scores)
def test_the_rank_correlation_by_its_maximum_is_another_name_of_auroc(pairs):
    confidence, right = columns(pairs)
    assume(right.any() and not right.all() and len(np.unique(confidence)) > 1)

    assert r_over_rmax(confidence, right).value() == pytest.approx(2 * auroc(confidence, right).value() - 1)


@pytest.mark.parametrize("wrong", [1, 5, 20, 35, 50, 90])
def test_the_maximum_is_what_the_best_ranking_reaches(wrong):
    """Without ties: sqrt(3 a (1 - a)) but for a correction of the order 1 / n^2; and a perfect ranking is at 1."""
    n = 100
    confidence, right = np.linspace(0.01, 0.99, n), np.arange(n) >= wrong
    accuracy = 1 - wrong / n

    reached = spearmanr(confidence, right).statistic

    assert reached == pytest.approx(math.sqrt(3 * accuracy * (1 - accuracy) * n**2 / (n**2 - 1)))
    assert reached == pytest.approx(math.sqrt(3 * accuracy * (1 - accuracy)), rel=1e-4)
    assert r_over_rmax(confidence, right).value() == pytest.approx(1.0)


def test_a_perfect_confidence_of_two_values_is_at_one_not_above():
    """Uncorrected, ties push r above sqrt(3 a (1 - a)): here r is 1 and that is 0.87."""
    right = np.asarray([True, False] * 20)

    assert spearman(right * 0.8 + 0.1, right).value() == pytest.approx(1.0)
    assert r_over_rmax(right * 0.8 + 0.1, right).value() == pytest.approx(1.0)


def test_one_sure_answer_among_equals_is_no_good_ranking():
    right = np.asarray([True, True, False, True, False, True])
    confidence = np.where(np.arange(6) == 0, 0.99, 0.5)

    assert r_over_rmax(confidence, right).value() == pytest.approx(0.25)


@given(st.lists(st.tuples(st.integers(0, 2).map(lambda third: third / 2), st.booleans()), min_size=1, max_size=6))
def test_aurc_is_the_mean_over_every_order_of_ties(pairs):
    confidence, right = columns(pairs)
    areas = []
    for order in itertools.permutations(range(len(pairs))):
        ranked = [pairs[index] for index in order]
        if all(before[0] >= after[0] for before, after in itertools.pairwise(ranked)):
            wrong = np.cumsum([not was for _, was in ranked])
            areas.append(np.mean(wrong / np.arange(1, len(pairs) + 1)))

    assert aurc(confidence, right).value() == pytest.approx(np.mean(areas))


def test_the_area_is_that_of_the_curve_which_ends_at_the_share_of_wrong_answers():
    rng = np.random.default_rng(0)
    confidence = rng.random(200).round(2)
    right = rng.random(200) < confidence
    coverage, risk = risk_coverage(confidence, right)

    assert risk.mean() == pytest.approx(aurc(confidence, right).value())
    assert (coverage[-1], risk[-1]) == (1.0, pytest.approx((~right).mean()))


@pytest.mark.parametrize("of", [auroc, aurc, spearman, r_over_rmax])
def test_a_window_drawn_twice_is_as_good_as_there_twice(of):
    rng = np.random.default_rng(0)
    confidence = rng.integers(0, 9, 40) / 8
    right = rng.random(40) < confidence
    times = rng.integers(0, 4, 40)

    statistic = of(confidence, right)
    drawn = of(np.repeat(confidence, times), np.repeat(right, times))

    assert statistic.of(times[None].astype(np.float64))[0] == pytest.approx(drawn.value())


def test_confidence_figures_of_a_perfect_and_of_a_constant_confidence():
    right, usual = np.asarray([True, True, False, True]), Usual("half", 0.5)

    assert figures(confidence_figures(right.astype(np.float64), right, usual, Sample("t", 4))) == {
        "confidence_auroc": (1.0, 0.5),
        "confidence_r_over_rmax": (1.0, 0.0),
        "confidence_aurc": (0.0625, 0.25),
        "confidence_brier": (0.0, 0.25),
        "confidence_ece": (0.0, 0.25),
    }
    assert figures(confidence_figures(np.full(4, 0.5), right, usual, Sample("t", 4))) == {
        "confidence_auroc": (0.5, 0.5),  # and no rank correlation: a constant has none
        "confidence_aurc": (0.25, 0.25),
        "confidence_brier": (0.25, 0.25),
        "confidence_ece": (0.25, 0.25),
    }


@pytest.mark.parametrize("right", [True, False])
def test_what_ranks_is_left_out_where_there_is_nothing_to_rank(right):
    both = np.asarray([right, right])
    metrics = confidence_figures(np.asarray([0.2, 0.9]), both, Usual("half", 0.5), Sample("t", 2))

    assert [metric.name for metric in metrics] == ["confidence_brier", "confidence_ece"]


def test_the_bins_of_the_diagram_are_those_of_the_error():
    rng = np.random.default_rng(0)
    confidence = np.concatenate([rng.random(300), [0.0, 1.0]])
    right = rng.random(302) < confidence
    bins = reliability(confidence, right)

    error = sum(one.n * abs(one.confidence - one.accuracy) for one in bins) / 302
    assert error == pytest.approx(ece(confidence, right).value())
    assert sum(one.n for one in bins) == 302
    for one in bins:
        low, high = one.interval
        assert -1e-12 <= low <= one.accuracy <= high <= 1 + 1e-12
