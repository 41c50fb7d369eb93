"""Several nodes' probabilities made one: the formula, and what must hold whatever they say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.heads.count.fusion import LEAST_CONFIDENCE, LEAST_PROBABILITY, fuse

CONFIDENCES = st.floats(0, 1)


@st.composite
def nodes(draw, least=1):
    """Distributions of some nodes over the same classes, and their confidences."""
    classes, count = draw(st.integers(2, 6)), draw(st.integers(least, 5))
    rows = draw(
        st.lists(st.lists(st.floats(0.001, 1), min_size=classes, max_size=classes), min_size=count, max_size=count)
    )
    confidences = draw(st.lists(CONFIDENCES, min_size=count, max_size=count))
    return [[value / sum(row) for value in row] for row in rows], confidences


@given(nodes(least=2))
def test_it_is_the_weighted_sum_of_the_logarithms(given_):
    distributions, confidences = given_
    weights = np.maximum(confidences, 1e-3)
    logs = (np.log(np.maximum(distributions, 1e-6)) * weights[:, None]).sum(axis=0) / weights.sum()
    np.testing.assert_allclose(fuse(distributions, confidences), np.exp(logs) / np.exp(logs).sum(), rtol=1e-9)
    assert (LEAST_CONFIDENCE, LEAST_PROBABILITY) == (1e-3, 1e-6)


@given(nodes())
def test_it_is_a_distribution(given_):
    fused = fuse(*given_)
    assert math.fsum(fused) == pytest.approx(1)
    assert min(fused) >= 0


@given(nodes(), st.randoms(use_true_random=False))
def test_the_order_of_the_nodes_does_not_matter(given_, random):
    distributions, confidences = given_
    order = list(range(len(distributions)))
    random.shuffle(order)
    shuffled = fuse([distributions[n] for n in order], [confidences[n] for n in order])
    np.testing.assert_allclose(shuffled, fuse(distributions, confidences), rtol=1e-12)


@given(nodes())
def test_of_one_node_it_is_what_that_said(given_):
    distributions, confidences = given_
    assert fuse(distributions[:1], confidences[:1]) == distributions[0]


@given(nodes(), st.integers(2, 5))
def test_agreement_does_not_sharpen(given_, count):
    """Nodes that say the same have seen the same: no new evidence."""
    (one, *_), confidences = given_
    np.testing.assert_allclose(fuse([one] * count, confidences[:1] * count), one, rtol=1e-9)


@given(nodes(least=2))
def test_without_confidences_all_weigh_the_same(given_):
    distributions, confidences = given_
    equal = fuse(distributions, [0.5] * len(distributions))
    np.testing.assert_allclose(fuse(distributions, [None] * len(distributions)), equal, rtol=1e-12)
    np.testing.assert_allclose(fuse(distributions, [*confidences[1:], None]), equal, rtol=1e-12)


@given(nodes(least=2))
def test_a_class_that_all_hold_for_more_probable_than_another_is_so(given_):
    distributions, confidences = given_
    fused = fuse(distributions, confidences)
    for one in range(len(fused)):
        for other in range(len(fused)):
            if all(row[one] >= row[other] for row in distributions):
                assert fused[one] >= fused[other] * (1 - 1e-9)


def test_the_surer_node_prevails():
    sure, unsure = [0.1, 0.9], [0.8, 0.2]
    assert fuse([sure, unsure], [0.9, 0.1])[1] > 0.8
    assert fuse([sure, unsure], [0.1, 0.9])[1] < 0.3
    assert fuse([sure, unsure], [0.0, 0.0]) == pytest.approx(fuse([sure, unsure], [None, None]))


def test_what_one_node_excludes_is_unlikely_and_not_impossible():
    excluded, likely = [1.0, 0.0], [0.02, 0.98]
    fused = fuse([excluded, likely], [None, None])
    assert 0 < fused[1] < 0.01
    assert fuse([excluded, *[likely] * 9], [None] * 10)[1] > 0.5
