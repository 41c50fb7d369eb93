"""What an ESP32 makes of the channel: gain steps, noise, eight bits, lost and late packets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cogd.csi.tones import HT_TONES

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 64
_PICKS = np.asarray(HT_TONES) % BINS  # FFT order, as ESP32-S3 and -C3 deliver HT-LTF alone


@dataclass(frozen=True)
class Impairments:
    """How bad the hardware is.

    Attributes:
        snr_db: power of the channel over the power of its estimation error, per tone.
        loss: probability that a packet is lost.
        jitter_s: standard deviation of a packet's departure.
        transmit_dbm: power of the access point.
        target_counts: root mean square amplitude that the gain control aims at.
        gain_hysteresis_db: the gain moves only when the level is off by more than this.
    """

    snr_db: float = 32.0
    loss: float = 0.01
    jitter_s: float = 0.003
    transmit_dbm: float = 15.0
    target_counts: float = 22.0
    gain_hysteresis_db: float = 3.0


class Receiver:
    """One node's radio; its noise depends on the seed and the frame's number, not on how many are made at a time."""

    def __init__(self, seed: tuple[int, ...], impairments: Impairments) -> None:
        self._impairments = impairments
        noise, jitter, loss, phase = (np.random.default_rng([*seed, stream]) for stream in range(4))
        self._noise, self._jitter, self._loss, self._phase = noise, jitter, loss, phase
        self._gain_db: int | None = None

    def departures(self, frames: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Of the next packets `[frames]`: how late each leaves, in seconds, and whether it arrives."""
        late_s = np.abs(self._jitter.normal(0.0, self._impairments.jitter_s, frames))
        return late_s, self._loss.random(frames) >= self._impairments.loss

    def measure(self, gain: NDArray[np.complex128]) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
        """Turn channel gains `[frames, 56]` into int8 `[frames, 64, 2]` (imaginary, real) and RSSI `[frames]` dBm."""
        frames = len(gain)
        power = np.mean(np.abs(gain) ** 2, axis=1)
        sigma = np.sqrt(power / 10 ** (self._impairments.snr_db / 10) / 2)
        noise = self._noise.normal(size=(frames, gain.shape[1], 2))
        estimate = gain + sigma[:, None] * (noise[..., 0] + 1j * noise[..., 1])
        estimate *= np.exp(2j * np.pi * self._phase.random(frames))[:, None]  # the oscillators are not coherent
        scaled = estimate * 10 ** (self._gains_db(power) / 20)[:, None]
        pairs = np.stack([scaled.imag, scaled.real], axis=-1)
        iq = np.zeros((frames, BINS, 2), dtype=np.int8)
        iq[:, _PICKS] = np.clip(np.rint(pairs), -128, 127).astype(np.int8)
        rssi_dbm = np.rint(self._impairments.transmit_dbm + 10 * np.log10(power))
        return iq, np.clip(rssi_dbm, -127, 0).astype(np.int64)

    def _gains_db(self, power: NDArray[np.float64]) -> NDArray[np.float64]:
        """The automatic gain control: whole decibels, moved only when the level is well off its target."""
        wanted = 20 * np.log10(self._impairments.target_counts) - 10 * np.log10(power)
        gains = np.empty(len(power))
        for index, want in enumerate(wanted):
            if self._gain_db is None or abs(want - self._gain_db) > self._impairments.gain_hysteresis_db:
                self._gain_db = round(want)
            gains[index] = self._gain_db
        return gains
