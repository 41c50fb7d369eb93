import numpy as np
import pytest

from cogd.heads.count.distribution import median
from cogd.heads.count.fusion import fuse
from cogd.heads.platt import Line
from cogd.train.heads.count.fusion import MOMENT_S, fused_predictions, moments
from cogd.train.heads.registry import trainer_of
from cogd.train.predictions import Answer, Counted, Predictions
from tests.train.factory import make_windows

pytestmark = pytest.mark.train

ROWS = np.arange(8)
END_S = np.asarray([5.0, 5.0, 7.0, 7.05, 9.0, 9.2, 5.0, 5.0])
WINDOWS = make_windows(
    8,
    end_s=END_S,
    start_s=END_S - 0.95,
    node=np.asarray([1, 2, 2, 1, 1, 2, 1, 2]),
    session=np.asarray([0, 0, 0, 0, 0, 0, 1, 1]),
    persons=np.asarray([1, 1, 2, 2, 0, 0, 1, 2]),
)
PROBABILITIES = [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7], *[[1 / 3] * 3] * 4]


def answered(line: Line | None = None, confidence=None) -> list[Predictions]:
    answer = Answer(np.zeros(8, int), tuple("012"), confidence, counted=Counted(PROBABILITIES, [0, 1, 2], line))
    alone = Predictions.of_windows("count", "rooms", WINDOWS, ROWS, answer, trainer_of("count").truth(WINDOWS))
    return fused_predictions(alone, WINDOWS, ROWS, answer)


def test_a_moment_is_what_several_nodes_of_a_session_end_in():
    assert MOMENT_S == 0.1
    found = [places.tolist() for places in moments(WINDOWS, ROWS)]
    assert found == [[0, 1], [3, 2]]  # 9.0 and 9.2 are too far apart, and session 1 does not agree about the persons


def test_of_some_rows_moments_are_places_among_them():
    assert [places.tolist() for places in moments(WINDOWS, np.asarray([4, 1, 0]))] == [[2, 1]]
    assert moments(WINDOWS, np.asarray([0, 2, 4])) == []


def test_a_node_has_one_window_in_a_moment():
    windows = make_windows(3, end_s=np.asarray([1.0, 1.04, 1.08]), node=np.asarray([1, 1, 2]))
    assert [places.tolist() for places in moments(windows, np.arange(3))] == [[1, 2]]


def test_counts_are_fused_as_the_daemon_does_it():
    sure = np.asarray([0.9, 0.2, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1])
    (fused,) = answered(Line(0.5, -0.1), sure)

    together = [
        fuse([PROBABILITIES[0], PROBABILITIES[1]], [0.9, 0.2]),
        fuse([PROBABILITIES[3], PROBABILITIES[2]], [0.5, 0.5]),
    ]
    said = [median(probabilities) for probabilities in together]
    assert fused.predicted.tolist() == said
    assert fused.truth.tolist() == [1, 2]
    odds = [np.log(p[middle] / (1 - p[middle])) for p, middle in zip(together, said, strict=True)]
    np.testing.assert_allclose(fused.confidence, 1 / (1 + np.exp(-(0.5 * np.asarray(odds) - 0.1))), atol=1e-9)
    assert fused.part == "fused counts of 2 nodes; rooms"
    assert (fused.session.tolist(), fused.end_s.tolist()) == ([0, 0], [5.0, 7.05])


def test_without_a_calibration_there_is_no_confidence():
    (fused,) = answered()
    assert fused.confidence is None


def test_what_is_no_count_is_not_fused():
    answer = Answer(np.zeros(8, bool), ("quiet", "moving"))
    alone = Predictions.of_windows("motion", "rooms", WINDOWS, ROWS, answer, trainer_of("motion").truth(WINDOWS))
    assert fused_predictions(alone, WINDOWS, ROWS, answer) == []
