"""Order and syntax of versions."""

import itertools

import pytest

from cogd.bundle.semver import precedence

# Section 11 of the specification gives this chain from 1.0.0-alpha on.
ASCENDING = [
    "0.0.0-0",
    "0.0.0",
    "0.9.10",
    "0.10.9",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
]


def test_order():
    for lower, higher in itertools.combinations(ASCENDING, 2):
        assert precedence(lower) < precedence(higher)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "1",
            "1.2",
            "01.2.3",
            "1.2.3-",
            "1.2.3-01",
            "1.2.3-a..b",
            "1.2.3+build",
            "v1.2.3",
            "1.2.3\n",
            " 1.2.3",
        ),
        *("1.2.٣", "1.2.3-ä", "1.2." + "9" * 5000, "1.2.3-" + "a" * 60, "1.2.3.4", "-1.2.3"),
    ],
)
def test_refused(text):
    with pytest.raises(ValueError, match="not a semantic version"):
        precedence(text)


@pytest.mark.parametrize("text", ["1.2.3-0a", "1.2.3--", "1.2.3-1-1.0", "10.20.30-x.7.z"])
def test_accepted(text):
    assert precedence(text) < precedence(text.split("-")[0])
