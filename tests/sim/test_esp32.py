import numpy as np
import pytest

from cogd.csi.tones import HT_TONES
from cogd.sim.esp32 import Impairments, Receiver

CLEAN = Impairments(snr_db=300.0)
"""No noise to speak of."""


def channel(frames: int = 50, level: float = 1e-3, seed: int = 0) -> np.ndarray:
    """A channel that differs from tone to tone and is the same in every frame."""
    rng = np.random.default_rng(seed)
    shape = rng.normal(size=56) + 1j * rng.normal(size=56)
    return np.broadcast_to(level * shape / np.sqrt(np.mean(np.abs(shape) ** 2)), (frames, 56))


def amplitudes(iq: np.ndarray) -> np.ndarray:
    """Of the 56 tones, lowest first."""
    return np.hypot(*np.moveaxis(iq[:, np.asarray(HT_TONES) % 64].astype(np.float64), -1, 0))


def complex_of(iq: np.ndarray) -> np.ndarray:
    pairs = iq[:, np.asarray(HT_TONES) % 64].astype(np.float64)
    return pairs[..., 1] + 1j * pairs[..., 0]


def test_bins_are_those_of_an_ht_ltf_and_the_others_are_empty():
    iq, _ = Receiver((1,), CLEAN).measure(channel())
    assert (iq.dtype, iq.shape) == (np.int8, (50, 64, 2))
    empty = [0, *range(29, 36)]
    assert not iq[:, empty].any()
    filled = [bin_ for bin_ in range(64) if bin_ not in empty]
    assert iq[:, filled].any(axis=(0, 2)).all()


def test_bins_hold_the_channel_up_to_one_phase_a_frame_and_rounding():
    gain = channel()
    iq, _ = Receiver((1,), CLEAN).measure(gain)
    ratio = complex_of(iq) / gain
    common = ratio.mean(axis=1, keepdims=True)
    assert np.abs(complex_of(iq) - common * gain).max() < 1.5
    phases = np.angle(common[:, 0])
    assert np.ptp(phases) > 3  # the oscillators are not coherent


def test_the_gain_brings_the_level_near_its_target():
    for level in (1e-5, 1e-3, 0.1):
        iq, _ = Receiver((1,), CLEAN).measure(channel(level=level))
        rms = np.sqrt(np.mean(amplitudes(iq) ** 2))
        assert 22 * 10 ** (-0.5 / 20) - 0.5 < rms < 22 * 10 ** (0.5 / 20) + 0.5


def test_the_gain_moves_in_whole_decibels_and_only_when_it_must():
    levels = np.concatenate(
        [np.full(20, 1e-3), np.full(20, 1e-3 * 10 ** (2.4 / 20)), np.full(20, 1e-3 * 10 ** (6 / 20))]
    )
    gain = channel(60, 1.0) * levels[:, None]
    iq, _ = Receiver((1,), CLEAN).measure(gain)
    made_db = 20 * np.log10(np.sqrt(np.mean(amplitudes(iq) ** 2, axis=1)) / levels)
    assert np.ptp(made_db[:40]) < 0.3  # within the hysteresis: no step
    assert made_db[40:].mean() - made_db[:40].mean() == pytest.approx(-6, abs=0.5)


def test_strong_tones_are_clipped_and_do_not_wrap():
    gain = np.full((200, 56), 1e-6, dtype=complex)
    gain[:, 0] = 1e-3  # at the target level this is 165 counts
    iq, _ = Receiver((1,), CLEAN).measure(gain)
    largest = np.abs(iq.astype(int)).max(axis=(1, 2))
    assert largest.min() > 105
    assert largest.max() in {127, 128}


@pytest.mark.parametrize("snr_db", [20.0, 30.0])
def test_noise_has_the_power_that_was_asked_for(snr_db):
    flat = np.full((2000, 56), 1e-3, dtype=complex)
    made = amplitudes(Receiver((1,), Impairments(snr_db=snr_db, target_counts=80)).measure(flat)[0])
    noise_power = 2 * made.var(axis=0).mean()  # of two components, of which the amplitude shows one
    assert 10 * np.log10(np.mean(made**2) / noise_power) == pytest.approx(snr_db, abs=0.3)


def test_rssi_is_transmit_power_and_channel_in_whole_decibels():
    for level, expected in ((1e-3, -45), (1e-2, -25), (1e-9, -127), (100.0, 0)):
        _, rssi_dbm = Receiver((1,), CLEAN).measure(channel(level=level))
        assert set(rssi_dbm.tolist()) == {expected}


def test_departures_have_the_loss_and_jitter_that_were_asked_for():
    late_s, arrives = Receiver((1,), Impairments(loss=0.05, jitter_s=0.004)).departures(40_000)
    assert (~arrives).mean() == pytest.approx(0.05, abs=0.005)
    assert (late_s >= 0).all()
    assert np.sqrt(np.mean(late_s**2)) == pytest.approx(0.004, rel=0.03)


def test_nothing_is_lost_or_late_on_perfect_hardware():
    late_s, arrives = Receiver((1,), Impairments(loss=0.0, jitter_s=0.0)).departures(1000)
    assert arrives.all()
    assert not late_s.any()


def test_two_receivers_have_noise_of_their_own():
    one, other, same = (Receiver(seed, Impairments()).measure(channel())[0] for seed in ((1, 2), (1, 3), (1, 2)))
    assert (one != other).any()
    np.testing.assert_array_equal(one, same)
