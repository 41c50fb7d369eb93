import json

import numpy as np
import pytest

from cogd.csi.window import WindowSpec
from cogd.errors import ConfigError, TrainError
from cogd.train.data.cut import cut_windows
from cogd.train.data.dataset import open_dataset
from cogd.train.data.track import Timing

pytestmark = pytest.mark.train


def write(root, *, label="baseline", name="baseline_s3_1.npz", chip="S3", room="bedroom", bins=None, **arrays):
    """Add a file to a folder of ESPectre's layout; returns its path."""
    rng = np.random.default_rng(0)
    if bins is None:
        bins = np.zeros((50, 64, 2), dtype=np.int8)
        bins[:, [*range(1, 29), *range(36, 64)]] = rng.integers(1, 90, (50, 56, 2))
    arrays = {"csi_data": bins.reshape(len(bins), -1), "duration_ms": np.float64(500.0), **arrays}
    (root / label).mkdir(parents=True, exist_ok=True)
    np.savez(root / label / name, **{key: value for key, value in arrays.items() if value is not None})
    index = root / "dataset_info.json"
    info = json.loads(index.read_text()) if index.exists() else {"files": {}}
    described = {"filename": name, "chip": chip, "duration_ms": 500, "num_packets": len(bins), "environment": room}
    info["files"].setdefault(label, []).append(described)
    index.write_text(json.dumps(info))
    return root / label / name


@pytest.mark.parametrize(("folder", "name"), [("espectre", "espectre"), ("flat", "espectre flat")])
def test_a_folder_that_is_called_as_its_kind_is_named_once(tmp_path, folder, name):
    write(tmp_path / folder)

    assert open_dataset(f"espectre:{tmp_path / folder}").name == name


def test_files_become_labelled_recordings(tmp_path):
    write(tmp_path)
    write(tmp_path, label="movement", name="movement_c6_1.npz", chip="C6", room="kitchen")

    dataset = open_dataset(f"espectre:{tmp_path}")

    quiet, moving = dataset.recordings()
    assert (quiet.session, quiet.room, quiet.chip, quiet.rate_hz) == ("baseline_s3_1", "bedroom", "S3", 100.0)
    assert (moving.session, moving.room, moving.chip, moving.timing) == (
        "movement_c6_1",
        "kitchen",
        "C6",
        Timing.DURATION,
    )
    track = quiet.track()
    np.testing.assert_allclose(track.time_s, np.arange(50) * 0.01)
    assert (track.moving == 0).all()
    assert (moving.track().moving == 1).all()
    assert track.persons is None


def test_amplitudes_are_those_of_the_active_bins_lowest_frequency_first(tmp_path):
    path = write(tmp_path)
    with np.load(path) as file:
        pairs = file["csi_data"].reshape(50, 64, 2).astype(float)

    amplitude = open_dataset(f"espectre:{tmp_path}").recordings()[0].track().amplitude

    expected = np.sqrt((pairs**2).sum(axis=2))[:, [*range(36, 64), *range(1, 29)]]
    np.testing.assert_allclose(amplitude, expected, rtol=1e-6)


def test_recordings_can_be_chosen_by_room_chip_and_session(tmp_path):
    for room in ("bedroom", "kitchen"):
        for chip in ("S3", "C6"):
            write(tmp_path, name=f"{room}_{chip}.npz", chip=chip, room=room)

    def chosen(query: str) -> list[str]:
        return [recording.name for recording in open_dataset(f"espectre:{tmp_path}?{query}").recordings()]

    assert chosen("room=kitchen") == ["kitchen_S3", "kitchen_C6"]
    assert chosen("chip=C6") == ["bedroom_C6", "kitchen_C6"]
    assert chosen("chip=C6&room=kitchen,bedroom") == ["bedroom_C6", "kitchen_C6"]
    assert chosen("session=bed*") == ["bedroom_S3", "bedroom_C6"]
    with pytest.raises(TrainError, match="has no chip 'H2'") as told:
        chosen("chip=H2")
    assert told.value.hint == "it has S3, C6"
    with pytest.raises(TrainError, match="no recording that is all of this"):
        chosen("chip=C6&session=*_S3")


def test_the_digest_is_that_of_what_is_used(tmp_path):
    write(tmp_path)
    other = write(tmp_path, name="other.npz", room="kitchen")
    bedroom = open_dataset(f"espectre:{tmp_path}?room=bedroom").origin.sha256
    everything = open_dataset(f"espectre:{tmp_path}").origin.sha256

    other.write_bytes(b"something else")

    assert open_dataset(f"espectre:{tmp_path}?room=bedroom").origin.sha256 == bedroom
    assert open_dataset(f"espectre:{tmp_path}").origin.sha256 != everything


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), "baseline_s3_1.npz can't be read: No such file"),
        (lambda path: path.write_bytes(b""), "baseline_s3_1.npz is broken"),
        (lambda path: path.write_bytes(path.read_bytes()[:-200]), "baseline_s3_1.npz is broken"),
        (lambda path: np.savez(path, duration_ms=500.0), "baseline_s3_1.npz has no array 'csi_data'"),
        (
            lambda path: np.savez(path, csi_data=np.ones((9, 99), np.int8), duration_ms=500.0),
            r"baseline_s3_1.npz: csi_data is int8 \[9, 99\]",
        ),
        (
            lambda path: np.savez(path, csi_data=np.ones((9, 128), np.int8), duration_ms=0.0),
            "baseline_s3_1.npz: duration_ms is 0",
        ),
        (
            lambda path: np.savez(path, csi_data=np.array([{}], object), duration_ms=1.0),
            "baseline_s3_1.npz is broken: Object arrays cannot be loaded",
        ),
    ],
)
def test_a_missing_or_broken_file_is_told_by_its_name_and_nothing_takes_its_place(tmp_path, change, message):
    change(write(tmp_path))

    with pytest.raises(TrainError, match=message):
        open_dataset(f"espectre:{tmp_path}").recordings()[0].track()


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (None, "dataset_info.json can't be read"),
        ("{", "dataset_info.json: "),
        ('{"files": {"baseline": [{"filename": "a.npz"}]}}', "dataset_info.json: .*chip"),
        ('{"files": {"dancing": []}}', "files of the unknown label 'dancing'"),
    ],
)
def test_an_index_that_can_not_be_used_is_refused(tmp_path, index, message):
    if index is not None:
        (tmp_path / "dataset_info.json").write_text(index)

    with pytest.raises(TrainError, match=message):
        open_dataset(f"espectre:{tmp_path}")


def test_an_unknown_option_is_refused(tmp_path):
    write(tmp_path)

    with pytest.raises(ConfigError, match="has no option 'colour'"):
        open_dataset(f"espectre:{tmp_path}?colour=red")


# --- the real ones ---------------------------------------------------------------------------------------------


def test_the_real_recordings(data):
    dataset = open_dataset(f"espectre:{data / 'espectre'}")
    recordings = dataset.recordings()

    assert len(recordings) == 30
    assert {recording.room for recording in recordings} == {"bedroom", "living_room"}
    assert {recording.chip for recording in recordings} == {"ESP32", "S3", "C3", "C5", "C6"}
    for recording in recordings:
        track = recording.track()
        assert recording.rate_hz == pytest.approx(
            len(track) / (track.time_s[-1] + np.median(np.diff(track.time_s))), rel=1e-3
        )
        assert np.isfinite(track.amplitude).all()
        own = {"ESP32": "ht-64-classic", "C5": "ht-64-centred", "C6": "ht-64-centred"}.get(recording.chip, "ht-64")
        assert track.kinds[np.bincount(track.kind).argmax()] == own
        assert track.left_out == {}


def test_windows_of_a_real_c6_hold_no_frame_of_half_the_gain(data):
    """Frames of the other kind are 2 to 9 of a hundred; with one in a window its level jumps."""
    dataset = open_dataset(f"espectre:{data / 'espectre'}?chip=C6&session=baseline*")

    windows = cut_windows(dataset, WindowSpec("ht56", 20, 0.0, 0.5), 5)

    level = windows.csi.mean(axis=1)
    assert (level.min(axis=1) > 0.6 * level.max(axis=1)).all()


def test_files_that_were_made_on_end_are_one_setup(data):
    setups: dict[str, set[str]] = {}
    for recording in open_dataset(f"espectre:{data / 'espectre'}").listed:
        setups.setdefault(recording.setup, set()).add(recording.name)

    sizes = sorted(len(names) for names in setups.values())
    assert sizes == [2] * 13 + [4]
    assert setups["bedroom, C3, 2026-03-29 13:03"] == {
        f"{kind}_c3_64sc_20260329_{time}"
        for kind, time in (
            ("baseline", "130303"), ("movement", "130321"), ("baseline", "130411"), ("movement", "130429"),
        )
    }  # fmt: skip
    for names in setups.values():
        assert {name.partition("_")[0] for name in names} == {"baseline", "movement"}
