import argparse
import json
from dataclasses import replace

import numpy as np
import pytest

from cogd.errors import ConfigError
from cogd.train.cli import data_fidelity
from cogd.train.data.dataset import open_dataset
from cogd.train.data.fidelity import STATISTICS, Comparison, compare, measure, statistics
from cogd.train.data.track import Dataset, Recording, Timing, Track

RNG = np.random.default_rng(1)
RATE_HZ = 100.0
FRAMES = 2000
LEVELS = np.linspace(20, 40, 56)


def made(shape: np.ndarray | float = 0.0, gain: np.ndarray | float = 0.0) -> np.ndarray:
    """Amplitudes of given shape `[frames, 56]` and common gain `[frames]`, both as logarithms."""
    logs = np.log(LEVELS) + np.zeros((FRAMES, 56)) + shape + np.broadcast_to(gain, FRAMES)[:, None]
    return np.exp(logs).astype(np.float32)


def white(size: float) -> np.ndarray:
    return RNG.normal(0, size, (FRAMES, 56))


def of(shape: np.ndarray | float = 0.0, gain: np.ndarray | float = 0.0) -> dict[str, float]:
    return statistics(made(shape, gain), RATE_HZ)


def test_every_statistic_is_explained_and_made():
    gain = np.where(np.arange(FRAMES) % 100 < 50, 0.0, 0.3)
    assert of(white(0.02), gain).keys() == STATISTICS.keys()


def test_white_noise_is_white():
    found = of(white(0.02))
    assert found["shape"] == pytest.approx(0.02, rel=0.03)
    assert found["noise"] == pytest.approx(0.02, rel=0.03)
    assert [found[f"acf_{lag}ms"] for lag in (10, 50, 200, 1000)] == pytest.approx([0] * 4, abs=0.02)
    assert [found[f"tones_{gap}"] for gap in (1, 4, 16, 40)] == pytest.approx([-1 / 56] * 4, abs=0.02)
    bands = [found[f"band_{band}hz"] for band in ("0_0.5", "0.5_2", "2_10", "10_inf")]
    assert bands == pytest.approx([0.01, 0.03, 0.16, 0.8], abs=0.01)  # as wide as the bands are, of 50 Hz


@pytest.mark.parametrize(("hz", "band"), [(0.3, "0_0.5"), (1.0, "0.5_2"), (5.0, "2_10"), (20.0, "10_inf")])
def test_an_oscillation_is_found_in_its_band_and_in_the_autocorrelation(hz, band):
    wave = 0.05 * np.sin(2 * np.pi * hz * np.arange(FRAMES) / RATE_HZ)
    found = of(wave[:, None] * np.where(np.arange(56) < 28, 1.0, -1.0))
    assert found[f"band_{band}hz"] > 0.9
    assert found["acf_50ms"] == pytest.approx(np.cos(2 * np.pi * hz * 0.05), abs=0.05)
    assert found["shape"] == pytest.approx(0.05 / np.sqrt(2), rel=0.05)
    assert found["tones_1"] > 0.9
    assert found["tones_40"] == pytest.approx(-1, abs=0.05)


def test_the_common_gain_is_told_from_the_shape():
    steps = np.where(np.arange(FRAMES) % 50 < 25, 0.0, np.log(2.0))
    found = of(white(0.01), steps)
    assert found["shape"] == pytest.approx(0.01, rel=0.1)
    assert found["gain_db"] == pytest.approx(10 * np.log10(2.0), rel=0.02)
    assert found["gain_steps_hz"] == pytest.approx(4.0, abs=0.1)  # every 25 frames
    assert found["gain_step_db"] == pytest.approx(20 * np.log10(2.0), rel=0.02)
    assert "gain_step_db" not in of(white(0.01))


def test_one_frame_in_a_hundred_of_another_shape_is_an_outlier():
    shape = white(0.01)
    shape[::100] += np.linspace(-1, 1, 56)
    assert of(shape)["outliers"] == pytest.approx(0.01)


def test_an_uneven_variance_spectrum_is_uneven_and_a_smooth_one_smooth():
    slope = 10 ** (np.linspace(-0.5, 0.5, 56))
    smooth = of(white(0.01) * slope)
    rough = of(white(0.01) * RNG.permutation(slope))
    assert smooth["variance_spread_db"] == pytest.approx(rough["variance_spread_db"], rel=0.1)
    assert smooth["variance_spread_db"] > 4
    assert smooth["variance_likeness"] > 0.9
    assert abs(rough["variance_likeness"]) < 0.4


def test_level_and_selectivity_are_those_of_the_tones():
    found = of()
    assert found["level"] == pytest.approx(np.sqrt(np.mean(LEVELS**2)), rel=1e-3)
    assert found["selectivity_db"] == pytest.approx(np.std(20 * np.log10(LEVELS)), rel=1e-3)
    assert found["frame_likeness"] == pytest.approx(1.0)


def test_a_slow_recording_has_no_bands_and_no_short_lags():
    found = statistics(made(white(0.02))[:200], 20.0)
    assert "acf_10ms" not in found
    assert "acf_50ms" in found
    assert not [name for name in found if name.startswith("band")]


def dataset(moving: np.ndarray | None, amplitude: np.ndarray, gap_at: int | None = None) -> Dataset:
    time_s = np.arange(len(amplitude)) / RATE_HZ
    if gap_at is not None:
        time_s[gap_at:] += 1.0
    track = Track(
        time_s,
        amplitude,
        np.zeros(len(amplitude), np.int16),
        ("ht-64",),
        np.zeros(len(amplitude), np.int32),
        moving=moving,
    )
    recording = Recording("one", "s", "r", None, "S3", 1, RATE_HZ, Timing.MEASURED, (), lambda: track)
    return Dataset("made", "none", "ht56", (recording,), None)


def test_pieces_are_sorted_by_their_label():
    """Of 20 s: quiet, quiet, half and half, moving but for a pause."""
    moving = np.zeros(FRAMES, np.int8)
    moving[1300:] = 1
    moving[1600:1700] = 0
    found = measure(dataset(moving, made(white(0.02))), 5.0)
    assert [len(found[label]) for label in ("quiet", "moving", "all")] == [2, 1, 4]


def test_no_piece_reaches_over_a_gap():
    found = measure(dataset(np.zeros(FRAMES, np.int8), made(white(0.02)), gap_at=700), 5.0)
    assert len(found["quiet"]) == 3  # one of 7 s, two of 13 s


def test_tones_that_were_not_measured_are_left_out():
    amplitude = made(white(0.02))
    amplitude[:, :2] = 0.0
    data = dataset(np.zeros(FRAMES, np.int8), amplitude)
    track = data.recordings()[0].track()
    as_legacy = replace(
        data.recordings()[0],
        load=lambda: Track(track.time_s, amplitude, track.kind, ("lltf-64",), track.segment, moving=track.moving),
    )
    legacy = Dataset("made", "none", "ht56", (as_legacy,), None)
    assert measure(data)["quiet"][0]["selectivity_db"] > 5
    assert measure(legacy)["quiet"][0]["selectivity_db"] < 3


def test_a_comparison_is_that_of_the_distributions():
    real = {"quiet": [{"cv": value} for value in (1.0, 2.0, 3.0, 4.0, 5.0)], "moving": [], "all": []}
    simulated = {"quiet": [{"cv": value} for value in (3.0, 4.0, 9.0, 10.0)], "moving": [], "all": []}
    (row,) = compare(real, simulated)
    assert (row.label, row.statistic) == ("quiet", "cv")
    assert row.real == pytest.approx((1.4, 3.0, 4.6))
    assert row.simulated[1] == 6.5
    assert row.distance == pytest.approx(0.5)  # at 5: all real ones are below, and two of four simulated
    assert row.inside == 0.5
    assert not row.agrees
    assert not row.covers  # the simulated 10 % are 3.3
    assert Comparison("quiet", "cv", (1.0, 2.0, 3.0), (0.0, 9.0, 9.5), 0.0, 0.0).covers
    assert Comparison("quiet", "cv", (1.0, 2.0, 3.0), (0.0, 2.9, 8.0), 0.0, 0.0).agrees


def test_pieces_without_label_are_compared_with_all():
    piece = [{"cv": 1.0}]
    rows = compare({"quiet": [], "moving": [], "all": piece}, {"quiet": piece, "moving": piece, "all": piece})
    assert [row.label for row in rows] == ["all"]


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    data_fidelity.add_arguments(parser)
    return data_fidelity.run(parser.parse_args(words))


def test_the_simulator_is_like_itself(capsys):
    """The command's whole way, with a simulation in the place of the recordings."""
    real = "sim:rooms=5&first_room=50&persons=0,1&minutes=0.4&nodes=1&rate=50&domain=kit"
    assert run(real, "--rooms", "5", "--domain", "kit", "--json") == 0
    (report,) = json.loads(capsys.readouterr().out)["reports"]
    rows = report["statistics"]
    assert {row["label"] for row in rows} == {"quiet", "moving"}
    assert np.mean([row["agrees"] for row in rows]) > 0.65  # ten scenes beside ten others


def test_the_table_names_both_sides_and_what_differs(capsys):
    assert run("sim:rooms=2&persons=0,1&minutes=0.4&nodes=1&rate=50&domain=kit", "--rooms", "2", "--chip", "c6") == 0
    out = capsys.readouterr().out
    assert "real: cogd simulator: rooms 0 to 1" in out
    assert "simulated: cogd simulator: rooms 3000000 to 3000001" in out
    assert " agree, " in out
    assert "differs" in out  # a C6 has another level than a kit's S3
    for name in STATISTICS:
        assert f"\n{name} " in out or f"  {name}:" in out


def test_recordings_shorter_than_a_piece_are_refused():
    with pytest.raises(ConfigError, match="no piece of 60 s"):
        run("sim:rooms=1&persons=0&minutes=0.2&nodes=1", "--seconds", "60", "--rooms", "1")


@pytest.mark.slow
def test_the_simulation_is_of_the_order_of_recordings_of_five_chips_in_two_rooms(data):
    """The bar on the simulator's realism; docs/simulator.md has the figures."""
    from cogd.sim.domain import HOMES

    real = measure(open_dataset(f"espectre:{data / 'espectre'}"))
    arguments = argparse.Namespace(chip=None, rooms=30, seed=1)
    simulation = data_fidelity.beside(open_dataset(f"espectre:{data / 'espectre'}"), HOMES, arguments)
    rows = compare(real, measure(simulation))
    assert len(rows) == 48
    assert sum(row.agrees for row in rows) >= 40
    assert np.median([row.distance for row in rows]) < 0.4
