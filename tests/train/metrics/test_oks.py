import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogd.train.metrics.matching import assign
from cogd.train.metrics.oks import AREA, KEYPOINT_BOX, Persons, average_precision, oks
from cogd.train.metrics.skeleton import COCO

pytestmark = pytest.mark.train

SIGMAS = COCO.sigmas


def crowd(rng: np.random.Generator, *, coarse: bool = False) -> Persons:
    """Up to four persons of whom some are missed, and poses of nobody; scores may tie."""
    truths = int(rng.integers(0, 5))
    truth = rng.uniform(0, 300, (truths, 1, 2)) + rng.uniform(0, 120, (truths, 17, 2))
    visible = rng.random((truths, 17)) < 0.7
    visible[:, 0] = True
    found = truth[rng.random(truths) < 0.8] + rng.normal(0, rng.uniform(0.5, 12), (1, 17, 2))
    nobody = rng.uniform(0, 400, (int(rng.integers(0, 3)), 17, 2))
    predicted = np.concatenate([found + rng.normal(0, rng.uniform(0.5, 8), found.shape), nobody, found[:1] + 2])
    score = rng.random(len(predicted))
    if coarse:
        score = np.round(score, 1)
    return Persons(predicted, score, truth, visible, rng.uniform(2e3, 2e4, truths))


def coco_evaluator(pictures: list[Persons]) -> float:
    """AP of pycocotools, the reference implementation."""
    from pycocotools import coco
    from pycocotools.cocoeval import COCOeval

    annotations, results = [], []
    for image, persons in enumerate(pictures, start=1):
        for place, visible, area in zip(persons.truth, persons.visible, persons.area, strict=True):
            keypoints = np.concatenate([place, 2.0 * visible[:, None]], axis=1).ravel().tolist()
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": 1, "iscrowd": 0, "area": float(area),
                 "bbox": [0, 0, 1, 1], "keypoints": keypoints, "num_keypoints": int(visible.sum())}
            )  # fmt: skip
        for pose, score in zip(persons.predicted, persons.score, strict=True):
            keypoints = np.concatenate([pose, np.ones((17, 1))], axis=1).ravel().tolist()
            results.append({"image_id": image, "category_id": 1, "keypoints": keypoints, "score": float(score)})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": number + 1} for number in range(len(pictures))],
            "categories": [{"id": 1}],
            "annotations": annotations,
        }
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return float(evaluator.stats[0])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("coarse", [False, True], ids=["scores", "tied scores"])
def test_the_average_precision_is_cocos(seed, coarse):
    rng = np.random.default_rng(seed)
    pictures = [crowd(rng, coarse=coarse) for _ in range(30)]

    ours = average_precision(pictures, SIGMAS).value()

    assert ours == pytest.approx(coco_evaluator(pictures), abs=1e-9)
    assert 0.05 < ours < 0.95


def test_cocos_evaluator_also_takes_no_more_than_twenty_poses():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 300, (1, 17, 2))
    poses = np.concatenate([truth + rng.normal(0, 40, (24, 17, 2)), truth])
    picture = Persons(poses, np.linspace(1, 0.1, 25), truth, np.ones((1, 17), bool), np.asarray([1e4]))

    assert average_precision([picture], SIGMAS).value() == pytest.approx(coco_evaluator([picture]), abs=1e-9)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_of_persons_that_are_equally_like_a_pose_it_gets_cocos(order):
    """The first pose is like both persons, the second like one: which of them the first takes decides."""
    truth, visible = np.zeros((2, 17, 2)), np.zeros((2, 17), bool)
    visible[0, 0] = visible[1, :2] = True
    poses = np.zeros((2, 17, 2))
    poses[1, 1] = 500
    picture = Persons(poses, np.asarray([0.9, 0.8]), truth[order], visible[order], np.full(2, 1e4))

    ours = average_precision([picture], SIGMAS).value()

    assert ours == pytest.approx(coco_evaluator([picture]), abs=1e-9)
    assert (ours > 0.9) == (order == [0, 1])


def test_a_picture_drawn_twice_is_as_good_as_there_twice():
    rng = np.random.default_rng(3)
    pictures = [crowd(rng) for _ in range(10)]
    times = np.asarray([2, 0, 1, 3, 0, 1, 1, 0, 2, 1])
    drawn = [picture for picture, count in zip(pictures, times, strict=True) for _ in range(count)]

    weighted = average_precision(pictures, SIGMAS).of(times[None].astype(np.float64))

    assert weighted == pytest.approx(average_precision(drawn, SIGMAS).value())


def test_without_a_true_person_there_is_no_precision():
    nobody = Persons(np.zeros((1, 17, 2)), np.ones(1), np.zeros((0, 17, 2)), np.zeros((0, 17), bool), np.zeros(0))

    assert np.isnan(average_precision([nobody], SIGMAS).value())


def test_similarity_by_hand():
    """A nose that is off by s k: exp(-1/2); k is twice the sigma, as COCO has it, and s^2 the area."""
    truth, visible = np.zeros((1, 17, 2)), np.zeros((1, 17), bool)
    visible[0, :2] = True
    predicted = truth.copy()
    predicted[0, 0, 0] = 10 * 2 * 0.026

    similarity = oks(predicted, truth, visible, np.asarray([100.0]), SIGMAS)

    assert similarity == pytest.approx((np.exp(-0.5) + 1) / 2)


def test_the_area_is_that_of_the_box_around_the_visible_joints():
    truth, visible = np.zeros((2, 17, 2)), np.zeros((2, 17), bool)
    truth[0, 0], truth[0, 1], truth[0, 2] = (1, 2), (4, 6), (100, 100)
    visible[0, :2] = visible[1, :3] = True

    area = AREA[KEYPOINT_BOX](truth, visible)

    assert area[0] == 12
    assert np.isnan(area[1])  # all in one place


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_no_assignment_is_better(seed):
    rng = np.random.default_rng(seed)
    poses, truths = (int(number) for number in rng.integers(1, 5, 2))
    similarity = rng.random((poses, truths))

    pose_of = assign(similarity)

    got = sum(similarity[pose, truth] for truth, pose in enumerate(pose_of) if pose >= 0)
    best = max(
        sum(similarity[pose, truth] for pose, truth in zip(rows, columns, strict=True))
        for rows in permutations_of(poses, min(poses, truths))
        for columns in permutations_of(truths, min(poses, truths))
    )
    assert got == pytest.approx(best)
    taken = pose_of[pose_of >= 0]
    assert len(set(taken.tolist())) == len(taken) == min(poses, truths)


def permutations_of(count: int, size: int):
    import itertools

    return itertools.permutations(range(count), size)


def test_with_nobody_there_nobody_is_assigned():
    assert assign(np.zeros((2, 0))).tolist() == []
    assert assign(np.zeros((0, 2))).tolist() == [-1, -1]
