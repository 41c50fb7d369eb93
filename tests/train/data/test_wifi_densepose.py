import numpy as np
import pytest

from cogd.errors import ConfigError, TrainError
from cogd.train.data.dataset import open_dataset
from cogd.train.data.track import Timing

pytestmark = pytest.mark.train


def write(root, place="S01/A03", *, subcarriers=56, frames=30):
    folder = root / place
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    csi = rng.uniform(1, 9, (frames, 1, 3, subcarriers)).astype(np.float32)
    phase = rng.uniform(-3, 3, csi.shape).astype(np.float32)
    truth = np.concatenate([rng.uniform(0, 1, (frames, 17, 2)), rng.integers(0, 3, (frames, 17, 1))], axis=2)
    for name, array in (("wifi_csi", csi), ("wifi_csi_phase", phase), ("gt_keypoints", truth.astype(np.float32))):
        np.save(folder / f"{name}.npy", array)
    return folder, csi, phase, truth.astype(np.float32)


def test_each_pair_of_antennas_is_a_memory_mapped_recording(tmp_path):
    _, csi, phase, truth = write(tmp_path)

    recordings = open_dataset(f"wifi-densepose:{tmp_path}?rate=50").recordings()

    assert [(r.session, r.subject, r.node) for r in recordings] == [("S01/A03", "S01", node) for node in range(3)]
    assert {(r.rate_hz, r.timing) for r in recordings} == {(50.0, Timing.NOMINAL)}
    for node, recording in enumerate(recordings):
        track = recording.track()
        assert isinstance(track.amplitude, np.memmap)
        np.testing.assert_array_equal(track.amplitude, csi[:, 0, node])
        np.testing.assert_array_equal(track.phase, phase[:, 0, node])
        np.testing.assert_array_equal(track.keypoints, truth[:, :, :2])
        np.testing.assert_array_equal(track.visible, truth[:, :, 2])
        np.testing.assert_allclose(track.time_s, np.arange(30) / 50)


def test_other_numbers_of_subcarriers_are_interpolated(tmp_path):
    _, csi, _, _ = write(tmp_path, subcarriers=114)

    track = open_dataset(f"wifi-densepose:{tmp_path}?rate=50").recordings()[1].track()

    expected = [np.interp(np.linspace(0, 113, 56), np.arange(114), row) for row in csi[:, 0, 1]]
    np.testing.assert_allclose(track.amplitude, expected, rtol=1e-5)


def test_keypoints_and_phase_may_be_absent(tmp_path):
    folder, *_ = write(tmp_path)
    (folder / "gt_keypoints.npy").unlink()
    (folder / "wifi_csi_phase.npy").unlink()

    track = open_dataset(f"wifi-densepose:{tmp_path}?rate=50").recordings()[0].track()

    assert track.keypoints is track.phase is track.persons is None


@pytest.mark.parametrize("query", ["", "?rate=", "?rate=0", "?rate=nan", "?rate=-5"])
def test_the_rate_must_be_given(tmp_path, query):
    write(tmp_path)

    with pytest.raises(ConfigError, match="wifi-densepose"):
        open_dataset(f"wifi-densepose:{tmp_path}{query}")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("wifi_csi.npy", None, r"wifi_csi\.npy can't be read: No such file"),
        ("wifi_csi.npy", np.ones((30, 56)), r"wifi_csi\.npy is float64 \[30, 56\]"),
        ("wifi_csi.npy", b"no npy", r"wifi_csi\.npy is broken"),
        ("gt_keypoints.npy", np.ones((29, 17, 3)), r"gt_keypoints\.npy is \[29, 17, 3\], not \[30, 17, 3\]"),
        ("wifi_csi_phase.npy", np.ones((30, 1, 2, 56)), r"wifi_csi_phase\.npy is \[30, 1, 2, 56\]"),
    ],
)
def test_a_missing_or_broken_file_is_told_by_name(tmp_path, name, content, message):
    folder, *_ = write(tmp_path)
    if content is None:
        (folder / name).unlink()
    elif isinstance(content, bytes):
        (folder / name).write_bytes(content)
    else:
        np.save(folder / name, content)

    with pytest.raises(TrainError, match=message):
        open_dataset(f"wifi-densepose:{tmp_path}?rate=50").recordings()[0].track()


def test_mmfis_own_layout_is_told_from_it(tmp_path):
    (tmp_path / "E01" / "S01" / "A01").mkdir(parents=True)

    with pytest.raises(TrainError, match="holds no action such as S01/A01"):
        open_dataset(f"wifi-densepose:{tmp_path}?rate=50")
