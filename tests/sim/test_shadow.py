import math

import numpy as np
import pytest

from cogd.sim.shadow import crossings, shadow

WAVELENGTH_M = 299_792_458.0 / 2.437e9
START, END = (0.5, 3.0, 1.0), (4.5, 3.0, 1.0)


def of(x, y, top=1.8, half_width=0.25) -> float:
    arguments = [np.asarray(value, dtype=np.float32) for value in (START, END, (x, y, top), half_width)]
    return float(shadow(*arguments))


def by_hand(before, behind, aside, top=1.8, half_width=0.25) -> float:
    """TR 38.901 7.6.4.2 in plain arithmetic."""

    def edge(offset: float) -> float:
        detour = math.hypot(before, offset) + math.hypot(behind, offset) - before - behind
        return math.copysign(math.atan(math.pi / 2 * math.sqrt(math.pi / WAVELENGTH_M * detour)) / math.pi, offset)

    wide = edge(aside + half_width) - edge(aside - half_width)
    return 1 - wide * (edge(top - 1.0) + edge(1.0))


@pytest.mark.parametrize("aside", [0.0, 0.1, 0.3, 0.6, 1.5])
@pytest.mark.parametrize("x", [1.2, 2.5, 4.0])
def test_is_the_formula(x, aside):
    assert of(x, 3.0 + aside) == pytest.approx(by_hand(x - 0.5, 4.5 - x, aside), abs=2e-3)


def test_is_deep_on_the_line_and_gone_away_from_it():
    assert of(2.5, 3.0) < 0.6
    assert of(0.9, 3.0) < of(2.5, 3.0)  # close to an antenna a body hides more
    assert of(2.5, 5.0) == pytest.approx(1.0, abs=0.03)


def test_ends_behind_the_devices():
    assert of(6.5, 3.0) == 1.0
    assert of(0.2, 3.0) == 1.0


def test_of_a_body_lower_than_the_line_is_slight():
    assert of(2.5, 3.0, top=0.3) > 0.85


def test_grows_with_the_body():
    assert of(2.5, 3.0, half_width=0.3) < of(2.5, 3.0, half_width=0.15)


def test_paths_cross_walls_only_where_they_meet():
    walls = np.asarray([(3.0, 2.0, 3.0, 4.0), (3.0, 5.0, 3.0, 6.0)], dtype=np.float32)
    start = np.asarray([START, START, (0.5, 5.5, 1.0)], dtype=np.float32)
    end = np.asarray([END, (2.9, 3.0, 1.0), (4.5, 5.5, 1.0)], dtype=np.float32)
    assert crossings(start, end, walls).tolist() == [[True, False], [False, False], [False, True]]
