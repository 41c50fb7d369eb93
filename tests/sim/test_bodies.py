import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogd.sim.bodies import JOINTS, STEP_S, Body
from cogd.sim.room import make_room

BONES = [
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"), ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
    ("right_hip", "right_knee"), ("right_knee", "right_ankle"), ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"), ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"), ("nose", "left_eye"),
    ("left_eye", "left_ear"),
]  # fmt: skip


def a_body(seed: int = 1) -> Body:
    return Body(make_room(seed, 1), np.random.default_rng(seed))


@pytest.fixture(scope="module")
def lives():
    """Two minutes of five people: joints and whether they moved."""
    return [a_body(seed).advance(12_000) for seed in range(5)]


def test_the_joints_are_cocos():
    assert len(JOINTS) == len(set(JOINTS)) == 17
    assert (JOINTS[0], JOINTS[5], JOINTS[16]) == ("nose", "left_shoulder", "right_ankle")


@pytest.mark.parametrize(("one", "other"), BONES)
def test_bones_keep_their_length(lives, one, other):
    for joints, _ in lives:
        bone = joints[:, JOINTS.index(one)] - joints[:, JOINTS.index(other)]
        lengths = np.linalg.norm(bone, axis=-1)
        assert lengths.std() < 1e-9
        assert 0.02 < lengths.mean() < 0.7


def test_feet_stand_on_the_floor_and_heads_are_at_a_persons_height(lives):
    for joints, _ in lives:
        ankles = joints[:, [15, 16], 2].min(axis=1)
        assert (ankles > 0.04).all()
        assert (ankles < 0.12).all()
        assert 1.3 < joints[:, 0, 2].max() < 1.95
        assert joints[:, 0, 2].min() > 0.5


def test_left_is_left_of_right_as_the_person_faces(lives):
    for joints, _ in lives:
        across = joints[:, JOINTS.index("left_hip")] - joints[:, JOINTS.index("right_hip")]
        hips = joints[:, [11, 12]].mean(axis=1)
        forward = joints[:, JOINTS.index("nose")] - hips
        assert (forward[:, 0] * across[:, 1] - forward[:, 1] * across[:, 0] > 0).all()  # left is ahead turned by +90°


def test_nobody_jumps(lives):
    for joints, _ in lives:
        hips = joints[:, [11, 12]].mean(axis=1)
        assert np.linalg.norm(np.diff(hips[:, :2], axis=0), axis=-1).max() / STEP_S < 1.3


def test_no_limb_jumps(lives):
    for joints, _ in lives:
        assert np.linalg.norm(np.diff(joints, axis=0), axis=-1).max() / STEP_S < 6.0


def test_people_stay_in_the_room(lives):
    for seed, (joints, _) in enumerate(lives):
        width, depth, _ = make_room(seed, 1).size_m
        hips = joints[:, [11, 12], :2].mean(axis=1)
        assert ((hips > 0) & (hips < (width, depth))).all()


def test_people_move_and_rest(lives):
    for _, moving in lives:
        assert 0.2 < moving.mean() < 0.95


def test_who_is_said_to_move_moves_and_who_is_said_to_rest_hardly_does(lives):
    for joints, moving in lives:
        speed = np.linalg.norm(np.diff(joints[:, [11, 12]].mean(axis=1), axis=0), axis=-1) / STEP_S
        assert speed[moving[1:] & moving[:-1]].mean() > 0.3
        assert speed[~moving[1:] & ~moving[:-1]].max() < 0.15


@given(st.lists(st.integers(1, 120), min_size=1, max_size=6))
@settings(max_examples=20, deadline=None)
def test_a_life_does_not_depend_on_how_it_is_asked_for(parts):
    whole = a_body(2).advance(sum(parts))
    body = a_body(2)
    pieces = [body.advance(part) for part in parts]
    np.testing.assert_array_equal(whole[0], np.concatenate([joints for joints, _ in pieces]))
    np.testing.assert_array_equal(whole[1], np.concatenate([moving for _, moving in pieces]))
