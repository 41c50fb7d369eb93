import numpy as np
import pytest

from cogd.errors import ConfigError, TrainError
from cogd.train.data import mmfi
from cogd.train.data.dataset import open_dataset
from cogd.train.data.subcarriers import interpolate_complex, interpolate_phase, interpolate_sparse

from .mmfi_tree import frame, write_action

pytestmark = pytest.mark.train


@pytest.fixture
def mmfi_root(tmp_path):
    write_action(tmp_path / "MMFi", "E01/S01/A02", seed=1)
    return tmp_path / "MMFi"


def in_order(values: np.ndarray, antenna: int) -> np.ndarray:
    """Packets of a frame `[10, 114]`."""
    return values[antenna].T


def converted(root, place, csi: np.ndarray, phase: np.ndarray | None = None) -> None:
    """One action in the layout of wifi-densepose-train; arrays `[frames, 1, 1, subcarriers]`."""
    folder = root / place
    folder.mkdir(parents=True)
    np.save(folder / "wifi_csi.npy", csi.astype(np.float32))
    if phase is not None:
        np.save(folder / "wifi_csi_phase.npy", phase.astype(np.float32))


def varying(tones: list[int], seed: int) -> np.ndarray:
    """Amplitudes `[40, 1, 1, 114]` of which these tones vary most."""
    scale = np.full(114, 0.1)
    scale[tones] = 1.0
    return 5 + np.random.default_rng(seed).normal(size=(40, 1, 1, 114)) * scale


def track_of(spec: str, number: int = 0):
    return open_dataset(spec).recordings()[number].track()


def test_mmfi_by_complex_interpolation(mmfi_root):
    track = track_of(f"mmfi:{mmfi_root}?resample=complex&cache=off", 1)

    amplitude, phase = (in_order(values, 1) for values in frame(7, 1))
    expected = interpolate_complex(amplitude, phase, 56)
    np.testing.assert_array_equal(track.amplitude[60:70], expected[0])
    np.testing.assert_array_equal(track.phase[60:70], expected[1])


def test_mmfi_by_sparse_least_squares(mmfi_root):
    track = track_of(f"mmfi:{mmfi_root}?resample=sparse&cache=off", 2)

    amplitude, phase = (in_order(values, 2) for values in frame(7, 1))
    np.testing.assert_allclose(track.amplitude[60:70], interpolate_sparse(amplitude, 56), rtol=1e-5)
    np.testing.assert_array_equal(track.phase[60:70], interpolate_phase(phase, 56))


def test_mmfi_by_variance_takes_the_tones_that_vary_most_in_the_sessions_of_fit(mmfi_root):
    write_action(mmfi_root, "E02/S11/A02", seed=2)

    track = track_of(f"mmfi:{mmfi_root}?session=E02/*&resample=variance&fit=E01/*&cache=off")

    fitted = np.concatenate([frame(number, 1)[0].transpose(0, 2, 1).reshape(-1, 114) for number in range(1, 298)])
    chosen = np.sort(np.argsort(-fitted.var(axis=0), kind="stable")[:56])
    amplitude, phase = (in_order(values, 0) for values in frame(7, 2))
    np.testing.assert_array_equal(track.amplitude[60:70], amplitude[:, chosen].astype(np.float32))
    np.testing.assert_array_equal(track.phase[60:70], phase[:, chosen].astype(np.float32))


def test_tracks_of_each_method_have_their_own_cache_entry(mmfi_root, tmp_path):
    specs = [f"mmfi:{mmfi_root}?cache={tmp_path / 'cache'}&resample={name}" for name in ("linear", "sparse", "complex")]
    first = [track_of(spec).amplitude[:10].copy() for spec in specs]
    mmfi._decode.cache_clear()  # so that the second pass is the cache on the disk

    for spec, amplitude in zip(specs, first, strict=True):
        np.testing.assert_array_equal(track_of(spec).amplitude[:10], amplitude)
    assert not np.allclose(first[0], first[1])
    assert not np.allclose(first[0], first[2])


def test_a_missing_phase_costs_its_neighbours_alone(tmp_path):
    phase = np.random.default_rng(1).uniform(-1, 1, (40, 1, 1, 114))
    phase[3, 0, 0, 57] = np.nan
    converted(tmp_path, "S01/A01", varying([], 0), phase)

    amplitude = track_of(f"wifi-densepose:{tmp_path}?rate=50&resample=complex").amplitude

    assert amplitude.shape == (40, 56)
    assert 1 <= np.isnan(amplitude[3]).sum() <= 2
    assert np.isfinite(np.delete(amplitude, 3, axis=0)).all()


def test_wifi_densepose_by_variance_of_the_sessions_of_fit_alone(tmp_path):
    low, high = list(range(56)), list(range(58, 114))
    converted(tmp_path, "S01/A01", varying(low, 0))
    converted(tmp_path, "S02/A01", varying(high, 1))

    for fit, chosen in (("S01/*", low), ("S02/A01", high)):
        dataset = open_dataset(f"wifi-densepose:{tmp_path}?rate=50&resample=variance&fit={fit}")
        for recording in dataset.recordings():
            csi = np.load(tmp_path / recording.session / "wifi_csi.npy")
            np.testing.assert_array_equal(recording.track().amplitude, csi[:, 0, 0][:, chosen])


def test_complex_interpolation_without_phases_is_refused(tmp_path):
    converted(tmp_path, "S01/A01", varying([], 0))

    with pytest.raises(TrainError, match="needs phases"):
        track_of(f"wifi-densepose:{tmp_path}?rate=50&resample=complex")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ("resample=cubic", ConfigError, "resample=cubic"),
        ("resample=variance", ConfigError, "fit go together"),
        ("fit=S01/*", ConfigError, "fit go together"),
        ("resample=sparse&fit=S01/*", ConfigError, "fit go together"),
        ("resample=variance&fit=S09/*", TrainError, "no session 'S09/\\*'"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, options, error, said):
    converted(tmp_path, "S01/A01", varying([], 0))

    with pytest.raises(error, match=said):
        open_dataset(f"wifi-densepose:{tmp_path}?rate=50&{options}")


def test_pieces_of_other_widths_are_refused(tmp_path):
    converted(tmp_path, "S01/A01", varying([], 0))
    converted(tmp_path, "S02/A01", varying([], 0)[..., :100])

    with pytest.raises(TrainError, match="114 in one recording, 100 in another"):
        track_of(f"wifi-densepose:{tmp_path}?rate=50&resample=variance&fit=*")
