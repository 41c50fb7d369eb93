import math

import numpy as np
import pytest

from cogd.csi.tones import HT_TONES
from cogd.sim.radio import JOINT_RCS_M2, TONE_HZ, line_of_sight_shadow, scattered_gain, static_gain
from cogd.sim.room import make_room

from .factory import bare_room

C_M_S = 299_792_458.0
WAVELENGTH_M = C_M_S / 2.437e9


def phase_slope_per_hz(gain: np.ndarray) -> float:
    """Slope of the phase over frequency, rad/Hz."""
    return float(np.polyfit(TONE_HZ, np.unwrap(np.angle(gain)), 1)[0])


def test_the_tones_are_those_of_channel_6():
    assert TONE_HZ[0] == 2.437e9 - 28 * 312_500
    assert TONE_HZ[-1] == 2.437e9 + 28 * 312_500
    assert len(TONE_HZ) == len(HT_TONES) == 56
    assert (np.diff(TONE_HZ) > 0).all()


class TestFreeSpace:
    @pytest.mark.parametrize("length_m", [1.0, 4.0, 9.5])
    def test_has_friis_amplitude_and_the_phase_of_its_length(self, length_m):
        line, others = static_gain(bare_room(transmitter=(0, 3, 1), node=(length_m, 3, 1)), 0)
        np.testing.assert_allclose(np.abs(line), WAVELENGTH_M / (4 * math.pi * length_m), rtol=1e-12)
        np.testing.assert_allclose(line / np.abs(line), np.exp(-2j * math.pi * TONE_HZ * length_m / C_M_S), atol=1e-6)
        assert phase_slope_per_hz(line) == pytest.approx(-2 * math.pi * length_m / C_M_S, rel=1e-6)
        assert not others.any()

    def test_halves_with_twice_the_distance(self):
        near, far = (static_gain(bare_room(transmitter=(0, 3, 1), node=(x, 3, 1)), 0)[0] for x in (2, 4))
        np.testing.assert_allclose(np.abs(near), 2 * np.abs(far))


class TestAWall:
    @pytest.mark.parametrize(
        ("wall", "image"),
        [
            (0, (-0.5, 3.0, 1.0)),
            (1, (9.5, 3.0, 1.0)),
            (2, (0.5, -3.0, 1.0)),
            (3, (0.5, 9.0, 1.0)),
            (4, (0.5, 3.0, -1.0)),
            (5, (0.5, 3.0, 4.0)),
        ],
    )
    def test_is_a_mirror(self, wall, image):
        """The path is as long as the line from the transmitter's mirror image."""
        reflection = tuple(0.4 if index == wall else 0.0 for index in range(6))
        _, others = static_gain(bare_room(reflection=reflection, node=(4.5, 1.0, 1.2)), 0)
        length_m = math.dist(image, (4.5, 1.0, 1.2))
        np.testing.assert_allclose(np.abs(others), 0.4 * WAVELENGTH_M / (4 * math.pi * length_m), rtol=1e-9)
        assert phase_slope_per_hz(others) == pytest.approx(-2 * math.pi * length_m / C_M_S, rel=1e-6)
        straight = np.exp(-2j * math.pi * TONE_HZ * length_m / C_M_S)
        np.testing.assert_allclose(others / np.abs(others), -straight, atol=1e-6)  # a mirror turns the phase around


class TestAScatterer:
    def test_follows_the_bistatic_radar_equation(self):
        point, rcs_m2 = (2.0, 1.0, 0.5), 0.3
        room = bare_room()
        there, back = math.dist((0.5, 3, 1), point), math.dist((4.5, 3, 1), point)
        gain = scattered_gain(room, 0, np.asarray([[point]]), np.asarray([rcs_m2]))
        assert gain.shape == (1, 56)
        power = rcs_m2 * WAVELENGTH_M**2 / ((4 * math.pi) ** 3 * there**2 * back**2)
        np.testing.assert_allclose(np.abs(gain[0]) ** 2, power, rtol=1e-9)
        assert phase_slope_per_hz(gain[0]) == pytest.approx(-2 * math.pi * (there + back) / C_M_S, rel=1e-6)

    def test_adds_up_with_others(self):
        room, points = bare_room(), np.random.default_rng(1).uniform(1, 4, size=(3, 5, 3))
        rcs = np.linspace(0.1, 0.5, 5)
        together = scattered_gain(room, 0, points, rcs)
        alone = sum(scattered_gain(room, 0, points[:, k : k + 1], rcs[k : k + 1]) for k in range(5))
        np.testing.assert_allclose(together, alone)

    def test_that_stands_still_is_part_of_the_room(self):
        _, others = static_gain(bare_room(furniture=[(2.0, 1.0, 0.5, 0.3)]), 0)
        gain = scattered_gain(bare_room(), 0, np.asarray([[(2.0, 1.0, 0.5)]]), np.asarray([0.3]))[0]
        np.testing.assert_allclose(others, gain)

    def test_at_an_antenna_stays_finite(self):
        gain = scattered_gain(bare_room(), 0, np.asarray([[(0.5, 3.0, 1.0)]]), np.asarray([0.3]))
        assert np.isfinite(gain).all()


class TestTheShadow:
    room = bare_room()

    def of(self, *bodies) -> float:
        return float(line_of_sight_shadow(self.room, 0, np.asarray([bodies], dtype=np.float64))[0])

    def test_is_deepest_on_the_line_and_gone_away_from_it(self):
        assert self.of((2.5, 3.0, 1.0)) == pytest.approx(0.25)
        assert self.of((2.5, 3.3, 1.0)) == pytest.approx(1 - 0.75 / math.e)
        assert self.of((2.5, 5.0, 1.0)) == pytest.approx(1.0, abs=1e-9)

    def test_ends_behind_the_devices(self):
        assert self.of((6.5, 3.0, 1.0)) == pytest.approx(1.0, abs=1e-9)

    def test_of_two_bodies_multiplies(self):
        assert self.of((2.0, 3.0, 1.0), (3.0, 3.0, 1.0)) == pytest.approx(0.25**2)


def test_a_body_reflects_about_as_much_as_an_adult():
    assert len(JOINT_RCS_M2) == 17
    assert JOINT_RCS_M2.sum() == pytest.approx(0.9)


def test_every_node_of_a_room_has_a_channel_of_its_own():
    room = make_room(3, 4)
    gains = [sum(static_gain(room, node)) for node in range(4)]
    for gain in gains:
        assert np.isfinite(gain).all()
        assert (np.abs(gain) > 0).all()
    assert len({gain.tobytes() for gain in gains}) == 4
