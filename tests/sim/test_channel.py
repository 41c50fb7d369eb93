import math

import numpy as np
import pytest

from cogd.csi.tones import HT_TONES
from cogd.sim.channel import Channel
from cogd.sim.materials import MATERIALS
from cogd.sim.radio import TONE_HZ, tone_basis
from cogd.sim.room import make_room

from .factory import bare_room

C_M_S = 299_792_458.0
WAVELENGTH_M = C_M_S / 2.437e9
BASIS = tone_basis(tuple(float(tone) for tone in HT_TONES))
NOBODY = np.empty((1, 0, 3), np.float32)


def slope_per_hz(gain: np.ndarray) -> float:
    """Slope of the phase over frequency, rad/Hz."""
    return float(np.polyfit(TONE_HZ, np.unwrap(np.angle(gain)), 1)[0])


def points(*places) -> np.ndarray:
    return np.asarray([places], dtype=np.float32)


class TestTheEmptyRoom:
    def test_has_the_line_of_sight(self):
        channel = Channel(bare_room(transmitter=(0, 3, 1), node=(4.0, 3, 1)), 0)
        line = channel.straight[0] @ BASIS
        np.testing.assert_allclose(np.abs(line), WAVELENGTH_M / (4 * math.pi * 4.0), rtol=1e-3)
        assert slope_per_hz(line) == pytest.approx(-2 * math.pi * 4.0 / C_M_S, rel=1e-3)
        assert not channel.straight[1:].any()
        assert not channel.others.any()

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
    def test_has_walls_that_are_mirrors(self, wall, image):
        """The path is as long as the line from the transmitter's mirror image."""
        reflection = tuple(0.4 if index == wall else 0.0 for index in range(6))
        channel = Channel(bare_room(reflection=reflection, node=(4.5, 1.0, 1.2)), 0)
        path = channel.straight[1 + wall] @ BASIS
        length_m = math.dist(image, (4.5, 1.0, 1.2))
        plain = -0.4 * WAVELENGTH_M / (4 * math.pi * length_m) * np.exp(-2j * math.pi * TONE_HZ * length_m / C_M_S)
        np.testing.assert_allclose(path, plain, atol=1e-3 * np.abs(plain).max())

    def test_has_paths_by_two_walls(self):
        """Between two mirrors that face each other there are two, each as long as to the image of an image."""
        channel = Channel(bare_room(reflection=(0.5, 0.5, 0, 0, 0, 0)), 0)
        node = (4.5, 3.0, 1.0)
        images = [(0.5 + 2 * 5.0, 3.0, 1.0), (0.5 - 2 * 5.0, 3.0, 1.0)]
        lengths = np.asarray([math.dist(image, node) for image in images])
        plain = (
            (0.25 * WAVELENGTH_M / (4 * math.pi * lengths))[:, None]
            * np.exp(-2j * math.pi * np.outer(lengths, TONE_HZ / C_M_S))
        ).sum(axis=0)
        np.testing.assert_allclose(channel.others @ BASIS, plain, atol=1e-3 * np.abs(plain).max())

    def test_has_furniture_that_scatters(self):
        room = bare_room(furniture=[(2.0, 1.0, 0.5, 0.3)])
        alone = Channel(bare_room(), 0).scattered(points((2.0, 1.0, 0.5)), np.asarray([0.3], np.float32))[0]
        np.testing.assert_allclose(Channel(room, 0).others, alone, rtol=1e-4)


class TestAScatterer:
    def test_without_walls_follows_the_bistatic_radar_equation(self):
        point, rcs_m2 = (2.0, 1.0, 0.5), 0.3
        there, back = math.dist((0.5, 3, 1), point), math.dist((4.5, 3, 1), point)
        gain = Channel(bare_room(), 0).scattered(points(point), np.asarray([rcs_m2], np.float32))[0] @ BASIS
        power = rcs_m2 * WAVELENGTH_M**2 / ((4 * math.pi) ** 3 * there**2 * back**2)
        np.testing.assert_allclose(np.abs(gain) ** 2, power, rtol=2e-3)
        assert slope_per_hz(gain) == pytest.approx(-2 * math.pi * (there + back) / C_M_S, rel=1e-3)

    def test_is_also_reached_and_left_by_way_of_a_wall(self):
        """Thirteen paths; here one wall, so three: straight, by the source's image, by the node's image."""
        point, rcs_m2 = (2.0, 1.0, 0.5), 0.3
        gain = Channel(bare_room(reflection=(0, 0, 0.5, 0, 0, 0)), 0).scattered(
            points(point), np.asarray([rcs_m2], np.float32)
        )
        source, node = (0.5, 3.0, 1.0), (4.5, 3.0, 1.0)
        ways = [(source, node, 1.0), ((0.5, -3.0, 1.0), node, -0.5), (source, (4.5, -3.0, 1.0), -0.5)]
        plain = np.zeros(56, dtype=complex)
        for start, end, factor in ways:
            there, back = math.dist(start, point), math.dist(point, end)
            height = factor * WAVELENGTH_M * math.sqrt(rcs_m2) / ((4 * math.pi) ** 1.5 * there * back)
            plain += height * np.exp(-2j * math.pi * TONE_HZ * (there + back) / C_M_S)
        np.testing.assert_allclose(gain[0] @ BASIS, plain, atol=2e-3 * np.abs(plain).max())

    def test_adds_up_with_others(self):
        channel, places = Channel(make_room(3, 1), 0), np.random.default_rng(1).uniform(1, 4, size=(3, 5, 3))
        places, rcs = places.astype(np.float32), np.linspace(0.1, 0.5, 5).astype(np.float32)
        together = channel.scattered(places, rcs)
        alone = sum(channel.scattered(places[:, k : k + 1], rcs[k : k + 1]) for k in range(5))
        np.testing.assert_allclose(together, alone, atol=1e-6 * np.abs(together).max() * 50)

    def test_at_an_antenna_stays_finite(self):
        gain = Channel(bare_room(), 0).scattered(points((0.5, 3.0, 1.0)), np.asarray([0.3], np.float32))
        assert np.isfinite(gain).all()

    def test_whose_legs_are_dimmed_is_dimmed_by_both(self):
        channel, place = Channel(bare_room(), 0), points((2.0, 1.0, 0.5))
        rcs, half = np.asarray([0.3], np.float32), np.asarray([[0.5]], np.float32)
        np.testing.assert_allclose(
            channel.scattered(place, rcs, (half, half)), channel.scattered(place, rcs) / 4, rtol=1e-5
        )


class TestBodies:
    def test_shadow_the_line_of_sight_and_what_a_wall_throws_back(self):
        channel = Channel(bare_room(reflection=(0, 0, 0.5, 0, 0, 0)), 0)
        width = np.asarray([0.25], np.float32)
        on_line = channel.shadows(points((2.5, 3.0, 1.8)), width)[0]
        assert on_line[0] < 0.6
        assert on_line[3] > 0.9
        before_wall = channel.shadows(points((2.5, 0.3, 1.8)), width)[0]
        assert before_wall[0] > 0.95
        assert before_wall[3] < 0.6
        after_wall = channel.shadows(points((3.5, 1.5, 1.8)), width)[0]  # on the way from the wall to the node
        assert after_wall[3] < 0.7

    def test_shadow_each_others_paths_but_not_their_own(self):
        channel = Channel(bare_room(), 0)
        places = points((1.5, 3.0, 1.0), (2.5, 3.0, 1.0))
        screens = points((1.5, 3.0, 1.8), (2.5, 3.0, 1.8))
        there, back = channel.legs(places, screens, np.asarray([0.25, 0.25], np.float32))
        assert there[0] == pytest.approx([1.0, there[0, 1]])
        assert there[0, 1] < 0.7  # the second stands behind the first, seen from the access point
        assert back[0] == pytest.approx([back[0, 0], 1.0])
        assert back[0, 0] < 0.7


class TestAWallBetween:
    def test_dims_what_goes_through_it(self):
        room = bare_room(node=(4.5, 3.0, 1.0), screens=[(3.0, 2.0, 3.0, 4.0)], transmission=[0.5])
        free, dimmed = Channel(bare_room(), 0), Channel(room, 0)
        np.testing.assert_allclose(dimmed.straight[0], free.straight[0] / 2, rtol=1e-5)
        there, back = dimmed.legs(points((4.0, 3.0, 1.0)), NOBODY, NOBODY[..., 0])
        assert (there[0, 0], back[0, 0]) == (0.5, 1.0)

    def test_that_the_node_is_behind_mirrors_nothing(self):
        room = bare_room(node=(6.0, 3.0, 1.0), reflection=(0.4,) * 6)
        straight = Channel(room, 0).straight
        assert not straight[2].any()
        assert straight[1].any()


def test_every_node_of_a_room_has_a_channel_of_its_own():
    room = make_room(3, 4)
    gains = [Channel(room, node).straight.sum(axis=0) for node in range(4)]
    assert len({gain.tobytes() for gain in gains}) == 4


def test_materials_reflect_and_transmit_as_the_formulas_say():
    """Fresnel at normal incidence for concrete, worked out by hand: sqrt(5.24) = 2.289."""
    assert MATERIALS["concrete"].reflection == pytest.approx(1.289 / 3.289, rel=1e-3)
    assert 20 * math.log10(MATERIALS["concrete"].transmission) == pytest.approx(-11.3, abs=0.5)
    assert all(0 < m.transmission < 1 and 0 < m.reflection < 0.5 for m in MATERIALS.values())
