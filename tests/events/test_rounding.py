import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.events.rounding import rounded


@given(st.floats(0, 1e6), st.sampled_from([1, 1000, 1_000_000]))
def test_is_the_nearest(value, parts):
    assert abs(rounded(value, parts) - value) <= 0.5 / parts * (1 + 1e-6)


@given(st.floats(0, 1), st.sampled_from([3, 6]))
def test_is_what_round_gives_but_for_halves(value, places):
    parts = 10**places
    if abs(value * parts % 1 - 0.5) > 1e-6:
        assert rounded(value, parts) == round(value, places)


@given(st.floats(0, 1000))
def test_is_as_short_as_it_looks(value):
    text = json.dumps(rounded(value, 1000))
    assert len(text.partition(".")[2]) <= 3


def test_halves_go_up():
    assert rounded(0.0005, 1000) == 0.001
    assert rounded(2.5, 1) == pytest.approx(3)
