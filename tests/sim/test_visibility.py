import numpy as np

from cogd.sim.bodies import Body
from cogd.sim.room import Camera, make_room
from cogd.sim.visibility import visible_joints

CAMERA = Camera((2.5, 0.0, 1.5), tilt_rad=0.0)


def somebody_at(x: float, y: float) -> np.ndarray:
    """Joints `[17, 3]` of somebody who stands there."""
    joints = Body(make_room(1, 1), np.random.default_rng(1)).advance(1).joints[0]
    return joints - [*joints[[11, 12], :2].mean(axis=0), 0] + [x, y, 0]


def seen(*bodies: np.ndarray) -> np.ndarray:
    joints = np.stack(bodies)[None]
    return visible_joints(CAMERA, joints, CAMERA.project(joints))[0]


def test_a_person_in_the_picture_is_seen_from_head_to_foot():
    assert seen(somebody_at(2.5, 3.5)).all()


def test_what_is_outside_the_picture_or_behind_the_camera_is_not():
    assert not seen(somebody_at(7.5, 3.0)).any()
    assert not seen(somebody_at(2.5, -2.0)).any()


def test_who_is_near_and_too_tall_for_the_picture_is_seen_in_part():
    part = seen(somebody_at(2.5, 1.0))[0]
    assert part.any()
    assert not part.all()


def test_the_one_in_front_hides_the_one_behind():
    front, behind = seen(somebody_at(2.5, 2.5), somebody_at(2.5, 4.0))
    assert front.all()
    assert not behind[[5, 6, 11, 12]].any()


def test_two_beside_each_other_are_both_seen():
    assert seen(somebody_at(1.8, 3.5), somebody_at(3.2, 3.5)).all()
