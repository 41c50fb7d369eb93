import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from cogd.csi.window import WindowSpec
from cogd.errors import ConfigError, TrainError
from cogd.train.data.cut import cut_windows
from cogd.train.data.dataset import KINDS, open_dataset
from cogd.train.data.track import Dataset, Recording, Timing, Track, digest_of_files, even_times_s
from cogd.train.data.windows import DataOrigin, join
from tests.train.factory import make_windows

pytestmark = pytest.mark.train

SPEC = WindowSpec("ht56", 4, 0.0, 0.25)


def make_track(count: int = 12, *, first: float = 0.0, **columns: object) -> Track:
    """Frames 0.1 s apart; frame k holds `first` + k in each of its tones."""
    filled = {
        "time_s": np.arange(count) * 0.1,
        "amplitude": np.repeat(first + np.arange(count, dtype=np.float32)[:, None], 56, axis=1),
        "kind": np.zeros(count, dtype=np.int16),
        "kinds": ("ht-64",),
        "segment": np.zeros(count, dtype=np.int32),
    }
    return Track(**{**filled, **columns})


def make_recording(name: str = "a", track: Track | None = None, **fields: object) -> Recording:
    filled = {"session": name, "room": None, "subject": None, "chip": None, "node": 0, "rate_hz": None}
    return Recording(name, **{**filled, **fields}, timing=Timing.MEASURED, files=(), load=lambda: track or make_track())


def make_dataset(*recordings: Recording) -> Dataset:
    return Dataset("made up", "CC0-1.0", "ht56", recordings or (make_recording(),), Path())


def test_windows_come_in_order_newest_frame_last_with_their_times():
    windows = cut_windows(make_dataset(), SPEC, stride=3)

    assert windows.csi.shape == (3, 56, 4)
    assert windows.csi.dtype == np.float32
    assert windows.csi.flags.c_contiguous
    np.testing.assert_array_equal(windows.csi[:, 7], [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]])
    np.testing.assert_allclose(windows.start_s, [0, 0.3, 0.6])
    np.testing.assert_allclose(windows.end_s, [0.3, 0.6, 0.9])
    assert windows.rate_hz == 10.0


def test_what_a_track_does_not_tell_is_unknown():
    windows = cut_windows(make_dataset(), SPEC)

    assert np.isnan(windows.keypoints).all()
    for column in (windows.persons, windows.moving, windows.room, windows.subject):
        assert (column == -1).all()
    assert (windows.weight == 1).all()


def test_pose_and_persons_are_the_newest_frames():
    keypoints = np.tile(np.arange(12, dtype=np.float32)[:, None, None], (1, 17, 2))
    visible = np.full((12, 17), 2, dtype=np.uint8)
    visible[5, 3] = 0
    track = make_track(
        keypoints=keypoints, visible=visible, persons=np.arange(12), weight=np.linspace(0, 1, 12, dtype=np.float32)
    )

    windows = cut_windows(make_dataset(make_recording(track=track)), SPEC, stride=2)

    assert windows.persons.tolist() == [3, 5, 7, 9, 11]
    np.testing.assert_allclose(windows.weight, np.array([3, 5, 7, 9, 11]) / 11, atol=1e-6)
    np.testing.assert_array_equal(windows.keypoints[:, 0, 0], [3, 5, 7, 9, 11])
    assert np.isnan(windows.keypoints[1, 3]).all()  # a joint that is not labelled
    assert np.isfinite(windows.keypoints[0]).all()


def test_a_window_in_which_motion_changes_is_left_out():
    moving = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0], dtype=np.int8)

    windows = cut_windows(make_dataset(make_recording(track=make_track(moving=moving))), SPEC)

    np.testing.assert_array_equal(windows.csi[:, 0, 0], [0, 1, 5, 6])
    assert windows.moving.tolist() == [0, 0, 1, 1]


def test_a_window_in_which_motion_is_unknown_for_a_while_is_left_out_too():
    moving = np.array([0, 0, 0, 0, -1, 0, 0, 0, 0, -1, -1, -1], dtype=np.int8)

    windows = cut_windows(make_dataset(make_recording(track=make_track(moving=moving))), SPEC)

    np.testing.assert_array_equal(windows.csi[:, 0, 0], [0, 5])


def test_for_other_labels_such_windows_can_be_kept_as_unknown():
    moving = np.array([0] * 5 + [1] * 7, dtype=np.int8)

    windows = cut_windows(make_dataset(make_recording(track=make_track(moving=moving))), SPEC, transitions="unknown")

    assert windows.moving.tolist() == [0, 0, -1, -1, -1, 1, 1, 1, 1]


def test_a_lost_frame_is_passed_over_as_the_daemon_would_who_never_got_it():
    track = make_track()
    track.amplitude[4] = np.nan

    windows = cut_windows(make_dataset(make_recording(track=track)), SPEC)

    np.testing.assert_array_equal(windows.csi[1, 0], [1, 2, 3, 5])
    assert np.isfinite(windows.csi).all()


def test_no_window_reaches_over_two_recordings_or_two_segments():
    one = make_track(5, segment=np.array([0, 0, 0, 0, 1], dtype=np.int32))
    windows = cut_windows(make_dataset(make_recording("a", one), make_recording("b", make_track(5, first=100.0))), SPEC)

    np.testing.assert_array_equal(windows.csi[:, 0, 0], [0, 100, 101])
    assert windows.session.tolist() == [0, 1, 1]


def test_places_are_numbered_and_named():
    windows = cut_windows(
        make_dataset(
            make_recording("a0", session="a", room="hall", subject="S1", node=0),
            make_recording("a1", session="a", room="hall", subject="S1", node=1),
            make_recording("b", room="attic"),
        ),
        SPEC,
        stride=100,
    )

    assert windows.session.tolist() == [0, 0, 1]
    assert windows.room.tolist() == [0, 0, 1]
    assert windows.subject.tolist() == [0, 0, -1]
    assert windows.node.tolist() == [0, 1, 0]
    assert windows.names == {"session": ("a", "b"), "room": ("hall", "attic"), "subject": ("S1",)}


def test_tones_by_another_rule_are_refused():
    with pytest.raises(TrainError, match="tones by the rule ht56, not first56"):
        cut_windows(make_dataset(), WindowSpec("first56", 4, 0.0, 0.25))


def test_recordings_too_short_for_a_window_are_refused():
    with pytest.raises(TrainError, match="not a single window of 20 frames"):
        cut_windows(make_dataset(), WindowSpec("ht56", 20, 0.0, 0.25))


def test_nothing_is_loaded_before_it_is_asked_for():
    def load() -> Track:
        raise AssertionError

    recording = Recording("a", "a", None, None, None, 0, None, Timing.MEASURED, (), load)

    assert make_dataset(recording).recordings() == (recording,)


@pytest.mark.parametrize("text", ["", "espectre", "nonsense:x", "/a/path"])
def test_what_is_no_specification_is_refused(text):
    with pytest.raises(ConfigError, match="is not a data set"):
        open_dataset(text)


def test_the_digest_covers_every_file_and_its_name(tmp_path):
    (tmp_path / "b").mkdir()
    one, two = tmp_path / "a", tmp_path / "b" / "c"
    one.write_bytes(b"one")
    two.write_bytes(b"two")
    lines = "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(tmp_path)}\n" for p in (one, two))

    assert digest_of_files([two, one], tmp_path) == hashlib.sha256(lines.encode()).hexdigest()
    assert digest_of_files([one], tmp_path) == hashlib.sha256(b"one").hexdigest()
    with pytest.raises(TrainError, match="missing can't be read"):
        digest_of_files([one, tmp_path / "missing"], tmp_path)


# --- several data sets as one -----------------------------------------------------------------------------------


def test_joined_windows_keep_sessions_apart_and_share_rooms_of_the_same_name():
    one = cut_windows(make_dataset(make_recording("a", room="hall"), make_recording("b")), SPEC, stride=100)
    two = cut_windows(
        make_dataset(make_recording("c", room="attic"), make_recording("d", room="hall")), SPEC, stride=100
    )

    both = join([one, two])

    assert both.session.tolist() == [0, 1, 2, 3]
    assert both.room.tolist() == [0, -1, 1, 0]
    assert both.names["session"] == ("a", "b", "c", "d")
    assert both.names["room"] == ("hall", "attic")
    np.testing.assert_array_equal(both.csi, np.concatenate([one.csi, two.csi]))
    assert both.origin.name == "made up; made up"


def test_the_origin_of_joined_windows_has_a_digest_if_any_of_them_has():
    one, two = (cut_windows(make_dataset(make_recording(name)), SPEC) for name in "ab")
    two = dataclasses.replace(two, origin=DataOrigin("a file", "ab" * 32, "MIT"))

    assert join([one]).origin == one.origin
    assert join([one, two]).origin.sha256 == hashlib.sha256(b"ab" * 32).hexdigest()
    assert join([one, two]).origin.licence == "CC0-1.0; MIT"


def test_windows_that_do_not_fit_together_are_refused():
    one = cut_windows(make_dataset(make_recording("a")), SPEC)

    with pytest.raises(TrainError, match="a session of the same name"):
        join([one, one])
    for spec in (WindowSpec("ht56", 5, 0.0, 0.25), WindowSpec("ht56", 4, 0.0, 0.5)):
        with pytest.raises(TrainError, match="other lengths, tones or gaps"):
            join([one, cut_windows(make_dataset(make_recording("b")), spec)])


def test_some_rows_can_be_taken():
    windows = cut_windows(make_dataset(), SPEC)

    some = windows.take(np.array([3, 1]))

    assert len(some) == 2
    np.testing.assert_array_equal(some.csi[:, 0, 0], [3, 1])
    np.testing.assert_allclose(some.end_s, windows.end_s[[3, 1]])
    assert some.names == windows.names


def test_a_number_without_a_name_is_refused():
    with pytest.raises(TrainError, match="room has a number without a name"):
        make_windows(3, room=np.array([0, 1, 2]), names={"session": ("a",), "room": ("hall",), "subject": ()})


@pytest.mark.parametrize("rate_hz", [7.0, 30.0, 50.0, 100.0, 102.09])
@pytest.mark.parametrize("periods", [1, 2, 3, 5])
def test_even_frames_are_thinned_evenly(rate_hz, periods):
    track = make_track(3000, time_s=even_times_s(3000, rate_hz))
    spec = WindowSpec("ht56", 4, periods / rate_hz, 10.0)

    windows = cut_windows(make_dataset(make_recording(track=track)), spec)

    assert (np.diff(windows.csi[:, 0], axis=1) == periods).all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sim"])
@pytest.mark.parametrize("rest", ["", "?room=a"])
def test_a_data_set_at_no_place_is_refused_and_not_looked_for_here(kind, rest):
    with pytest.raises(ConfigError, match="names no place") as refused:
        open_dataset(f"{kind}:{rest}")

    assert refused.value.hint.startswith(f"{kind}:")
