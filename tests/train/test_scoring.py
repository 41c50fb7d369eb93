from pathlib import Path

import numpy as np
import pytest

from cogd.heads.registry import head_names
from cogd.train.heads.registry import trainer_names, trainer_of
from cogd.train.metrics.confidence import Usual
from cogd.train.metrics.figure import Sample
from cogd.train.predictions import Answer, Predictions
from cogd.train.scoring import baselines, right, score, score_closely
from tests.train.factory import make_windows

pytestmark = pytest.mark.train

ROWS = np.arange(60)
USUAL = Usual("half", 0.5)
NAMES = {"session": tuple("abcdef"), "room": ("attic", "cellar"), "subject": ()}
WINDOWS = make_windows(
    60,
    persons=ROWS % 3,
    moving=(ROWS % 2).astype(np.int8),
    session=ROWS % 6,
    room=ROWS // 2 % 2,
    names=NAMES,
)


def predictions(head: str, *, confident: bool = True) -> Predictions:
    rng = np.random.default_rng(0)
    confidence = rng.random(60) if confident else None
    answers = {
        "pose": Answer(
            (WINDOWS.keypoints + rng.normal(0, 0.01, (60, 17, 2)) * (1 + 60 * (ROWS % 4 > 1)[:, None, None])).astype(
                np.float32
            ),
            ("nose",) * 17,
            confidence,
            radius=rng.uniform(0.1, 0.3, (60, 17)) if confident else None,
        ),
        "count": Answer(rng.integers(0, 3, 60), tuple("012"), confidence),
        "motion": Answer(rng.random(60) < 0.5, ("moving",), confidence, rng.random(60)),
    }
    return Predictions.of_windows(head, "test", WINDOWS, ROWS, answers[head], trainer_of(head).truth(WINDOWS))


def names(metrics) -> set[str]:
    return {metric.name for metric in metrics}


def test_every_head_is_scored_and_has_labels():
    assert trainer_names() == head_names()


@pytest.mark.parametrize("head", trainer_names())
def test_every_figure_has_an_interval_a_baseline_and_a_direction(head):
    made = predictions(head)
    metrics = score(made, baselines(head, WINDOWS, ROWS, usual=USUAL))

    assert trainer_of(head).scoring.headline in names(metrics)
    for metric in metrics:
        assert metric.interval == "95 %, expanded percentile bootstrap, 6 sessions drawn 1000 times"
        assert metric.better is not None or metric.baseline_name == "what is stated"
        assert metric.baseline_name
        assert metric.n == 60
        assert metric.split == "test"


def test_a_confidence_is_judged_where_there_is_one():
    beside = baselines("count", WINDOWS, ROWS, usual=USUAL)
    ranking = {f"confidence_{name}" for name in ("auroc", "r_over_rmax", "aurc", "brier", "ece")}

    assert ranking <= names(score(predictions("count"), beside))
    assert not ranking & names(score(predictions("count", confident=False), beside))
    assert "oks_ap_keypoint_box" in names(score(predictions("pose"), baselines("pose", WINDOWS, ROWS)))
    assert "oks_ap_keypoint_box" not in names(
        score(predictions("pose", confident=False), baselines("pose", WINDOWS, ROWS))
    )


@pytest.mark.parametrize(("head", "alone"), [("pose", 85), ("count", 3), ("motion", 2)])
def test_closely_each_joint_or_class_and_the_headline_of_each_room_and_session(head, alone):
    metrics = score_closely(predictions(head), baselines(head, WINDOWS, ROWS, usual=USUAL))
    groups = [metric for metric in metrics if metric.split != "test"]

    assert len(metrics) - len(groups) == alone
    assert [metric.split for metric in groups if "room" in metric.split] == ["test; room attic", "test; room cellar"]
    assert sum("session" in metric.split for metric in groups) in {0, 6}  # a session is all moving or all quiet
    assert names(groups) == {trainer_of(head).scoring.headline} if groups else head == "motion"


def test_the_constant_answer_is_of_the_rows_that_were_named():
    persons = np.asarray([2, 2, 1] * 20)
    windows = make_windows(60, persons=persons)

    assert baselines("count", windows, np.arange(60)).constant.most_frequent == 2
    assert baselines("count", windows, np.arange(2, 60, 3)).constant.most_frequent == 1
    assert "the training part" in baselines("count", windows, ROWS).name
    assert "these very windows" in baselines("count", windows, ROWS, "these very windows").name
    np.testing.assert_allclose(
        baselines("pose", windows, np.arange(5)).constant, windows.keypoints[:5].mean(axis=0), rtol=1e-6
    )


def test_a_count_is_right_exactly_and_a_pose_within_half_a_torso():
    truth = np.tile(np.linspace(0.2, 0.8, 17)[:, None], (2, 1, 2))
    half = 0.5 * np.linalg.norm(truth[0, 6] - truth[0, 11])
    windows = make_windows(2, keypoints=truth.astype(np.float32))
    said = truth + np.asarray([[0.99 * half, 0.0], [1.01 * half, 0.0]])[:, None]
    made = Predictions.of_windows(
        "pose", "test", windows, np.arange(2), Answer(said, ("nose",) * 17), trainer_of("pose").truth(windows)
    )

    assert right(made).tolist() == [True, False]
    counted = predictions("count")
    assert (right(counted) == (counted.predicted == counted.truth)).all()


def test_what_a_pose_says_of_its_error_is_judged_where_it_says_so():
    said = {"error_50_coverage", "error_90_coverage", "error_50_pinball", "error_50_spearman", "confidence_auroc"}
    beside = baselines("pose", WINDOWS, ROWS, usual=USUAL)

    assert said - {"confidence_auroc"} <= names(score(predictions("pose"), beside))
    assert not said & names(score(predictions("pose", confident=False), beside))


@pytest.mark.parametrize("head", trainer_names())
def test_every_figure_is_in_the_docs(head):
    page = (Path(__file__).parents[2] / "docs" / "figures.md").read_text()

    for metric in score(predictions(head), baselines(head, WINDOWS, ROWS, usual=USUAL)):
        assert f"| `{metric.name}` |" in page


@pytest.mark.parametrize("head", trainer_names())
def test_the_headline_is_one_of_the_figures(head):
    made, beside = predictions(head), baselines(head, WINDOWS, ROWS, usual=USUAL)
    (first,) = trainer_of(head).scoring.first(made, beside, Sample("test", 60, made.groups()))

    assert first in score(made, beside)
