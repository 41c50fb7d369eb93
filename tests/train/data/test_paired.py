import dataclasses
import hashlib
import json

import numpy as np
import pytest

from cogd.csi.window import WindowSpec
from cogd.errors import TrainError
from cogd.train.data.cut import cut_windows
from cogd.train.data.dataset import open_dataset
from cogd.train.data.paired import frames_first, read_paired
from cogd.train.import_cog import _recorded_windows
from tests.train.factory import TINY, pair, rippled_windows, run_cli, write_pairs

pytestmark = pytest.mark.train


@pytest.fixture
def windows() -> np.ndarray:
    return rippled_windows(12)


@pytest.fixture(scope="module")
def simulated() -> np.ndarray:
    from cogd.train.data.simulated import SimulatedRooms
    from tests.train.factory import simulate_windows

    return simulate_windows(SimulatedRooms((3,), (1,), minutes=0.2, nodes=2, stride=20)).csi


@pytest.fixture(scope="module")
def recorded(recording) -> np.ndarray:
    """Windows of real frames, as far apart as they are long."""
    return _recorded_windows(recording)[::20]


def file_of(tmp_path, windows, **changes):
    return write_pairs(tmp_path / "a.paired.jsonl", [pair(window, k, **changes) for k, window in enumerate(windows)])


@pytest.mark.parametrize("frame_after_frame", [True, False])
@pytest.mark.parametrize("csi_shape", [[56, 20], [20, 56]])
@pytest.mark.parametrize("origin", ["simulated", "recorded", "windows"])
def test_the_layout_is_read_off_the_values_whatever_csi_shape_says(
    tmp_path, request, frame_after_frame, csi_shape, origin
):
    windows = request.getfixturevalue(origin)

    read = read_paired(file_of(tmp_path, windows, frame_after_frame=frame_after_frame, csi_shape=csi_shape))

    np.testing.assert_allclose(read.csi, windows, atol=1e-4)
    assert read.csi.dtype == np.float32
    assert read.csi.flags.c_contiguous


def test_every_single_real_window_tells_its_own_layout(recorded):
    for window in recorded:
        assert frames_first(window.T.reshape(1, -1), 20) is True
        assert frames_first(window.reshape(1, -1), 20) is False


@pytest.mark.parametrize("kind", ["noise", "silence", "constant"])
def test_values_that_tell_no_layout_are_refused(tmp_path, kind):
    rng = np.random.default_rng(0)
    window = {
        "noise": 20 + rng.normal(size=(12, 56, 20)),
        "silence": np.zeros((12, 56, 20)),
        "constant": np.full((12, 56, 20), 7.0),
    }[kind]

    with pytest.raises(TrainError, match="do not tell whether they lie frame after frame"):
        read_paired(file_of(tmp_path, window))


def test_a_drift_over_time_does_not_pass_for_the_other_layout(tmp_path):
    windows = rippled_windows(12) + np.linspace(0, 6, 20, dtype=np.float32)

    np.testing.assert_allclose(read_paired(file_of(tmp_path, windows)).csi, windows, atol=1e-4)


@pytest.mark.parametrize("frames", [2, 10, 56, 100])
def test_windows_may_hold_another_number_of_frames(tmp_path, frames):
    windows = rippled_windows(12, frames=frames)

    assert read_paired(file_of(tmp_path, windows)).csi.shape == (12, 56, frames)


def test_labels_come_with_their_windows_sorted_by_time(tmp_path, windows):
    order = np.random.default_rng(0).permutation(12)
    lines = [pair(windows[k], int(k), conf=k / 20, n_persons_mode=int(k) % 3) for k in order]

    read = read_paired(write_pairs(tmp_path / "a.jsonl", lines))

    np.testing.assert_allclose(read.csi, windows, atol=1e-4)
    np.testing.assert_allclose(read.weight, np.arange(12) / 20)
    assert read.persons.tolist() == [k % 3 for k in range(12)]
    np.testing.assert_allclose(read.keypoints[:, 0, 0], [0.3 + k % 5 / 50 for k in range(12)], atol=1e-6)
    np.testing.assert_allclose(np.diff(read.end_s), 1.0)
    np.testing.assert_allclose(read.end_s - read.start_s, 0.95)
    assert (read.session == 0).all()


def test_an_empty_window_has_no_keypoints(tmp_path, windows):
    lines = [pair(windows[0], 0), pair(windows[1], 1, n_persons_mode=0, kp=[], conf=0.0)]

    read = read_paired(write_pairs(tmp_path / "a.jsonl", lines))

    assert read.persons.tolist() == [1, 0]
    assert np.isfinite(read.keypoints[0]).all()
    assert np.isnan(read.keypoints[1]).all()


def test_what_the_model_must_know_is_read_from_the_file(tmp_path, windows):
    path = file_of(tmp_path, windows)

    read = read_paired(path, licence="MIT")

    assert read.rate_hz == pytest.approx(20.0, rel=1e-3)
    assert read.max_gap_s == 0.5
    assert read.min_gap_s == 0.0
    assert read.tones == "first56"
    assert read.origin.name == "paired recording a.paired.jsonl"
    assert read.origin.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read.origin.licence == "MIT"


def test_slow_recordings_may_have_longer_gaps(tmp_path, windows):
    lines = [pair(w, k, ts_start="2026-05-19T17:00:00Z", ts_end="2026-05-19T17:00:19Z") for k, w in enumerate(windows)]

    read = read_paired(write_pairs(tmp_path / "a.jsonl", lines))

    assert (read.rate_hz, read.max_gap_s) == (1.0, 3.0)


@pytest.mark.parametrize("stride", [1, 7])
def test_as_a_data_set_it_has_the_same_windows_whatever_the_stride(tmp_path, windows, stride):
    path = write_pairs(
        tmp_path / "a.jsonl", [pair(window, k, n_persons_mode=k % 3) for k, window in enumerate(windows)]
    )
    read = read_paired(path)
    spec = WindowSpec(read.tones, 20, read.min_gap_s, read.max_gap_s)

    cut = cut_windows(open_dataset(f"paired:{path}?licence=MIT"), spec, stride)

    for column in ("csi", "keypoints", "weight", "persons", "start_s", "end_s", "session", "node"):
        np.testing.assert_array_equal(getattr(cut, column), getattr(read, column))
    assert (cut.names, cut.origin) == (read.names, dataclasses.replace(read.origin, licence="MIT"))
    assert cut.rate_hz == pytest.approx(read.rate_hz, rel=1e-3)


def test_blank_lines_are_passed_over(tmp_path, windows):
    path = file_of(tmp_path, windows[:3])
    path.write_text(path.read_text().replace("\n", "\n\n") + "  \n")

    assert len(read_paired(path)) == 3


BAD_KP = [[0.5, 0.5]] * 13


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"csi_shape": [56]}, "line 3: .*csi_shape"),
        ({"csi_shape": [20, 57]}, "mixes windows of the shapes"),
        ({"csi_shape": [30, 56]}, "mixes windows of the shapes"),
        ({"csi": [1.0] * 1119}, "line 3: 1119 values, not 20 x 56"),
        ({"csi": "AAAA"}, "line 3: .*csi"),
        ({"csi": None}, "line 3: .*csi"),
        ({"csi": [1e39] * 1120}, "amplitudes that are not finite"),
        ({"kp": BAD_KP}, "line 3: 13 keypoints, not 17 or none"),
        ({"kp": [[0.5]] * 17}, "line 3: .*kp"),
        ({"kp": [[5.0, 9.0]] * 17}, "line 3: a keypoint is far outside the picture"),
        ({"ts_end": "2026-01-01T00:00:00"}, "line 3: '2026-01-01T00:00:00' does not say its time zone"),
        ({"conf": 1.5}, "line 3: .*conf"),
        ({"conf": -0.1}, "line 3: .*conf"),
        ({"n_persons_mode": -1}, "line 3: .*n_persons_mode"),
        ({"n_persons_mode": 2**70}, "line 3: .*n_persons_mode"),
        ({"n_persons_mode": 0.5}, "line 3: .*n_persons_mode"),
        ({"ts_end": "noon"}, "line 3: 'noon' is not a time"),
        ({"ts_end": "2001-01-01T00:00:00Z"}, "line 3: ends before it starts"),
    ],
)
def test_a_bad_line_is_refused_by_its_number_or_by_what_is_wrong(tmp_path, windows, changes, message):
    lines = [pair(window, k) for k, window in enumerate(windows)]
    lines[2] |= changes

    with pytest.raises(TrainError, match=message) as refused:
        read_paired(write_pairs(tmp_path / "a.jsonl", lines))
    assert refused.value.hint


@pytest.mark.parametrize("line", ["{", "[]", "no json", '{"csi": [NaN]}', "{}", "\udcff"])
def test_a_line_that_is_no_pair_is_refused_by_its_number(tmp_path, windows, line):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(pair(windows[0])) + "\n\n" + line + "\n", encoding="utf-8", errors="surrogateescape")

    with pytest.raises(TrainError, match="line 3: "):
        read_paired(path)


@pytest.mark.parametrize("key", ["csi", "csi_shape", "kp", "conf", "n_persons_mode", "ts_start", "ts_end"])
def test_a_line_that_lacks_a_key_is_refused_by_the_key(tmp_path, windows, key):
    lines = [pair(windows[0], 0), pair(windows[1], 1)]
    del lines[1][key]

    with pytest.raises(TrainError, match=f"line 2: .*`{key}`"):
        read_paired(write_pairs(tmp_path / "a.jsonl", lines))


def test_other_subcarriers_than_56_are_refused(tmp_path):
    with pytest.raises(TrainError, match="windows of 20 x 64; one side must be 56"):
        read_paired(file_of(tmp_path, rippled_windows(4, subcarriers=64)))


def test_a_window_of_one_frame_is_refused(tmp_path):
    with pytest.raises(TrainError, match="two frames at least"):
        read_paired(file_of(tmp_path, rippled_windows(4, frames=1)))


@pytest.mark.parametrize("end", ["2026-05-19T17:00:00Z", "2026-05-19T18:00:00Z"])
def test_windows_of_no_length_or_of_hours_are_refused(tmp_path, windows, end):
    path = file_of(tmp_path, windows, ts_start="2026-05-19T17:00:00Z", ts_end=end)

    with pytest.raises(TrainError, match="windows of 20 frames span"):
        read_paired(path)


def test_an_empty_a_missing_and_an_unreadable_file_are_refused(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")

    with pytest.raises(TrainError, match="holds no pairs"):
        read_paired(tmp_path / "empty.jsonl")
    with pytest.raises(TrainError, match="No such file"):
        read_paired(tmp_path / "missing.jsonl")
    with pytest.raises(TrainError, match="Is a directory"):
        read_paired(tmp_path)


@pytest.mark.parametrize("verb", ["pose", "count"])
def test_a_paired_file_trains_either_network(tmp_path, verb):
    windows = rippled_windows(60)
    lines = [pair(window, k, n_persons_mode=k % 2, **({} if k % 2 else {"kp": []})) for k, window in enumerate(windows)]
    path = write_pairs(tmp_path / "a.paired.jsonl", lines)

    ran = run_cli(verb, "--out", tmp_path / "run", "--paired", path, "--licence", "CC-BY-4.0", *TINY)

    assert ran.status == 0, ran.err
    report = json.loads((tmp_path / "run" / "report.json").read_bytes())
    used = 30 if verb == "pose" else 60
    assert used - 6 <= sum(report["windows"].values()) <= used
    description = json.loads((tmp_path / "run" / "description.json").read_bytes())
    assert description["input"]["tones"] == "first56"
    assert description["provenance"]["data"] == [
        {
            "name": "paired recording a.paired.jsonl",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "licence": "CC-BY-4.0",
        }
    ]
    assert not any("simulation" in limit for limit in description["provenance"]["limits"])
    assert {metric["split"].partition(":")[0] for metric in report["metrics"]} == {"held-out time"}


def test_a_paired_file_without_any_pose_can_not_train_one(tmp_path, windows):
    ran = run_cli("pose", "--out", tmp_path / "run", "--paired", file_of(tmp_path, windows, n_persons_mode=0, kp=[]))

    assert ran.status == 30
    assert "no window of the data has a usable label" in ran.err


def test_a_paired_file_with_more_persons_than_the_network_knows_is_refused(tmp_path):
    path = file_of(tmp_path, rippled_windows(40), n_persons_mode=8)

    ran = run_cli("count", "--out", tmp_path / "run", "--paired", path)

    assert ran.status == 30
    assert "outside 0..7" in ran.err


def test_a_file_that_is_not_there_is_told_with_how_to_name_one(tmp_path):
    with pytest.raises(TrainError, match="can't be read: No such file") as refused:
        read_paired(tmp_path / "nope")

    assert "--paired FILE" in refused.value.hint
