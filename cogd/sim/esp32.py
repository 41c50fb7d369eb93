"""What an ESP32 makes of the channel: its gain, its response, noise, eight bits. Figures: `cogd.sim.chips`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cogd.sim.chips import AGC_LEVELS_DB, AGC_SPREAD_DB, BEACON_S, CHIPS, LEGACY_TONE
from cogd.sim.radio import tone_basis

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.sim.domain import Domain

    Counts = NDArray[np.complex64]


@dataclass(frozen=True)
class Impairments:
    """How bad the hardware and its surroundings are; the defaults are a good radio in a quiet band.

    Attributes:
        chip: kind of radio, one of `cogd.sim.chips.CHIPS`.
        gain: `steps`: whole decibels, moved when the level is off by more than the hysteresis; `locked`: found on the
            first frames and kept; `each`: chosen anew for each packet.
        snr_db: power of the channel over the power of its estimation error, per tone.
        loss: probability that a packet is lost.
        jitter_s: standard deviation of a packet's departure.
        transmit_dbm: power of the access point.
        target_counts: root mean square amplitude that the gain control aims at.
        gain_hysteresis_db: the gain moves only when the level is off by more than this.
        restless_gain: of gains chosen anew, the share that is far from the usual one.
        droop_db: by how much the access point's power droops from one beacon to the next.
        ripple_db: standard deviation of the receiver's response over the tones.
        roll_off_db: by how much the outermost tones are weaker than the middle.
        bend: standard deviation of an error common to all tones, as a share of the amplitude.
        uneven_db: standard deviation over the tones of their noise.
        drift_db: standard deviation of the response's slow change with temperature.
        foreign_share: of frames that are another transmitter's.
        legacy_share: of frames that hold the L-LTF alone, at half the amplitude (C6).
        interference_hz: how often another network disturbs; a disturbance lasts 0.05 to 1.5 s, with ten times the loss
            and noise raised by 3 to 12 dB.
        gaps_hz: how often the node runs out of memory and sends nothing for 0.1 to 2 s.
    """

    chip: str = "s3"
    gain: str = "steps"
    snr_db: float = 32.0
    loss: float = 0.01
    jitter_s: float = 0.003
    transmit_dbm: float = 15.0
    target_counts: float = 22.0
    gain_hysteresis_db: float = 3.0
    restless_gain: float = 0.35
    droop_db: float = 0.0
    ripple_db: float = 0.0
    roll_off_db: float = 0.0
    bend: float = 0.0
    uneven_db: float = 0.0
    drift_db: float = 0.0
    foreign_share: float = 0.0
    legacy_share: float = 0.0
    interference_hz: float = 0.0
    gaps_hz: float = 0.0


def draw_impairments(domain: Domain, rng: np.random.Generator) -> Impairments:
    """One node's radio in a domain; the ideal one where radios don't differ."""
    name = domain.chips[int(rng.integers(len(domain.chips)))]
    if domain.radio_spread == 0:
        return Impairments(chip=name)
    chip = CHIPS[name]
    level, noise = rng.uniform(*chip.level_counts), rng.uniform(*chip.noise_counts)
    disturbed, short = rng.random() < domain.interference_chance, rng.random() < domain.gap_chance
    spread = domain.radio_spread
    return Impairments(
        chip=name,
        gain="locked" if chip.gain_locked else "each",
        snr_db=float(20 * np.log10(level / (noise * 2**0.5 * spread))),
        loss=float(rng.uniform(0.0, 0.04)),
        jitter_s=float(10 ** rng.uniform(-3.3, -2.0)),
        transmit_dbm=float(rng.uniform(12, 20)),
        target_counts=float(level),
        restless_gain=float(rng.uniform(0.05, 0.5)) if chip.first_word else 0.0,
        droop_db=float(rng.uniform(0.6, 1.2) * spread),
        ripple_db=float(rng.uniform(0.2, 1.8) * spread),
        roll_off_db=float(rng.uniform(0.0, 2.5) * spread),
        bend=float(rng.uniform(*chip.bend) * spread),
        uneven_db=float(rng.uniform(0.3, 1.5) * spread),
        drift_db=float(rng.uniform(0.02, 0.15) * spread),
        foreign_share=float(rng.uniform(*chip.foreign_share) * spread) if rng.random() < 0.7 else 0.0,
        legacy_share=float(rng.uniform(*chip.legacy_share) * spread),
        interference_hz=float(rng.uniform(0.02, 0.3)) if disturbed else 0.0,
        gaps_hz=float(rng.uniform(0.01, 0.1)) if short else 0.0,
    )


class Receiver:
    """One node's radio; its noise depends on the seed and on the frames before, which come in blocks of one size."""

    def __init__(self, seed: tuple[int, ...], impairments: Impairments) -> None:
        self.impairments = impairments
        self.chip = CHIPS[impairments.chip]
        self._noise, self._phase, self._gain, self._fixed = (
            np.random.default_rng([*seed, stream]) for stream in (0, 3, 4, 5)
        )
        tones = np.asarray(self.chip.layout.tones) / 28
        self._basis = tone_basis(self.chip.layout.tones)
        self._bends = np.stack([np.cos(np.pi / 2 * order * (tones + 1)) for order in range(1, 7)])
        self._response = self._drawn_response(tones)
        self._drift_phase = self._fixed.uniform(0, 2 * np.pi, size=3)
        self._drift_s = self._fixed.uniform(20, 400, size=3)
        self._unevenness = self._drawn_unevenness(len(tones))
        self._beacon_s = float(self._fixed.uniform(0, BEACON_S))
        self._foreign = self._drawn_foreign()
        self._first_word = np.asarray([self._fixed.integers(-128, 127, size=2) | 1, (10, 0)], dtype=np.int8)
        self._power: float | None = None
        self._gain_db: int | None = None

    def measure(
        self, moments: NDArray[np.complex64], times_s: NDArray[np.float64], noise_db: NDArray[np.float64] | None = None
    ) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
        """Turn channel moments `[frames, 12]` into int8 `[frames, bins, 2]` (imaginary, real) and RSSI `[frames]` dBm.

        Args:
            moments: of the channel, see `cogd.sim.radio`.
            times_s: when each frame was sent.
            noise_db: by how much another network raises the noise, `[frames]`.
        """
        gain = moments @ self._basis
        return self.digitise(gain, times_s, noise_db)

    def digitise(
        self, gain: Counts, times_s: NDArray[np.float64], noise_db: NDArray[np.float64] | None = None
    ) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
        """As `measure`, of gains `[frames, tones]` of the chip's own tones."""
        with_power = self._with_droop(gain, times_s)
        power = np.asarray(np.mean(np.abs(with_power) ** 2, axis=1, dtype=np.float64))
        if self._power is None:
            self._power = float(np.median(power[:20]))
        estimate = with_power * self._responses(times_s)
        estimate = self._with_foreign(estimate)
        estimate = self._with_noise(estimate, noise_db)
        scaled = estimate * (10 ** (self._gains_db(power) / 20)).astype(np.float32)[:, None]
        if self.impairments.legacy_share:
            legacy = self._noise.random(len(scaled)) < self.impairments.legacy_share
            scaled[legacy] *= np.where(np.abs(self.chip.layout.tones) > LEGACY_TONE, 0, 0.5).astype(np.float32)
        rssi_dbm = np.rint(self.impairments.transmit_dbm + 10 * np.log10(power))
        return self._place(scaled), np.clip(rssi_dbm, -127, 0).astype(np.int64)

    def _with_droop(self, gain: Counts, times_s: NDArray[np.float64]) -> Counts:
        """The access point's power falls off within a quarter of the beacon interval after each beacon."""
        if not self.impairments.droop_db:
            return gain
        share = ((times_s + self._beacon_s) % BEACON_S) / BEACON_S
        drooped_db = self.impairments.droop_db * np.exp(-share / 0.25)
        return gain * (10 ** (drooped_db / 20)).astype(np.float32)[:, None]

    def _responses(self, times_s: NDArray[np.float64]) -> NDArray[np.complex64]:
        """Of the receiver's filters `[frames, tones]`, with a slow drift and an error that bends each frame anew."""
        bent = self.impairments.bend
        if not bent and not self.impairments.drift_db:
            return self._response[None]
        slow = np.sin(2 * np.pi * times_s[:, None] / self._drift_s + self._drift_phase) * self.impairments.drift_db
        shape = (slow * (np.log(10) / 20)) @ self._bends[:3]
        shape += (bent * self._noise.normal(size=(len(times_s), 2))) @ self._bends[:2]
        return np.asarray(self._response * (1 + shape), dtype=np.complex64)

    def _with_noise(self, estimate: Counts, noise_db: NDArray[np.float64] | None) -> Counts:
        """Noise, averaging, and a phase and a delay of each frame: neither clocks nor oscillators are coherent."""
        frames, tones = estimate.shape
        sigma = np.sqrt((self._power or 1.0) / 10 ** (self.impairments.snr_db / 10) / 2)
        sigmas = sigma if noise_db is None else sigma * 10 ** (noise_db[:, None] / 20)
        noise = self._noise.standard_normal(size=(frames, 2 * tones), dtype=np.float32)
        noise *= self._unevenness
        noisy: Counts = estimate + noise.view(np.complex64) * np.asarray(sigmas, dtype=np.float32)
        if self.chip.averaged:
            padded = np.concatenate([noisy[:, :1], noisy, noisy[:, -1:]], axis=1)
            noisy = np.asarray(padded[:, :-2] / 4 + noisy / 2 + padded[:, 2:] / 4, dtype=np.complex64)
        turn = self._phase.random((frames, 1))
        delay_s = self._phase.normal(0, 20e-9, size=(frames, 1))  # a sample is 50 ns; frames are found within one
        turns = turn + delay_s * 312_500.0 * np.asarray(self.chip.layout.tones)
        return np.asarray(noisy * np.exp(np.asarray(2j * np.pi * turns, dtype=np.complex64)))

    def _with_foreign(self, estimate: Counts) -> Counts:
        """Some frames are not the access point's: weaker, and of another shape."""
        share = self.impairments.foreign_share
        if not share:
            return estimate
        drawn = self._noise.random((len(estimate), 2))
        foreign = drawn[:, 0] < share
        level = np.sqrt(self._power or 1.0) * 10 ** (-(3 + 7 * drawn[:, 1:]) / 20)
        return np.where(foreign[:, None], (level * self._foreign).astype(np.complex64), estimate)

    def _gains_db(self, power: NDArray[np.float64]) -> NDArray[np.float64]:
        target_db = 20 * np.log10(self.impairments.target_counts)
        kept = target_db - 10 * np.log10(self._power or 1.0)
        if self.impairments.gain == "locked":
            return np.full(len(power), kept)
        wanted = target_db - 10 * np.log10(power)
        if self.impairments.gain == "each":
            share = self.impairments.restless_gain
            levels = [0.0, *AGC_LEVELS_DB]
            odds = [1 - share, *(share / len(AGC_LEVELS_DB) for _ in AGC_LEVELS_DB)]
            chosen = np.asarray(levels)[self._gain.choice(len(levels), size=len(power), p=odds)]
            return np.asarray(wanted + chosen + self._gain.normal(0, AGC_SPREAD_DB, size=len(power)))
        return self._stepped_gains_db(wanted)

    def _stepped_gains_db(self, wanted: NDArray[np.float64]) -> NDArray[np.float64]:
        """Whole decibels, moved only when the level is well off its target."""
        gains = np.empty(len(wanted))
        for index, want in enumerate(wanted):
            if self._gain_db is None or abs(want - self._gain_db) > self.impairments.gain_hysteresis_db:
                self._gain_db = round(want)
            gains[index] = self._gain_db
        return gains

    def _place(self, scaled: Counts) -> NDArray[np.int8]:
        """Into the chip's bins; a legacy field is filled with the same estimate of its tones."""
        pairs = np.empty((*scaled.shape, 2), dtype=np.float32)
        pairs[..., 0], pairs[..., 1] = scaled.imag, scaled.real
        counts = np.clip(np.rint(pairs), -128, 127).astype(np.int8)
        iq = np.zeros((len(scaled), self.chip.bins, 2), dtype=np.int8)
        iq[:, list(self.chip.layout.picks)] = counts
        if self.chip.legacy is not None:
            inner = [self.chip.layout.tones.index(tone) for tone in self.chip.legacy.tones]
            iq[:, list(self.chip.legacy.picks)] = counts[:, inner]
        if self.chip.first_word:
            iq[:, :2] = self._first_word
        return iq

    def _drawn_response(self, tones: NDArray[np.float64]) -> NDArray[np.complex64]:
        """Amplitude and phase over the tones: a few slow ripples, and a fall towards both ends."""
        ripples = self._fixed.normal(size=(2, 6)) / np.sqrt(3)  # six cosines of variance one half each
        db = self.impairments.ripple_db * ripples[0] @ self._bends - self.impairments.roll_off_db * tones**4
        phase = 0.05 * self.impairments.ripple_db * ripples[1] @ self._bends
        return np.asarray(10 ** (db / 20) * np.exp(1j * phase), dtype=np.complex64)

    def _drawn_unevenness(self, tones: int) -> NDArray[np.float32]:
        """Factor on the noise of each tone's two components: tones differ in noise, each as it likes."""
        factor = 10 ** (self._fixed.normal(0, self.impairments.uneven_db, size=tones) / 20)
        return np.repeat(factor / np.sqrt(np.mean(factor**2)), 2).astype(np.float32)

    def _drawn_foreign(self) -> NDArray[np.complex64]:
        """Another transmitter's channel of power one: paths within 150 ns."""
        delays_s, heights = self._fixed.uniform(0, 150e-9, size=6), self._fixed.normal(size=(6, 2)) @ [1, 1j]
        turns = np.outer(delays_s, 312_500.0 * np.asarray(self.chip.layout.tones))
        shape = heights @ np.exp(-2j * np.pi * turns)
        return np.asarray(shape / np.sqrt(np.mean(np.abs(shape) ** 2)), dtype=np.complex64)
