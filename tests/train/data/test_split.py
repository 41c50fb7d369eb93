import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.errors import TrainError
from cogd.train.data.split import temporal_split
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


def test_only_the_given_rows_are_dealt_out():
    windows, rows = timed(np.arange(200)), np.arange(0, 200, 2)

    split = temporal_split(windows, rows)

    assert set(np.concatenate([split.train, split.calibration, split.test])) <= set(rows)


def test_the_split_says_how_it_was_made():
    split = temporal_split(timed(np.arange(100)), np.arange(100), test=0.2, calibration=0.1)

    assert split.name.startswith("temporal, per session: first 70% train, next 10% calibrate, last 20% test")


@pytest.mark.parametrize(("count", "part"), [(2, "calibration"), (1, "train")])
def test_too_little_data_for_a_part_is_refused_by_the_parts_name(count, part):
    with pytest.raises(TrainError, match=f"the {part} part of the data is empty"):
        temporal_split(timed(np.arange(count)), np.arange(count))


def test_data_without_any_label_is_refused():
    with pytest.raises(TrainError, match="no window of the data has a usable label"):
        temporal_split(timed(np.arange(9)), np.arange(0))
