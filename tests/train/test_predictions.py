import dataclasses

import numpy as np
import pytest
import safetensors.numpy

from cogd.errors import TrainError
from cogd.train.heads.registry import trainer_of
from cogd.train.predictions import Answer, Predictions, read_predictions, write_predictions
from tests.train.factory import make_windows

pytestmark = pytest.mark.train

LABELS = ("0", "1", "2")


def counts(count: int = 40, **columns: object) -> Predictions:
    windows = make_windows(count, **{"persons": np.arange(count) % 3, **columns})
    rows = np.arange(count)
    answer = Answer(np.ones(count, np.int64), LABELS, np.linspace(0, 1, count))
    return Predictions.of_windows("count", "the test part", windows, rows, answer, trainer_of("count").truth(windows))


def poses(count: int = 6) -> Predictions:
    windows = make_windows(count)
    answer = Answer(windows.keypoints + 1, ("nose",), radius=np.full((count, 17), 0.1))
    return Predictions.of_windows("pose", "p", windows, np.arange(count), answer, trainer_of("pose").truth(windows))


def same(one: Predictions, other: Predictions) -> bool:
    for field in dataclasses.fields(Predictions):
        mine, its = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, np.ndarray):
            if mine.dtype != its.dtype or not np.array_equal(mine, its):
                return False
        elif mine != its:
            return False
    return True


def test_what_was_written_is_read(tmp_path):
    parts = [counts(), poses(), dataclasses.replace(counts(5), leaky=True, score=np.arange(5.0))]

    write_predictions(tmp_path / "p.safetensors", parts)

    for written, read in zip(parts, read_predictions(tmp_path / "p.safetensors"), strict=True):
        assert same(written, read)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, None])
def test_what_is_no_file_of_predictions_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "p").write_bytes(content)

    with pytest.raises(TrainError, match="is not a readable file of predictions"):
        read_predictions(tmp_path / "p")


def test_another_safetensors_file_is_refused(tmp_path):
    safetensors.numpy.save_file({"a": np.zeros(1)}, tmp_path / "p")

    with pytest.raises(TrainError, match="is not a file of predictions"):
        read_predictions(tmp_path / "p")


@pytest.mark.parametrize("broken", ["missing", "short"])
def test_a_part_with_tensors_that_do_not_belong_together_is_refused(tmp_path, broken):
    write_predictions(tmp_path / "p", [counts()])
    with safetensors.safe_open(tmp_path / "p", "numpy") as content:
        metadata = content.metadata()
    tensors = safetensors.numpy.load_file(tmp_path / "p")
    if broken == "missing":
        del tensors["0.session"]
    else:
        tensors["0.confidence"] = tensors["0.confidence"][:-1]
    safetensors.numpy.save_file(tensors, tmp_path / "p", metadata)

    with pytest.raises(TrainError, match="part 0 lacks tensors, or they differ in length"):
        read_predictions(tmp_path / "p")


def test_it_says_where_it_can_not_be_written(tmp_path):
    with pytest.raises(TrainError, match="can't be written"):
        write_predictions(tmp_path / "nowhere" / "p", [counts()])


def test_rows_go_with_what_was_answered_of_them():
    windows = make_windows(10, persons=np.arange(10) % 3)
    rows = np.asarray([7, 2])

    made = Predictions.of_windows(
        "count", "p", windows, rows, Answer(np.asarray([1, 2]), LABELS), trainer_of("count").truth(windows)
    )

    assert made.truth.tolist() == [1, 2]
    assert made.end_s.tolist() == [7.95, 2.95]


@pytest.mark.parametrize(
    ("columns", "unit", "count"),
    [
        ({"room": np.arange(40) % 5, "session": np.arange(40) % 10}, "rooms", 5),
        ({"room": np.arange(40) % 4, "session": np.arange(40) % 10}, "sessions", 10),
        ({"room": np.where(np.arange(40) == 3, -1, np.arange(40) % 5), "session": np.arange(40) % 6}, "sessions", 6),
        ({}, "stretches of 10 s (which tell nothing of other recordings)", 4),
    ],
)
def test_intervals_are_made_of_the_coarsest_groups_that_there_are_enough_of(columns, unit, count):
    names = {"session": tuple(map(str, range(10))), "room": tuple(map(str, range(5))), "subject": ()}
    made = counts(**columns, **({"names": names} if columns else {}))
    groups = made.groups()

    if count < 5:
        assert groups is None  # 40 s in one go
        groups = counts(50).groups()
        assert groups.count == 5
    else:
        assert groups.count == count
    assert groups.unit == unit


def test_stretches_of_two_sessions_are_not_one():
    made = counts(50, session=np.repeat([0, 1], 25), names={"session": ("a", "b"), "room": (), "subject": ()})

    assert made.groups().count == 6  # 0-10, 10-20, 20-25 and 25-30, 30-40, 40-50


def test_each_room_is_a_part_of_its_own():
    names = {"session": ("s",), "room": ("attic", "cellar"), "subject": ()}
    made = counts(room=np.arange(40) % 2, names=names)
    parts = list(made.by("room"))

    assert [part.part for part in parts] == ["the test part; room attic", "the test part; room cellar"]
    np.testing.assert_array_equal(parts[1].truth, made.truth[1::2])
    np.testing.assert_array_equal(parts[1].confidence, made.confidence[1::2])
    assert list(made.by("session")) == []


def test_a_room_that_is_not_known_is_none():
    names = {"session": ("s",), "room": ("attic",), "subject": ()}

    assert list(counts(room=np.arange(40) % 2 - 1, names=names).by("room")) == []


def test_usable_rows_have_a_label_of_the_head():
    windows = make_windows(
        4,
        persons=np.asarray([1, 2, -1, 1]),
        moving=np.asarray([1, 0, -1, -1], dtype=np.int8),
        weight=np.asarray([1, 1, 1, 0], dtype=np.float32),
    )

    assert trainer_of("count").usable_rows(windows).tolist() == [0, 1, 3]
    assert trainer_of("motion").usable_rows(windows).tolist() == [0, 1]
    assert trainer_of("pose").usable_rows(windows).tolist() == [0]
