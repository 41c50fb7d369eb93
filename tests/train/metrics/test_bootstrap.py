import msgspec
import numpy as np
import pytest
from scipy.stats import bootstrap

from cogd.train.metrics.bootstrap import Groups, OfSums, OfWeights, coarsest, interval, ratio
from cogd.train.metrics.figure import Baseline, Definition, Sample, beats_baseline, figure, verdict

pytestmark = pytest.mark.train

SHARE = Definition("share", "share of ones among all windows", "higher")


def test_it_agrees_with_scipys_where_every_window_is_its_own_group():
    values = np.random.default_rng(0).exponential(size=300)
    mine = interval(ratio(values), Groups(np.arange(300), "windows"))
    scipys = bootstrap((values,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(1))

    assert mine.low == pytest.approx(scipys.confidence_interval.low, abs=0.01)
    assert mine.high == pytest.approx(scipys.confidence_interval.high, abs=0.01)


def test_it_is_the_same_each_time():
    statistic, groups = ratio(np.arange(50)), Groups(np.arange(50) // 5, "sessions")

    assert interval(statistic, groups) == interval(statistic, groups)


def test_windows_that_go_together_are_drawn_together():
    """Ten sessions of a hundred equal windows say as little as ten windows."""
    values = np.repeat([0, 1] * 5, 100)
    by_window = interval(ratio(values), Groups(np.arange(1000), "windows"))
    by_session = interval(ratio(values), Groups(np.repeat(np.arange(10), 100), "sessions"))

    assert by_session.high - by_session.low > 5 * (by_window.high - by_window.low)
    assert by_session.text == "95 %, expanded percentile bootstrap, 10 sessions drawn 1000 times"


def test_it_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        session = rng.normal(size=30)
        values = np.repeat(session, 4) + rng.normal(size=120)
        found = interval(ratio(values), Groups(np.repeat(np.arange(30), 4), "sessions"))
        held += found.low <= 0 <= found.high

    assert 85 <= held <= 100


def test_of_few_groups_it_is_wider_than_the_percentiles():
    """By which it holds the truth in 9 of 10 cases, where plain percentiles of six groups do in less."""
    rng = np.random.default_rng(0)
    held = plain = 0
    for _ in range(200):
        values = rng.normal(size=6)
        found = interval(ratio(values), Groups(np.arange(6), "rooms"))
        held += found.low <= 0 <= found.high
        resampled = rng.choice(values, (1000, 6)).mean(axis=1)
        low, high = np.percentile(resampled, [2.5, 97.5])
        plain += low <= 0 <= high

    assert held >= 180 > plain


def test_sums_and_weights_are_two_ways_to_one_figure():
    rng = np.random.default_rng(0)
    values, groups = rng.random(60), Groups(rng.integers(3, 15, 60), "rooms")
    by_sums = interval(ratio(values), groups)
    by_weights = interval(OfWeights(60, lambda weights: (weights @ values) / weights.sum(axis=1)), groups)

    assert by_weights.low == pytest.approx(by_sums.low)
    assert by_weights.high == pytest.approx(by_sums.high)


def test_many_windows_are_taken_in_portions(monkeypatch):
    statistic, groups = OfWeights(60, lambda weights: weights.max(axis=1)), Groups(np.arange(60), "windows")
    whole = interval(statistic, groups)
    monkeypatch.setattr("cogd.train.metrics.bootstrap._CHUNK", 700)

    assert interval(statistic, groups) == whole


def test_a_figure_that_is_often_undefined_has_no_interval():
    few = OfSums(np.asarray([[1.0, 1.0]] + [[0.0, 0.0]] * 9), lambda sums: sums[..., 0] / sums[..., 1])

    assert few.value() == 1.0
    assert interval(few, Groups(np.arange(10), "rooms")) is None


@pytest.mark.parametrize("groups", [None, Groups(np.zeros(10, dtype=np.int64), "rooms")])
def test_of_one_group_nothing_is_known(groups):
    assert interval(ratio(np.arange(10)), groups) is None


def test_the_coarsest_kind_of_group_that_there_is_enough_of():
    rooms, sessions = Groups(np.arange(20) // 10, "rooms"), Groups(np.arange(20) // 2, "sessions")

    assert coarsest([rooms, sessions]) is sessions
    assert coarsest([sessions, rooms]) is sessions
    assert coarsest([rooms]) is None


def test_a_figure_is_made_of_definition_statistic_baseline_and_sample():
    (metric,) = figure(SHARE, ratio(np.asarray([1, 1, 0])), Baseline("a coin", 0.5), Sample("test", 3))

    assert msgspec.to_builtins(metric) == {
        "name": "share",
        "definition": "share of ones among all windows",
        "split": "test",
        "value": 0.666667,
        "baseline_name": "a coin",
        "baseline_value": 0.5,
        "n": 3,
        "better": "higher",
    }


@pytest.mark.parametrize(
    ("statistic", "baseline"),
    [(ratio(np.ones(3), np.zeros(3)), 0.5), (ratio(np.ones(3)), float("nan"))],
)
def test_what_is_not_defined_is_no_figure(statistic, baseline):
    assert figure(SHARE, statistic, Baseline("b", baseline), Sample("test", 3)) == []
    assert figure(SHARE, ratio(np.empty(0)), Baseline("b", 0.5), Sample("test", 0)) == []


@pytest.mark.parametrize(
    ("better", "value", "low", "high", "verdict_is"),
    [
        ("higher", 0.6, 0.55, 0.65, "better"),
        ("higher", 0.6, 0.45, 0.65, "better, not beyond doubt"),
        ("higher", 0.6, None, None, "better, not beyond doubt"),
        ("higher", 0.5, 0.5, 0.6, "NOT BETTER"),
        ("higher", 0.4, 0.3, 0.45, "NOT BETTER"),
        ("lower", 0.4, 0.3, 0.45, "better"),
        ("lower", 0.4, 0.3, 0.55, "better, not beyond doubt"),
        ("lower", 0.6, 0.55, 0.65, "NOT BETTER"),
        (None, 0.6, 0.55, 0.65, "not said"),
    ],
)
def test_the_definition_says_what_is_better(better, value, low, high, verdict_is):
    (metric,) = figure(SHARE, ratio(np.ones(3)), Baseline("a coin", 0.5), Sample("test", 3))
    text = None if low is None else "95 %"
    metric = msgspec.structs.replace(metric, value=value, low=low, high=high, interval=text, better=better)

    assert verdict(metric) == verdict_is
    assert beats_baseline(metric) == {"b": True, "N": False, "n": None}[verdict_is[0]]
