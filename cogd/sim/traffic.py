"""When packets leave a node and which arrive: jitter, loss, other networks, a node out of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.sim.esp32 import Impairments

_NO_SPANS: tuple[float, float, float] = (-1.0, -1.0, 0.0)


class Traffic:
    """One node's packets, in blocks of one size."""

    def __init__(self, seed: tuple[int, ...], impairments: Impairments, rate_hz: float) -> None:
        self._impairments, self._rate_hz = impairments, rate_hz
        self._jitter, self._loss = (np.random.default_rng([*seed, stream]) for stream in (1, 2))
        self._interference = _Spans(np.random.default_rng([*seed, 6]), impairments.interference_hz, (0.05, 1.5))
        self._gaps = _Spans(np.random.default_rng([*seed, 7]), impairments.gaps_hz, (0.1, 2.0))

    def depart(
        self, ticks: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64] | None]:
        """Of these packets: when each leaves, whether it arrives, and by how many dB the noise is raised (None: never).

        Nobody leaves after the next one: a node's packets come in their order.
        """
        late_s = np.abs(self._jitter.normal(0.0, self._impairments.jitter_s, len(ticks)))
        times_s = ticks / self._rate_hz + np.minimum(late_s, min(0.05, 0.9 / self._rate_hz))
        loss: NDArray[np.float64] | float = self._impairments.loss
        noise_db = None
        if self._impairments.interference_hz:
            strength = self._interference.strength(times_s)
            loss = np.where(strength > 0, np.minimum(0.6, 10 * max(self._impairments.loss, 0.01)), loss)
            noise_db = np.where(strength > 0, 3 + 9 * strength, 0.0)
        arrives = self._loss.random(len(ticks)) >= loss
        if self._impairments.gaps_hz:
            arrives &= self._gaps.strength(times_s) == 0
        return times_s, arrives, noise_db


class _Spans:
    """Spans of time that begin at random, each with a strength above 0, up to 1."""

    def __init__(self, rng: np.random.Generator, often_hz: float, length_s: tuple[float, float]) -> None:
        self._rng, self._often_hz, self._length_s = rng, often_hz, length_s
        self._spans = [_NO_SPANS]

    def strength(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """At each time, 0 between spans; times may begin a little before where the last ones ended."""
        while self._spans[-1][1] <= times_s[-1] + 1:
            start_s = max(self._spans[-1][1], 0.0) + self._rng.exponential(1 / self._often_hz)
            end_s = start_s + self._rng.uniform(*self._length_s)
            self._spans.append((start_s, end_s, 1 - self._rng.random()))
        self._spans = [span for span in self._spans if span[1] > times_s[0] - 1] or [_NO_SPANS]
        strength = np.zeros(len(times_s))
        for start_s, end_s, height in self._spans:
            strength[(times_s >= start_s) & (times_s < end_s)] = height
        return strength
