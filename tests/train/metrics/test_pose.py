import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import procrustes

from cogd.sim.bodies import JOINTS
from cogd.train.metrics.bootstrap import Groups
from cogd.train.metrics.figure import Sample, beats_baseline
from cogd.train.metrics.pose import Poses, aligned_errors, errors, hits, joint_figures, mean_of, pose_figures
from cogd.train.metrics.skeleton import BODY25, BOX, COCO, EARS, H36M, HIPS_ELSE_BOX, METRES, PICTURE, TORSO

pytestmark = pytest.mark.train

ALL = np.ones((1, 17), dtype=bool)


def standing(count: int = 1) -> np.ndarray:
    """Poses whose right shoulder and left hip are (0.3, 0.4) apart: a torso of 0.5."""
    pose = np.full((count, 17, 2), 0.5)
    pose[:, 6], pose[:, 11] = (0.2, 0.2), (0.5, 0.6)
    return pose


def seen_by(pose: np.ndarray) -> np.ndarray:
    return np.ones(pose.shape[:2], dtype=bool)


def pck(predicted, truth, tolerance, visible=None) -> float:
    return mean_of(*hits(predicted, truth, seen_by(truth) if visible is None else visible, tolerance)).value()


def poses(predicted, truth, *, constant=None, visible=None, confidence=None) -> Poses:
    return Poses(
        predicted,
        truth,
        seen_by(truth) if visible is None else visible,
        truth.mean(axis=0) if constant is None else constant,
        "mean pose",
        confidence,
    )


def figures(metrics) -> dict[str, tuple[float, float]]:
    return {metric.name: (metric.value, metric.baseline_value) for metric in metrics}


def locked() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four visible joints: hips 0.2 apart, a box with a diagonal of 1; errors of 0.01, 0.03, 0.1 and 0.15."""
    truth, visible = np.zeros((1, 17, 2)), np.zeros((1, 17), dtype=bool)
    for joint, place in {11: (0.0, 0.0), 12: (0.2, 0.0), 0: (0.6, 0.0), 15: (0.0, 0.8)}.items():
        truth[0, joint], visible[0, joint] = place, True
    predicted = truth.copy()
    predicted[0, [11, 12, 0, 15], 0] += [0.01, 0.03, 0.1, 0.15]
    return predicted, truth, visible


def test_one_prediction_scores_otherwise_by_each_length():
    """The case that ADR-173 locks its metric with: 0.50 by the hips, 1.00 by the box, 0.75 by an absolute distance."""
    predicted, truth, visible = locked()

    assert pck(predicted, truth, HIPS_ELSE_BOX.share(0.2), visible) == 0.5
    assert pck(predicted, truth, BOX.share(0.2), visible) == 1.0
    assert pck(predicted, truth, PICTURE.within(0.12), visible) == 0.75


def test_each_length_is_in_the_figures_name_and_definition():
    metrics = {
        metric.name: metric.definition for metric in pose_figures(poses(standing(2), standing(2)), Sample("a", 2))
    }

    assert "right shoulder and left hip" in metrics["pck20_torso_rsho_lhip"]
    assert "50% of" in metrics["pck50_torso_rsho_lhip"]
    assert "hips" in metrics["pck20_hip_hip_else_box"]
    assert "box around" in metrics["pck20_box"]
    assert "a distance of 0.05" in metrics["pck_abs0.05_picture"]


def test_without_a_visible_joint_nothing_is_counted():
    """Not 1.0, as an accumulator that begins with a full score has it."""
    none = np.zeros((1, 17), dtype=bool)

    assert np.isnan(pck(standing(), standing(), TORSO.share(0.2), none))
    assert pose_figures(poses(standing(), standing(), visible=none), Sample("a", 1)) == []


def test_a_frame_without_a_length_is_not_counted_and_n_says_so():
    truth = np.concatenate([standing(), np.full((1, 17, 2), 0.5)])
    predicted = truth.copy()
    predicted[1] += 9

    assert pck(predicted, truth, TORSO.share(0.2)) == 1.0
    by_name = {metric.name: metric for metric in pose_figures(poses(predicted, truth), Sample("a", 2))}
    assert (by_name["pck20_torso_rsho_lhip"].n, by_name["mpjpe_picture"].n) == (1, 2)


def test_all_joints_in_one_place_have_no_box():
    assert np.isnan(pck(np.full((1, 17, 2), 0.5), np.full((1, 17, 2), 0.5), BOX.share(0.2)))


@pytest.mark.parametrize("hidden", [11, 12])
def test_without_both_hips_the_box_is_the_yardstick(hidden):
    _, truth, visible = locked()
    visible[0, hidden] = False

    assert HIPS_ELSE_BOX.length(truth, visible) == pytest.approx(BOX.length(truth, visible))
    assert np.isnan(TORSO.length(truth, visible))


def test_hips_that_coincide_leave_the_box_as_the_yardstick():
    _, truth, visible = locked()
    truth[0, 12] = truth[0, 11]

    assert HIPS_ELSE_BOX.length(truth, visible) == pytest.approx(1.0)


def test_a_pose_that_was_not_given_is_wrong_and_has_no_distance():
    truth, predicted = standing(2), standing(2)
    predicted[1] = np.nan
    by_name = figures(pose_figures(poses(predicted, truth), Sample("a", 2)))

    assert by_name["pck20_torso_rsho_lhip"][0] == 0.5
    assert by_name["oks_keypoint_box"][0] == 0.5
    assert not {"mpjpe_picture", "pa_mpjpe_picture"} & by_name.keys()


def test_only_visible_joints_are_counted():
    truth, visible = standing(), ALL.copy()
    predicted = truth.copy()
    predicted[0, 0] += 5
    visible[0, 0] = False

    assert pck(predicted, truth, TORSO.share(0.2), visible) == 1.0
    assert mean_of(*errors(predicted, truth, visible)).value() == 0.0


def test_a_truth_that_is_not_a_number_is_not_visible():
    truth = standing(2)
    truth[1] = np.nan
    metric = pose_figures(poses(standing(2), truth, constant=standing()[0]), Sample("a", 2))[0]

    assert (metric.name, metric.value, metric.n) == ("mpjpe_picture", 0.0, 1)


def test_exactly_the_tolerance_is_right():
    truth = np.zeros((1, 17, 2))
    truth[0, 6] = (0.5, 0.0)
    predicted = truth.copy()
    predicted[0, 0, 1], predicted[0, 1, 1] = 0.25, np.nextafter(0.25, 1)

    assert pck(predicted, truth, TORSO.share(0.5)) == 16 / 17


def test_mpjpe_is_the_mean_distance():
    truth = np.zeros((2, 3, 2))
    predicted = np.asarray([[[3, 4], [0, 0], [0, 1]], [[0, 0], [0, 2], [5, 12]]], dtype=np.float64) / 10

    value = mean_of(*errors(predicted, truth, seen_by(truth))).value()

    assert value == pytest.approx((5 + 0 + 1 + 0 + 2 + 13) / 10 / 6)


def test_pck_takes_the_truths_torso_not_the_predictions():
    truth = standing()
    predicted = truth.copy()
    predicted[0, :4, 0] += [0.0999, 0.1001, 0.2499, 0.2501]
    predicted[0, 11] += 5

    assert pck(predicted, truth, TORSO.share(0.2)) == pytest.approx(13 / 17)
    assert pck(predicted, truth, TORSO.share(0.5)) == pytest.approx(15 / 17)


def test_pck_measures_each_window_by_its_own_torso():
    truth = np.concatenate([standing(), standing() * 0.1])
    predicted = truth + np.asarray([0.06, 0.0])

    assert pck(predicted, truth, TORSO.share(0.2)) == 0.5  # within 0.1 of the large one, not within 0.01 of the small


def test_pckh_takes_the_ears_as_the_head():
    truth = standing()
    truth[0, 3], truth[0, 4] = (0.4, 0.1), (0.5, 0.1)
    predicted = truth.copy()
    predicted[0, :2, 0] += [0.049, 0.051]

    assert EARS.share(0.5).name == "pckh50_ears"
    assert pck(predicted, truth, EARS.share(0.5)) == pytest.approx(16 / 17)


def test_the_torso_of_the_15_joint_set_is_named_for_what_its_indices_are():
    assert (BODY25.joints[2], BODY25.joints[12]) == ("right_shoulder", "left_hip")
    assert "neck" not in BODY25.tolerances[0].name
    truth = np.zeros((1, 15, 2))
    truth[0, 2], truth[0, 12], truth[0, 1], truth[0, 8] = (0, 1), (0, 0), (9, 9), (-9, 0)

    assert BODY25.tolerances[0].of(truth, seen_by(truth)) == pytest.approx(0.2)


def test_named_joints_of_each_set_are_those_that_the_lengths_are_between():
    assert (JOINTS[6], JOINTS[11], JOINTS[12]) == ("right_shoulder", "left_hip", "right_hip")
    assert (JOINTS[3], JOINTS[4]) == ("left_ear", "right_ear")
    assert (H36M.joints[11], H36M.joints[1]) == ("left_shoulder", "right_hip")
    assert (H36M.joints[8], H36M.joints[10]) == ("neck", "head_top")
    assert len(COCO.joints) == len(COCO.sigmas) == 17


def test_three_dimensions_in_metres():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4, 17, 3))
    metrics = figures(pose_figures(poses(truth + np.asarray([0, 0, 0.3]), truth), Sample("a", 4), H36M, METRES))

    assert metrics["mpjpe_m"][0] == pytest.approx(0.3)
    assert metrics["pa_mpjpe_m"][0] == pytest.approx(0, abs=1e-9)
    assert {"pckh50_neck_headtop", "pck_abs0.05_m", "pck20_torso_lsho_rhip"} <= metrics.keys()
    assert not any(name.startswith("oks") for name in metrics)


@pytest.mark.parametrize("dims", [2, 3])
def test_alignment_agrees_with_scipy(dims):
    rng = np.random.default_rng(dims)
    mirror = np.diag([-1] + [1] * (dims - 1))
    for number in range(40):
        truth = rng.normal(size=(17, dims))
        predicted = truth + rng.normal(0, 0.2, size=(17, dims))
        turn = np.linalg.qr(rng.normal(size=(dims, dims)))[0]
        turn[:, 0] *= np.linalg.det(turn)  # a turn, no mirror
        predicted = 3 * predicted @ turn + 5
        if mirrored := number % 2:
            predicted = predicted @ mirror
        _, _, disparity = procrustes(truth, predicted)  # which mirrors where that is closer

        def closeness(given, truth=truth):
            error, _ = aligned_errors(given[None], truth[None], ALL)
            return (error**2).sum() / ((truth - truth.mean(axis=0)) ** 2).sum()

        assert closeness(predicted @ mirror if mirrored else predicted) == pytest.approx(disparity)
        if mirrored:
            assert closeness(predicted) > disparity


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 3]))
def test_no_shift_turn_or_size_changes_the_aligned_error(seed, dims):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.normal(size=(2, 1, 17, dims))
    turn = np.linalg.qr(rng.normal(size=(dims, dims)))[0]
    turn[:, 0] *= np.linalg.det(turn)  # a turn, no mirror
    moved = rng.uniform(0.1, 10) * predicted @ turn + rng.normal(size=dims)

    before, _ = aligned_errors(predicted, truth, ALL)
    after, _ = aligned_errors(moved, truth, ALL)

    np.testing.assert_allclose(before, after, atol=1e-9)
    assert (before**2).sum() <= (errors(predicted, truth, ALL)[0] ** 2).sum() + 1e-9


def test_alignment_leaves_out_hidden_joints_and_what_has_no_shape():
    truth = np.random.default_rng(0).normal(size=(3, 17, 2))
    visible = np.ones((3, 17), dtype=bool)
    predicted = truth.copy()
    predicted[0, 0] += 100
    visible[0, 0] = False
    visible[1, 1:] = False  # one joint
    truth[2] = 0.5  # one place
    error, counted = aligned_errors(predicted, truth, visible)

    assert error[0][1:].max() < 1e-9
    assert counted.sum(axis=1).tolist() == [16, 0, 0]


def test_a_prediction_that_is_one_point_is_as_far_as_the_truths_joints_from_their_middle():
    truth = np.random.default_rng(0).normal(size=(1, 17, 2))
    error, _ = aligned_errors(np.full((1, 17, 2), 0.3), truth, ALL)

    np.testing.assert_allclose(error, np.linalg.norm(truth - truth.mean(axis=1), axis=-1))


def test_a_perfect_pose_is_perfect_beside_the_mean_poses_figures():
    truth = np.concatenate([standing(), standing() + np.asarray([0.3, 0.0])])

    metrics = figures(pose_figures(poses(truth, truth), Sample("test", 2)))

    assert metrics == {
        "mpjpe_picture": (0.0, 0.15),
        "pa_mpjpe_picture": (0.0, 0.0),
        "pck20_torso_rsho_lhip": (1.0, 0.0),
        "pck50_torso_rsho_lhip": (1.0, 1.0),
        "pck20_hip_hip_else_box": (1.0, 0.0),
        "pck20_box": (1.0, 0.0),
        "pck_abs0.05_picture": (1.0, 0.0),
        "oks_keypoint_box": (1.0, pytest.approx(metrics["oks_keypoint_box"][1])),
    }
    assert 0 < metrics["oks_keypoint_box"][1] < 1


def test_a_constant_pose_scores_exactly_the_baseline():
    rng = np.random.default_rng(0)
    truth, mean_pose = standing(20) + rng.normal(0, 0.1, (20, 17, 2)), standing()[0]
    same = np.broadcast_to(mean_pose, truth.shape)
    metrics = pose_figures(poses(same, truth, constant=mean_pose, confidence=np.full(20, 0.5)), Sample("test", 20))

    assert "oks_ap_keypoint_box" in figures(metrics)
    for metric in metrics:
        assert metric.value == metric.baseline_value
        assert not beats_baseline(metric)


def test_joints_alone_add_up_to_the_whole():
    rng = np.random.default_rng(1)
    truth = standing(30) + rng.normal(0, 0.1, (30, 17, 2))
    given_poses = poses(truth + rng.normal(0, 0.05, truth.shape), truth)
    whole, alone = (
        figures(pose_figures(given_poses, Sample("a", 30))),
        figures(joint_figures(given_poses, Sample("a", 30))),
    )

    for name in ("mpjpe_picture", "pck20_torso_rsho_lhip"):
        for column in (0, 1):
            mean = np.mean([alone[f"{name}.{joint}"][column] for joint in JOINTS])
            assert mean == pytest.approx(whole[name][column], abs=1e-6)
    assert len(alone) == 34


def test_every_figure_carries_definition_split_count_direction_and_interval():
    rng = np.random.default_rng(1)
    truth = standing(40) + rng.normal(0, 0.1, (40, 17, 2))
    sample = Sample("some part", 40, Groups(np.arange(40) // 5, "sessions"))
    metrics = pose_figures(poses(truth + rng.normal(0, 0.05, truth.shape), truth, confidence=rng.random(40)), sample)

    for metric in itertools.chain(metrics):
        assert metric.split == "some part"
        assert metric.n == 40
        assert len(metric.definition) > 60
        assert metric.better == ("lower" if "mpjpe" in metric.name else "higher")
        assert metric.interval == "95 %, expanded percentile bootstrap, 8 sessions drawn 1000 times"
        assert metric.low <= metric.value <= metric.high
