import numpy as np
import pytest

from cogd.csi.window import WindowSpec
from cogd.errors import ConfigError, TrainError
from cogd.train.data.cut import cut_windows
from cogd.train.data.dataset import open_dataset
from cogd.train.data.track import Timing

from .mmfi_tree import frame, write_action, write_frame

pytestmark = pytest.mark.train


@pytest.fixture
def tree(tmp_path):
    write_action(tmp_path / "MMFi", "E01/S01/A02")
    return tmp_path / "MMFi"


def tracks(tree, query="cache=off"):
    return [recording.track() for recording in open_dataset(f"mmfi:{tree}?{query}").recordings()]


def by_hand(values: np.ndarray) -> np.ndarray:
    """114 subcarriers `[n, 114]` to 56, one row after the other."""
    return np.stack([np.interp(np.linspace(0, 113, 56), np.arange(114), row) for row in values])


def test_each_antenna_is_a_recording_with_its_place(tree):
    write_action(tree, "E04/S33/A27")

    recordings = open_dataset(f"mmfi:{tree}?cache=off").recordings()

    assert [(r.session, r.room, r.subject, r.node) for r in recordings] == [
        (f"{room}/{subject}/{action}", room, subject, node)
        for room, subject, action in (("E01", "S01", "A02"), ("E04", "S33", "A27"))
        for node in range(3)
    ]
    assert {(r.rate_hz, r.timing) for r in recordings} == {(100.0, Timing.NOMINAL)}


def test_packets_follow_one_another_frame_by_frame_interpolated_to_56(tree):
    for antenna, track in enumerate(tracks(tree)):
        assert track.amplitude.shape == (2970, 56)
        for number in (1, 150, 297):
            amplitude, _ = frame(number)
            expected = by_hand(amplitude[antenna].T)
            np.testing.assert_allclose(track.amplitude[(number - 1) * 10 : number * 10], expected, rtol=1e-5)
        np.testing.assert_allclose(track.time_s[:12], np.arange(12) / 100)


def test_phases_are_interpolated_unwrapped(tree):
    for antenna, track in enumerate(tracks(tree)):
        _, phase = frame(7)
        expected = by_hand(np.unwrap(phase[antenna].T, axis=1))
        np.testing.assert_allclose(np.exp(1j * track.phase[60:70].astype(float)), np.exp(1j * expected), atol=1e-4)


def test_the_truth_of_a_frame_is_that_of_each_of_its_packets(tree):
    truth = np.load(tree / "E01/S01/A02/ground_truth.npy")

    for track in tracks(tree):
        np.testing.assert_allclose(track.keypoints3d, np.repeat(truth, 10, axis=0), rtol=1e-6)
        assert (track.persons == 1).all()
        assert track.moving is None
        assert track.keypoints is None


def test_an_infinite_amplitude_becomes_the_mean_of_its_packet(tree):
    amplitude, phase = frame(5)
    amplitude[1, 40, 3], amplitude[0, 0, 3], amplitude[2, 7, 6] = np.inf, -np.inf, np.nan
    write_frame(tree / "E01/S01/A02/wifi-csi/frame005.mat", amplitude, phase)

    track = tracks(tree)

    packet = amplitude[:, :, 3]
    mean = packet[np.isfinite(packet)].mean()
    filled = np.where(np.isfinite(packet), packet, mean)
    for antenna in range(3):
        np.testing.assert_allclose(track[antenna].amplitude[43], by_hand(filled[antenna][None])[0], rtol=1e-5)
        assert np.isfinite(track[antenna].amplitude).all()
        assert track[antenna].left_out == {}
    other = amplitude[:, :, 6]
    filled = np.where(np.isfinite(other), other, other[np.isfinite(other)].mean())
    np.testing.assert_allclose(track[2].amplitude[46], by_hand(filled[2][None])[0], rtol=1e-5)


def test_amplitudes_are_not_stretched_frame_by_frame(tree):
    amplitude, phase = frame(9)
    write_frame(tree / "E01/S01/A02/wifi-csi/frame009.mat", 100 * amplitude, phase)
    write_frame(tree / "E01/S01/A02/wifi-csi/frame010.mat", np.full((3, 114, 10), 7.0), phase)

    track = tracks(tree)[0]

    assert track.amplitude[80:90].mean() > 50 * track.amplitude[60:80].mean()
    np.testing.assert_allclose(track.amplitude[90:100], 7.0)


def test_a_packet_that_is_wholly_missing_stays_so_and_no_window_holds_it(tree):
    amplitude, phase = frame(20)
    amplitude[:, :, 4] = np.nan
    amplitude[:, :, 5] = np.inf
    write_frame(tree / "E01/S01/A02/wifi-csi/frame020.mat", amplitude, phase)

    track = tracks(tree)[0]

    assert np.flatnonzero(np.isnan(track.amplitude).any(axis=1)).tolist() == [194, 195]
    assert track.left_out == {"empty_packet": 2}
    windows = cut_windows(open_dataset(f"mmfi:{tree}?cache=off"), WindowSpec("ht56", 20, 0.0, 0.25), 20)
    assert np.isfinite(windows.csi).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), r"frame123\.mat can't be read: No such file"),
        (lambda path: path.write_bytes(b""), r"frame123\.mat is broken: it is empty"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:5000]),
            r"frame123\.mat is broken: it ends within an element",
        ),
        (
            lambda path: write_frame(path, np.ones((3, 114, 9)), np.ones((3, 114, 10))),
            r"frame123\.mat: CSIamp is float64 \[3, 114, 9\]",
        ),
        (lambda path: write_frame(path, np.ones((3, 114, 10)), np.array("x")), r"frame123\.mat: CSIphase is missing"),
    ],
)
def test_a_missing_or_broken_file_is_told_by_name_unless_it_may_be_missing(tree, change, message):
    change(tree / "E01/S01/A02/wifi-csi/frame123.mat")

    with pytest.raises(TrainError, match=message):
        tracks(tree)

    track = tracks(tree, "cache=off&broken=missing")[0]
    assert np.flatnonzero(np.isnan(track.amplitude).any(axis=1)).tolist() == list(range(1220, 1230))
    assert track.left_out == {"broken_file": 10}


def test_a_broken_truth_is_told_by_name(tree):
    np.save(tree / "E01/S01/A02/ground_truth.npy", np.ones((296, 17, 3)))

    with pytest.raises(TrainError, match=r"ground_truth\.npy is \[296, 17, 3\]"):
        tracks(tree)


def test_keypoints_in_pixels_need_the_pictures_size(tmp_path):
    write_action(tmp_path, "E01/S01/A02", rgb=True, truth=False)

    with pytest.raises(TrainError, match="keypoints in pixels") as told:
        tracks(tmp_path)
    assert told.value.hint == "?picture=WIDTHxHEIGHT"

    track = tracks(tmp_path, "cache=off&picture=640x480")[0]
    np.testing.assert_allclose(
        track.keypoints[::10, 3], np.stack([np.arange(1, 298) / 640, np.full(297, 0.5)], axis=1), rtol=1e-6
    )
    assert track.keypoints3d is None


@pytest.mark.parametrize("query", ["picture=640", "broken=ignored", "shape=round"])
def test_an_option_without_a_usable_value_is_refused(tree, query):
    with pytest.raises(ConfigError):
        open_dataset(f"mmfi:{tree}?{query}")


def test_a_folder_of_another_layout_is_refused(tmp_path):
    (tmp_path / "S01" / "A01").mkdir(parents=True)

    with pytest.raises(TrainError, match="holds no action such as E01/S01/A01"):
        open_dataset(f"mmfi:{tmp_path}")


def test_a_cached_track_is_the_same_and_memory_mapped(tree, tmp_path):
    folder = tmp_path / "cache"
    fresh = tracks(tree)

    first, again = (tracks(tree, f"cache={folder}") for _ in range(2))

    for track in (*first, *again):
        assert isinstance(track.amplitude, np.memmap) or track in first
    for kept, made in zip(again, fresh, strict=True):
        for name in ("time_s", "amplitude", "phase", "keypoints3d", "persons", "kind", "segment"):
            np.testing.assert_array_equal(getattr(kept, name), getattr(made, name))
        assert (kept.kinds, kept.left_out, kept.moving) == (made.kinds, made.left_out, None)
    assert len(list(folder.iterdir())) == 3


def test_a_changed_file_is_decoded_anew(tree, tmp_path):
    folder = tmp_path / "cache"
    tracks(tree, f"cache={folder}")
    amplitude, phase = frame(1)
    write_frame(tree / "E01/S01/A02/wifi-csi/frame001.mat", amplitude + 5, phase)

    np.testing.assert_allclose(
        tracks(tree, f"cache={folder}")[0].amplitude[:10], by_hand((amplitude[0] + 5).T), rtol=1e-5
    )
