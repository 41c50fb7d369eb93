import numpy as np
import pytest

from cogd.csi.tones import HT_TONES, detect_layout
from cogd.sim.chips import BEACON_S, CHIPS
from cogd.sim.domain import KIT, Domain
from cogd.sim.esp32 import Impairments, Receiver, draw_impairments

CLEAN = Impairments(snr_db=300.0)
"""No noise to speak of."""


def channel(frames: int = 50, level: float = 1e-3, seed: int = 0, tones: int = 56) -> np.ndarray:
    """A channel that differs from tone to tone and is the same in every frame."""
    rng = np.random.default_rng(seed)
    shape = rng.normal(size=tones) + 1j * rng.normal(size=tones)
    return np.broadcast_to(level * shape / np.sqrt(np.mean(np.abs(shape) ** 2)), (frames, tones)).astype(np.complex64)


def flat(frames: int, level: float = 1e-3) -> np.ndarray:
    return np.full((frames, 56), level, dtype=np.complex64)


def measured(impairments: Impairments, gain: np.ndarray, seed: tuple[int, ...] = (1,), rate_hz: float = 100.0):
    return Receiver(seed, impairments).digitise(gain, np.arange(len(gain)) / rate_hz)


def amplitudes(iq: np.ndarray) -> np.ndarray:
    """Of the 56 tones, lowest first."""
    return np.hypot(*np.moveaxis(iq[:, np.asarray(HT_TONES) % 64].astype(np.float64), -1, 0))


def complex_of(iq: np.ndarray) -> np.ndarray:
    pairs = iq[:, np.asarray(HT_TONES) % 64].astype(np.float64)
    return pairs[..., 1] + 1j * pairs[..., 0]


def level_db(iq: np.ndarray) -> np.ndarray:
    """Of each frame, root mean square of its tones."""
    return 10 * np.log10(np.mean(amplitudes(iq) ** 2, axis=1))


def test_bins_are_those_of_an_ht_ltf_and_the_others_are_empty():
    iq, _ = measured(CLEAN, channel())
    assert (iq.dtype, iq.shape) == (np.int8, (50, 64, 2))
    empty = [0, *range(29, 36)]
    assert not iq[:, empty].any()
    filled = [bin_ for bin_ in range(64) if bin_ not in empty]
    assert iq[:, filled].any(axis=(0, 2)).all()


def test_bins_hold_the_channel_up_to_a_phase_and_a_delay_a_frame_and_rounding():
    gain = channel()
    iq, _ = measured(CLEAN, gain)
    ratio = complex_of(iq) / gain
    for row, frame in zip(ratio, iq, strict=True):
        strong = np.hypot(*complex_of(frame[None]).view(float).reshape(-1, 2).T) > 12
        phases = np.unwrap(np.angle(row[strong]))
        tones = np.asarray(HT_TONES)[strong]
        line = np.polyfit(tones, phases, 1)
        assert np.abs(phases - np.polyval(line, tones)).max() < 0.1
        assert abs(line[0]) < 2 * np.pi * 312_500 * 100e-9
    assert np.ptp(np.angle(ratio.mean(axis=1))) > 3  # the oscillators are not coherent


@pytest.mark.parametrize("gain", ["steps", "locked"])
def test_the_gain_brings_the_level_near_its_target(gain):
    for level in (1e-5, 1e-3, 0.1):
        iq, _ = measured(Impairments(snr_db=300, gain=gain), channel(level=level))
        rms = np.sqrt(np.mean(amplitudes(iq) ** 2))
        assert 22 * 10 ** (-0.5 / 20) - 0.5 < rms < 22 * 10 ** (0.5 / 20) + 0.5


def test_the_gain_moves_in_whole_decibels_and_only_when_it_must():
    levels = np.concatenate(
        [np.full(20, 1e-3), np.full(20, 1e-3 * 10 ** (2.4 / 20)), np.full(20, 1e-3 * 10 ** (6 / 20))]
    )
    iq, _ = measured(CLEAN, channel(60, 1.0) * levels[:, None])
    made_db = level_db(iq) - 20 * np.log10(levels)
    assert np.ptp(made_db[:40]) < 0.3  # within the hysteresis: no step
    assert made_db[40:].mean() - made_db[:40].mean() == pytest.approx(-6, abs=0.5)


def test_a_locked_gain_never_moves():
    levels = np.repeat([1e-3, 5e-4, 2.5e-4], 20)
    iq, _ = measured(Impairments(snr_db=300, gain="locked", target_counts=40), channel(60, 1.0) * levels[:, None])
    made_db = level_db(iq) - 20 * np.log10(levels)
    assert np.ptp(made_db) < 0.4


def test_a_gain_chosen_for_each_packet_jumps_between_levels_without_memory():
    iq, _ = measured(Impairments(snr_db=300, gain="each", target_counts=40), channel(4000))
    made_db = level_db(iq) - 20 * np.log10(40)
    assert np.mean(np.abs(made_db) < 1.3) == pytest.approx(0.65, abs=0.05)
    assert np.mean(made_db < -2.3) == pytest.approx(0.17, abs=0.03)
    assert abs(np.corrcoef(made_db[1:], made_db[:-1])[0, 1]) < 0.06


def test_strong_tones_are_clipped_and_do_not_wrap():
    gain = flat(200, 1e-6).copy()
    gain[:, 0] = 1e-3  # at the target level this is 165 counts
    iq, _ = measured(CLEAN, gain)
    largest = np.abs(iq.astype(int)).max(axis=(1, 2))
    assert largest.min() > 105
    assert largest.max() in {127, 128}


@pytest.mark.parametrize("snr_db", [20.0, 30.0])
def test_noise_has_the_power_that_was_asked_for(snr_db):
    made = amplitudes(measured(Impairments(snr_db=snr_db, target_counts=80), flat(2000))[0])
    noise_power = 2 * made.var(axis=0).mean()  # of two components, of which the amplitude shows one
    assert 10 * np.log10(np.mean(made**2) / noise_power) == pytest.approx(snr_db, abs=0.3)


def test_noise_is_independent_from_tone_to_tone_unless_the_chip_averages():
    def correlations(chip: str) -> list[float]:
        picks = CHIPS[chip].layout.picks
        iq, _ = measured(Impairments(chip=chip, snr_db=25, target_counts=80), flat(3000)[:, : len(picks)])
        made = np.hypot(*np.moveaxis(iq[:, list(picks)].astype(np.float64), -1, 0))
        error = made - made.mean(axis=0)
        return [
            float(np.mean([np.corrcoef(error[:, k], error[:, k + gap])[0, 1] for k in range(50)])) for gap in (1, 2)
        ]

    assert np.abs(correlations("s3")).max() < 0.03
    # weights 1/4, 1/2, 1/4: (2 * 1/4 * 1/2) / (2/16 + 1/4) and (1/16) / (3/8)
    assert correlations("esp32") == pytest.approx([2 / 3, 1 / 6], abs=0.04)


def test_the_access_points_power_droops_in_step_with_its_beacons():
    iq, _ = measured(Impairments(snr_db=300, gain="locked", target_counts=100, droop_db=1.0), flat(2000))
    level = level_db(iq) - level_db(iq).mean()
    spectrum = np.abs(np.fft.rfft(level))
    assert np.fft.rfftfreq(2000, 0.01)[spectrum.argmax()] == pytest.approx(1 / BEACON_S, abs=0.06)
    assert 0.15 < level.std() < 0.35


def test_foreign_frames_are_weaker_and_of_another_shape():
    iq, _ = measured(Impairments(snr_db=300, gain="locked", target_counts=80, foreign_share=0.05), channel(4000))
    foreign = level_db(iq) < 20 * np.log10(80) - 2.5
    assert foreign.mean() == pytest.approx(0.05, abs=0.01)
    usual = amplitudes(iq)[~foreign].mean(axis=0)
    likeness = [np.corrcoef(row, usual)[0, 1] for row in amplitudes(iq)[foreign]]
    assert np.max(likeness) < 0.9


def test_some_frames_of_a_c6_hold_the_legacy_field_alone_at_half_the_amplitude():
    iq, _ = measured(Impairments(chip="c6", gain="locked", target_counts=40, legacy_share=0.1), flat(2000))
    kinds = np.asarray([detect_layout(frame.any(axis=1), 64).name for frame in iq])
    legacy = kinds == "lltf-64-centred"
    assert legacy.mean() == pytest.approx(0.1, abs=0.02)
    assert set(kinds[~legacy]) == {"ht-64-centred"}
    middle = np.hypot(*np.moveaxis(iq[:, 10:20].astype(np.float64), -1, 0))
    assert middle[legacy].mean() / middle[~legacy].mean() == pytest.approx(0.5, abs=0.02)


def test_raised_noise_is_raised_by_so_many_decibels():
    receiver = Receiver((1,), Impairments(snr_db=35, target_counts=60))
    noise_db = np.repeat([0.0, 10.0], 1500)
    made = amplitudes(receiver.digitise(flat(3000), np.arange(3000) / 100, noise_db)[0])
    raised = made[1500:].var(axis=0).mean() / made[:1500].var(axis=0).mean()
    assert 10 * np.log10(raised) == pytest.approx(10, abs=1.0)  # rounding is part of both


@pytest.mark.parametrize("chip", CHIPS)
def test_every_chip_delivers_frames_of_its_layout(chip):
    kind = CHIPS[chip]
    gain = np.ones((20, len(kind.layout.tones)), dtype=np.complex64)
    iq, _ = Receiver((3,), Impairments(chip=chip)).digitise(gain, np.arange(20) / 20)
    for frame in iq:
        assert detect_layout(frame.any(axis=1), kind.bins).name == kind.layout.name


def test_the_classic_chips_first_word_says_nothing():
    iq, _ = Receiver((3,), Impairments(chip="esp32")).digitise(channel(tones=55), np.arange(50) / 20)
    assert (iq[:, :2] == iq[0, :2]).all()
    assert iq[0, 0].any()


def test_rssi_is_transmit_power_and_channel_in_whole_decibels():
    for level, expected in ((1e-3, -45), (1e-2, -25), (1e-9, -127), (100.0, 0)):
        _, rssi_dbm = measured(CLEAN, channel(level=level))
        assert set(rssi_dbm.tolist()) == {expected}


def test_two_receivers_have_noise_of_their_own():
    one, other, same = (measured(Impairments(), channel(), seed)[0] for seed in ((1, 2), (1, 3), (1, 2)))
    assert (one != other).any()
    np.testing.assert_array_equal(one, same)


def test_radios_of_a_kit_are_ideal_and_those_of_homes_differ():
    assert draw_impairments(KIT, np.random.default_rng(1)) == Impairments()
    drawn = [draw_impairments(Domain(), np.random.default_rng(seed)) for seed in range(200)]
    assert {one.chip for one in drawn} == set(Domain().chips)
    assert all(16 < one.snr_db < 44 for one in drawn)
    assert all(one.gain == ("locked" if CHIPS[one.chip].gain_locked else "each") for one in drawn)
