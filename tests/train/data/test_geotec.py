import numpy as np
import pytest

from cogd.csi.window import WindowSpec
from cogd.errors import TrainError
from cogd.train.data.cut import cut_windows
from cogd.train.data.dataset import open_dataset
from cogd.train.data.track import Timing

pytestmark = pytest.mark.train


def write(path, labels, amplitude=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if amplitude is None:
        amplitude = np.random.default_rng(0).uniform(5, 40, (len(labels), 56)).astype(np.float32)
    np.savez(path, amplitude=amplitude, label=np.asarray(labels))
    return amplitude


def test_being_seated_is_quiet_and_all_else_is_motion(tmp_path):
    labels = ["SEATED_RX", "STANDING_UP_RX", "WALKING_TX", "TURN_TX", "SITTING_DOWN_TX", "SEATED_TX"]
    amplitude = write(tmp_path / "D1" / "e01_rx_tx.npz", labels)

    (recording,) = open_dataset(f"geotec:{tmp_path}").recordings()
    track = recording.track()

    assert (recording.session, recording.chip, recording.timing) == ("D1/e01_rx_tx", "S2", Timing.NOMINAL)
    assert track.moving.tolist() == [0, 1, 1, 1, 1, 0]
    assert track.persons.tolist() == [1] * 6
    np.testing.assert_array_equal(track.amplitude, amplitude)
    np.testing.assert_allclose(track.time_s, np.arange(6) / 100)


def test_a_window_over_a_change_of_activity_stays_if_both_are_motion(tmp_path):
    write(tmp_path / "a.npz", ["SEATED_RX"] * 10 + ["STANDING_UP_RX"] * 5 + ["WALKING_RX"] * 10)

    windows = cut_windows(open_dataset(f"geotec:{tmp_path}"), WindowSpec("ht56", 8, 0.0, 0.5))

    assert windows.moving.tolist() == [0] * 3 + [1] * 8


@pytest.mark.parametrize(
    ("labels", "amplitude", "message"),
    [
        (["JUMPING_RX"], None, "a.npz has frames of the unknown label 'JUMPING_RX'"),
        (["SEATED_RX"] * 3, np.ones((3, 52), np.float32), r"a.npz: amplitude is float32 \[3, 52\]"),
        (
            ["SEATED_RX"] * 3,
            np.ones((4, 56), np.float32),
            r"a.npz: amplitude is float32 \[4, 56\], not float \[3, 56\]",
        ),
        (["SEATED_RX"] * 3, np.ones((3, 56), np.int64), "a.npz: amplitude is int64"),
    ],
)
def test_what_is_not_as_it_should_be_is_told(tmp_path, labels, amplitude, message):
    write(tmp_path / "a.npz", labels, amplitude)

    with pytest.raises(TrainError, match=message):
        open_dataset(f"geotec:{tmp_path}").recordings()[0].track()


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(TrainError, match=r"holds no \.npz"):
        open_dataset(f"geotec:{tmp_path}")


def test_the_real_recordings(data):
    dataset = open_dataset(f"geotec:{data / 'geotec'}")

    assert len(dataset.recordings()) == 28
    assert len(open_dataset(f"geotec:{data / 'geotec'}?session=D2/*").recordings()) == 4
    tracks = [recording.track() for recording in dataset.recordings()]
    assert all(np.isfinite(track.amplitude).all() for track in tracks)
    assert {value for track in tracks for value in track.moving.tolist()} == {0, 1}
