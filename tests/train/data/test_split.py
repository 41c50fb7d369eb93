import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.errors import TrainError
from cogd.train.data.split import (
    group_split,
    official_split,
    random_split,
    temporal_split,
    with_training_rows,
)
from cogd.train.data.windows import join
from tests.train.factory import make_windows

pytestmark = pytest.mark.train

PARTS = ("train", "calibration", "test")


def timed(start_s, span_s=0.95, session=None):
    """Windows that begin at these times."""
    start_s = np.asarray(start_s, dtype=np.float64)
    count = len(start_s)
    return make_windows(
        count,
        csi=np.zeros((count, 56, 2), dtype=np.float32),
        start_s=start_s,
        end_s=start_s + span_s,
        session=np.zeros(count, dtype=np.int64) if session is None else np.asarray(session, dtype=np.int64),
    )


@given(
    starts=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400)), min_size=1, max_size=120),
    span=st.integers(1, 60),
    test=st.sampled_from([0.1, 0.2, 0.4]),
    calibration=st.sampled_from([0.1, 0.3]),
)
def test_no_two_parts_share_a_frame_or_a_window(starts, span, test, calibration):
    # A window of frame k holds the frames k to k + span of its session, 50 ms apart; windows overlap at random.
    session, first = (np.asarray(column) for column in zip(*starts, strict=True))
    windows = timed(first * 0.05, span * 0.05, session)
    try:
        split = temporal_split(windows, np.arange(len(windows)), test=test, calibration=calibration)
    except TrainError:
        return

    frames = {
        part: {
            (session[row], frame) for row in getattr(split, part) for frame in range(first[row], first[row] + span + 1)
        }
        for part in PARTS
    }
    assert not frames["train"] & frames["calibration"]
    assert not frames["train"] & frames["test"]
    assert not frames["calibration"] & frames["test"]
    rows = np.concatenate([getattr(split, part) for part in PARTS])
    assert len(set(rows.tolist())) == len(rows)


def test_each_session_is_cut_in_time_whatever_the_order_of_the_rows():
    start_s = np.concatenate([np.arange(100), 1000 + np.arange(50)])
    session = np.repeat([0, 1], [100, 50])
    shuffled = np.random.default_rng(0).permutation(150)
    windows = timed(start_s[shuffled], session=session[shuffled])

    split = temporal_split(windows, np.arange(150))

    for number, length in ((0, 100), (1, 50)):
        own = {part: [row for row in getattr(split, part) if windows.session[row] == number] for part in PARTS}
        assert windows.end_s[own["train"]].max() < windows.start_s[own["calibration"]].min()
        assert windows.end_s[own["calibration"]].max() < windows.start_s[own["test"]].min()
        assert len(own["train"]) == pytest.approx(0.7 * length, abs=2)
        assert len(own["calibration"]) == pytest.approx(0.1 * length, abs=2)
        assert len(own["test"]) == pytest.approx(0.2 * length, abs=2)


def test_between_two_parts_labels_lie_more_than_a_window_apart():
    windows = timed(np.arange(0, 100, 0.1), span_s=2.0)  # twenty windows overlap at any time

    split = temporal_split(windows, np.arange(len(windows)))

    assert windows.end_s[split.calibration].min() - windows.end_s[split.train].max() > 2.0
    assert windows.end_s[split.test].min() - windows.end_s[split.calibration].max() > 2.0
    for earlier, later in ((split.train, split.calibration), (split.calibration, split.test)):
        assert windows.start_s[later].min() - windows.end_s[earlier].max() >= 2.0


def test_only_the_given_rows_are_dealt_out():
    windows, rows = timed(np.arange(200)), np.arange(0, 200, 2)

    split = temporal_split(windows, rows)

    assert set(np.concatenate([split.train, split.calibration, split.test])) <= set(rows)


def test_the_split_says_how_it_was_made():
    split = temporal_split(timed(np.arange(100)), np.arange(100), test=0.2, calibration=0.1)

    assert split.name == "first 70% of each session train, next 10% calibrate, last 20% test"


@pytest.mark.parametrize(("count", "part"), [(2, "calibration"), (1, "train")])
def test_too_little_data_for_a_part_is_refused_by_the_parts_name(count, part):
    with pytest.raises(TrainError, match=f"the {part} part of the data is empty"):
        temporal_split(timed(np.arange(count)), np.arange(count))


def test_data_without_any_label_is_refused():
    with pytest.raises(TrainError, match="no window of the data has a usable label"):
        temporal_split(timed(np.arange(9)), np.arange(0))


# --- by groups -------------------------------------------------------------------------------------------------


def placed(counts: list[int], *, room=None, subject=None, nodes: int = 1):
    """Windows of so many sessions, each with so many windows on each node; `room` and `subject` tell each session's."""
    session = np.repeat(np.arange(len(counts)), np.asarray(counts) * nodes)
    start_s = np.concatenate([np.repeat(np.arange(count) * 0.5, nodes) for count in counts])
    node = np.concatenate([np.tile(np.arange(nodes), count) for count in counts])
    columns = {"session": session, "node": node, "start_s": start_s, "end_s": start_s + 0.95}
    for group, numbers in (("room", room), ("subject", subject)):
        if numbers is not None:
            columns[group] = np.asarray(numbers)[session]
    return make_windows(len(session), csi=np.zeros((len(session), 56, 2), dtype=np.float32), **columns)


@given(
    sessions=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), min_size=1, max_size=30),
    by=st.sampled_from(["session", "room"]),
    calibration_by=st.sampled_from([None, "session"]),
    test=st.sampled_from([0.1, 0.3, 0.5]),
    seed=st.integers(0, 5),
)
def test_groups_never_meet_whatever_they_are(sessions, by, calibration_by, test, seed):
    counts, rooms = (list(column) for column in zip(*sessions, strict=True))
    windows = placed(counts, room=rooms, nodes=2)
    rows = np.arange(len(windows))
    try:
        split = group_split(windows, rows, by, test=test, calibration=0.2, calibration_by=calibration_by, seed=seed)
    except TrainError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert "only 1 " in refused or "only 2 " in refused  # rooms or sessions: too few for three parts
        if calibration_by in {None, by}:
            assert len(set(rooms) if by == "room" else counts) < 3
        return

    dealt = [getattr(split, part) for part in PARTS]
    assert sorted(np.concatenate(dealt).tolist()) == rows.tolist()
    sessions_of = [set(windows.session[part].tolist()) for part in dealt]
    assert not sessions_of[0] & sessions_of[1] | sessions_of[0] & sessions_of[2] | sessions_of[1] & sessions_of[2]
    groups = [set(getattr(windows, by)[part].tolist()) for part in dealt]
    assert not groups[2] & (groups[0] | groups[1])
    if calibration_by is None:
        assert not groups[0] & groups[1]
    again = group_split(windows, rows, by, test=test, calibration=0.2, calibration_by=calibration_by, seed=seed)
    assert again.digest == split.digest


def test_another_seed_deals_other_groups():
    windows = placed([3] * 20)
    tests = {group_split(windows, np.arange(60), "session", seed=seed).ids["test"] for seed in range(5)}

    assert len(tests) == 5


def test_groups_can_be_named_and_the_split_tells_them():
    windows = placed([4] * 6, room=[0, 0, 0, 0, 1, 1])

    split = group_split(
        windows, np.arange(24), "room", test=("room 1",), calibration=("session [01]",), calibration_by="session"
    )

    assert set(windows.session[split.test].tolist()) == {4, 5}
    assert set(windows.session[split.calibration].tolist()) == {0, 1}
    assert split.ids == {
        "train": ("session 2", "session 3"),
        "calibration": ("session 0", "session 1"),
        "test": ("room 1",),
    }
    assert split.name == (
        "by room, calibration by session: session 2, session 3 train; session 0, session 1 calibrate; room 1 test"
    )
    assert (split.kind, split.leaky) == ("room", False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"by": "room"}, "would take all that is left; there is only 1 room: room 0"),
        ({"by": "subject"}, "12 of 12 windows don't tell their subject"),
        ({"by": "session", "test": ("elsewhere",)}, "there is no session 'elsewhere' for the test part"),
        ({"by": "session", "test": ("session *",)}, "the test part would take all that is left"),
        ({"by": "session", "test": ("session 0", "session 1")}, "the calibration part would take all that is left"),
    ],
)
def test_what_is_missing_for_a_split_is_named(given, message):
    windows = placed([4] * 3, room=[0, 0, 0])

    with pytest.raises(TrainError, match=message):
        group_split(windows, np.arange(12), **given)


def test_two_rooms_are_enough_if_sessions_calibrate():
    windows = placed([4] * 6, room=[0, 0, 0, 1, 1, 1])
    with pytest.raises(TrainError, match="only 1 room") as told:
        group_split(windows, np.arange(24), "room")
    assert "split.calibration_by=session with split.calibration=0.5" in told.value.hint

    split = group_split(windows, np.arange(24), "room", calibration_by="session")

    assert len(set(windows.room[np.concatenate([split.train, split.calibration])].tolist())) == 1


def test_a_session_of_two_subjects_is_not_torn_apart():
    windows = placed([8] * 4, subject=[0, 1, 2, 3])
    windows.subject[4:8] = 1  # somebody else for the second half of session 0

    with pytest.raises(TrainError, match="the session 'session 0' would be in two parts"):
        group_split(windows, np.arange(32), "subject", test=("subject 0",))


# --- official, random ------------------------------------------------------------------------------------------


def test_an_official_split_leaves_out_what_it_does_not_name():
    windows = placed([2] * 4)
    sessions = {"train": ["session 3"], "calibration": ["session 0"], "test": ["session 1", "never recorded"]}

    split = official_split(windows, np.arange(8), "as published", sessions)

    assert [getattr(split, part).tolist() for part in PARTS] == [[6, 7], [0, 1], [2, 3]]
    assert split.kind == "official"


def test_random_windows_are_refused_unless_leaking_is_allowed():
    windows = placed([100])

    with pytest.raises(TrainError, match="random split of windows leaks") as told:
        random_split(windows, np.arange(100))
    assert "--allow-leaky" in told.value.hint

    split = random_split(windows, np.arange(100), allow_leaky=True)
    assert split.leaky
    assert split.name.startswith("LEAKY: ")
    assert sorted(np.concatenate([getattr(split, part) for part in PARTS]).tolist()) == list(range(100))


@given(seed=st.integers(0, 20), count=st.integers(10, 60), span=st.sampled_from([0.2, 0.95, 3.0]))
def test_a_leaky_split_tells_how_much_it_leaks(seed, count, span):
    windows = placed([count, count], nodes=2)
    windows = dataclasses.replace(windows, end_s=windows.start_s + span)

    split = random_split(windows, np.arange(len(windows)), allow_leaky=True, seed=seed)

    def overlap(one: int, other: int) -> bool:
        same = windows.session[one] == windows.session[other] and windows.node[one] == windows.node[other]
        return bool(
            same and windows.start_s[one] <= windows.end_s[other] and windows.start_s[other] <= windows.end_s[one]
        )

    shared = sum(any(overlap(row, other) for other in split.train) for row in split.test) / len(split.test)
    told = {0.0: "none", 1.0: "all"}.get(shared, f"{min(max(shared, 0.01), 0.99):.0%}")
    assert split.name.endswith(f"all share a session with windows that train, {told} share frames")


def test_a_leaky_split_of_windows_that_do_not_overlap_says_what_they_share():
    split = random_split(timed(np.arange(50)), np.arange(50), allow_leaky=True)

    assert split.name.endswith("of those that test all share a session with windows that train, none share frames")


def test_a_leaky_split_does_not_tell_of_one_window_as_none():
    one_overlaps = timed(np.arange(2000), np.where(np.arange(2000) == 500, 1.5, 0.95))

    told = {
        random_split(one_overlaps, np.arange(2000), allow_leaky=True, seed=seed).name.split()[-3] for seed in range(20)
    }

    assert told == {"none", "1%"}


def test_a_digest_tells_splits_apart():
    windows = placed([90] * 4)
    rows = np.arange(360)
    digests = {
        group_split(windows, rows, "session").digest,
        group_split(windows, rows, "session", seed=1).digest,
        group_split(windows, rows[1:], "session").digest,
        temporal_split(windows, rows).digest,
        random_split(windows, rows, allow_leaky=True).digest,
    }

    assert len(digests) == 5


def test_a_temporal_split_tells_its_stretches_of_time():
    split = temporal_split(timed(np.arange(100)), np.arange(100))

    assert split.ids["train"] == ("session 0: 0.000 to 69.950 s",)
    assert len(split.ids["calibration"]) == len(split.ids["test"]) == 1


def test_further_data_only_train():
    own, further = make_windows(60), make_windows(20, seed=1)
    both = join([own, dataclasses.replace(further, names={**further.names, "session": ("further",)})])
    split = temporal_split(both, np.arange(60))

    more = with_training_rows(split, both, np.arange(60, 80))

    assert more.train.tolist() == [*split.train.tolist(), *range(60, 80)]
    assert (more.calibration.tolist(), more.test.tolist()) == (split.calibration.tolist(), split.test.tolist())
    assert more.ids["train"] == (*split.ids["train"], "further")
    assert more.digest != split.digest
    with pytest.raises(TrainError, match="calibration part"):
        with_training_rows(split, both, np.arange(5))
