import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogd.sim.bodies import JOINTS, RESTING, STEP_S, Act, Body
from cogd.sim.domain import Domain
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
    return [(life.joints, life.moving) for life in (a_body(seed).advance(12_000) for seed in range(5))]


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
        lowest = joints[..., 2].min(axis=1)
        assert (lowest > 0.04).all()
        assert (lowest < 0.12).all()
        assert 1.3 < joints[:, 0, 2].max() < 1.95


def test_left_is_left_of_right_as_the_person_faces(acting):
    joints = acting.joints[~np.isin(acting.act, [Act.FALL, Act.LIE, Act.GET_UP])]
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
    np.testing.assert_array_equal(whole.joints, np.concatenate([piece.joints for piece in pieces]))
    np.testing.assert_array_equal(whole.act, np.concatenate([piece.act for piece in pieces]))


@pytest.fixture(scope="module")
def acting():
    """Twenty minutes of one person who does everything."""
    return a_body(4).advance(120_000)


def test_everything_is_done(acting):
    assert {Act(act) for act in np.unique(acting.act)} == set(Act)
    np.testing.assert_array_equal(acting.moving, ~np.isin(acting.act, list(RESTING)))


def test_who_sits_has_low_hips_and_who_lies_a_low_head(acting):
    hips, head = acting.joints[:, [11, 12], 2].mean(axis=1), acting.joints[:, 0, 2]
    standing, sitting, lying = (acting.act == act for act in (Act.STAND, Act.SIT, Act.LIE))
    assert hips[standing].min() > 0.7
    assert hips[sitting].max() < 0.65
    assert head[lying].max() < 0.45


def test_a_fall_is_quick_and_ends_on_the_floor(acting):
    starts = np.flatnonzero((acting.act[1:] == Act.LIE) & (acting.act[:-1] == Act.FALL))
    assert len(starts) > 3
    for start in starts:
        assert acting.joints[start, 0, 2] < 0.45
        assert acting.joints[start - 120, 0, 2] > 1.2


def test_a_waved_hand_goes_up_and_to_and_fro(acting):
    waving = acting.act == Act.WAVE
    above = acting.joints[:, 10, 2] - acting.joints[:, 6, 2]  # right wrist over right shoulder
    assert np.quantile(above[waving], 0.7) > 0.1
    assert above[acting.act == Act.STAND].max() < -0.1


def test_people_of_a_domain_differ_in_height_and_rest_as_long_as_it_says():
    domain = Domain(body_height_m=(1.0, 1.2), rest_s=(5.0, 6.0), activity=(1.0, 1.0))
    life = Body(make_room(1, 1), np.random.default_rng(1), domain).advance(60_000)
    assert 0.8 < life.joints[:100, :5, 2].max() < 1.3
    edges = np.flatnonzero(np.diff(life.moving.astype(int)))
    rests_s = [(end - start) * STEP_S for start, end in itertools.pairwise(edges) if not life.moving[end]]
    assert rests_s
    assert 4.9 < min(rests_s) <= max(rests_s) < 6.1


def test_who_roams_goes_where_the_camera_does_not_look():
    room = make_room(1, 1)
    nearest = [
        Body(room, np.random.default_rng(2), in_picture=in_picture).advance(60_000).joints[:, 11, 1].min()
        for in_picture in (True, False)
    ]
    assert nearest[0] > 1.9
    assert nearest[1] < 1.2
