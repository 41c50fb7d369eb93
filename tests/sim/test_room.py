import math

import numpy as np
import pytest

from cogd.sim.room import Camera, make_room

CAMERA = Camera((2.0, 0.0, 1.5), tilt_rad=0.0, half_width=0.8, aspect=1.5)


class TestTheCamera:
    def test_sees_what_is_straight_ahead_in_the_middle(self):
        np.testing.assert_allclose(CAMERA.project(np.asarray([2.0, 3.0, 1.5])), [0.5, 0.5])

    @pytest.mark.parametrize(
        ("point", "expected"),
        [
            ((2.0 + 4 * 0.8, 4.0, 1.5), (1.0, 0.5)),  # at the edge of the field of view
            ((2.0 - 4 * 0.8, 4.0, 1.5), (0.0, 0.5)),
            ((2.0, 4.0, 1.5 + 4 * 0.8 / 1.5), (0.5, 0.0)),  # the picture is less high than wide
            ((2.0, 4.0, 1.5 - 4 * 0.8 / 1.5), (0.5, 1.0)),
            ((3.0, 5.0, 1.0), (0.5 + 1 / 5 / 0.8 / 2, 0.5 + 0.5 / 5 / 0.8 * 1.5 / 2)),
        ],
    )
    def test_is_a_pinhole(self, point, expected):
        np.testing.assert_allclose(CAMERA.project(np.asarray(point)), expected)

    def test_that_is_tilted_sees_what_lies_on_its_axis_in_the_middle(self):
        tilted = Camera((2.0, 0.0, 1.5), tilt_rad=0.3)
        on_axis = np.asarray([2.0, 4 * math.cos(0.3), 1.5 - 4 * math.sin(0.3)])
        np.testing.assert_allclose(tilted.project(on_axis), [0.5, 0.5], atol=1e-12)

    def test_that_is_tilted_down_sees_the_horizon_above_the_middle(self):
        assert Camera((2.0, 0.0, 1.5), tilt_rad=0.3).project(np.asarray([2.0, 1e6, 1.5]))[1] < 0.5

    def test_projects_any_number_of_points(self):
        points = np.random.default_rng(1).uniform(1, 4, size=(3, 2, 17, 3))
        projected = CAMERA.project(points)
        assert projected.shape == (3, 2, 17, 2)
        np.testing.assert_allclose(projected[1, 1, 5], CAMERA.project(points[1, 1, 5]))

    def test_stays_finite_for_what_is_behind_it(self):
        assert np.isfinite(CAMERA.project(np.asarray([2.0, -1.0, 1.0]))).all()


class TestARoom:
    def test_is_the_same_for_the_same_seed_and_another_for_another(self):
        one, same, other = make_room(3, 2), make_room(3, 2), make_room(4, 2)
        assert one.size_m == same.size_m != other.size_m
        np.testing.assert_array_equal(one.furniture_m, same.furniture_m)
        np.testing.assert_array_equal(one.nodes_m, same.nodes_m)

    def test_keeps_its_plan_when_a_node_is_added(self):
        two, three = make_room(3, 2), make_room(3, 3)
        np.testing.assert_array_equal(two.nodes_m, three.nodes_m[:2])
        np.testing.assert_array_equal(two.transmitter_m, three.transmitter_m)
        assert (two.camera, two.wall_reflection) == (three.camera, three.wall_reflection)

    @pytest.mark.parametrize("seed", range(10))
    def test_holds_its_furniture_and_its_devices(self, seed):
        room = make_room(seed, 8)
        for point in (*room.furniture_m, *room.nodes_m, room.transmitter_m):
            assert (point > 0).all()
            assert (point < room.size_m).all()

    def test_has_nodes_before_and_behind_on_the_left_then_on_the_right(self):
        width, depth, _ = (room := make_room(3, 8)).size_m
        left = [x < width / 2 for x, _, _ in room.nodes_m]
        near = [y < depth / 2 for _, y, _ in room.nodes_m]
        assert left == [True, True, False, False] * 2
        assert near == [True, False] * 4

    @pytest.mark.parametrize("seed", range(5))
    def test_has_places_that_lie_in_it_and_in_the_picture(self, seed):
        room, rng = make_room(seed, 1), np.random.default_rng(seed)
        for _ in range(200):
            x, y = room.random_place(rng)
            assert 0 < x < room.size_m[0]
            assert 0 < y < room.size_m[1]
            feet_and_head = room.camera.project(np.asarray([[x, y, 0.05], [x, y, 1.85]]))
            assert (feet_and_head > -0.02).all()
            assert (feet_and_head < 1.02).all()
