"""How like real recordings the simulation is: the same statistics of both, side by side, quiet and moving apart.

Everything is taken of pieces of a recording of a few seconds with one label. An amplitude a of tone k in frame t is split
into a common gain and a shape: l = log a - median over t, g(t) = median over k of l, r(k, t) = l - g. A receiver that
sets its gain for each packet changes g alone; what a body does to the channel is in r.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PIECE_S = 10.0
"""Length of a piece: that of the shortest labelled recordings at hand."""
LEAST_RATE_HZ = 40.0
"""Statistics of movement up to 10 Hz and beyond need as many frames a second."""
_LEAST_COUNT = 0.5
_DB = 20 / np.log(10)
_LAGS_S = (0.01, 0.05, 0.2, 1.0)
_BANDS_HZ = ((0.0, 0.5), (0.5, 2.0), (2.0, 10.0), (10.0, np.inf))
_SPACINGS = (1, 4, 16, 40)

STATISTICS: Mapping[str, str] = {
    "level": "root mean square of all amplitudes, counts",
    "selectivity_db": "standard deviation over the tones of their mean level, dB",
    "cv": "standard deviation over mean of a tone's amplitude, median of the tones",
    "shape": "root mean square of r: relative variation with the common gain taken out",
    "noise": "standard deviation of r from frame to frame, over the square root of two, robust (median)",
    "variance_spread_db": "standard deviation over the tones of log variance of r, dB: how uneven the variance spectrum is",
    "variance_likeness": "correlation of neighbouring tones' log variance of r: how smooth the variance spectrum is",
    "gain_db": "standard deviation of g, dB",
    "gain_steps_hz": "how often g changes by more than 1 dB from one frame to the next",
    "gain_step_db": "median size of these changes, dB",
    "outliers": "share of frames whose r is more than six times the median frame's",
    "frame_likeness": "correlation over the tones of successive frames, median",
    **{f"acf_{lag * 1000:g}ms": f"autocorrelation of r at {lag:g} s, weighted by variance" for lag in _LAGS_S},
    **{
        f"band_{low:g}_{high:g}hz": f"share of r's energy between {low:g} and {high:g} Hz"
        for low, high in _BANDS_HZ
    },
    **{f"tones_{gap}": f"correlation of r between tones {gap} apart, weighted by variance" for gap in _SPACINGS},
}
"""What is compared, by name, and how it is defined."""


def statistics(amplitude: NDArray[np.float32], rate_hz: float) -> dict[str, float]:
    """The `STATISTICS` of one piece; those that it is too short or too slow for are absent.

    Args:
        amplitude: `[frames, 56]` counts; tones without a measurement are left out by the caller.
        rate_hz: frames a second.
    """
    counts = np.maximum(amplitude.astype(np.float64), _LEAST_COUNT)
    logs = np.log(counts)
    logs -= np.median(logs, axis=0)
    gain = np.median(logs, axis=1)
    shape = logs - gain[:, None]
    shape -= shape.mean(axis=0)
    made = {
        "level": float(np.sqrt(np.mean(counts**2))),
        "selectivity_db": float(np.std(np.log(counts.mean(axis=0))) * _DB),
        "cv": float(np.median(counts.std(axis=0) / counts.mean(axis=0))),
        "shape": float(np.sqrt(np.mean(shape**2))),
        "noise": float(np.median(np.abs(np.diff(shape, axis=0))) * 1.4826 / np.sqrt(2)),
    }
    return made | _over_tones(shape) | _gains(gain, rate_hz) | _frames(counts, shape) | _over_time(shape, rate_hz)


def _over_tones(shape: Floats) -> dict[str, float]:
    variance = shape.var(axis=0) + 1e-12
    in_db = 10 * np.log10(variance)
    covariance = shape.T @ shape / len(shape)
    made = {
        "variance_spread_db": float(in_db.std()),
        "variance_likeness": float(np.corrcoef(in_db[1:], in_db[:-1])[0, 1]),
    }
    for gap in _SPACINGS:
        beside = np.sqrt(variance[gap:] * variance[:-gap])
        made[f"tones_{gap}"] = float(np.diagonal(covariance, gap).sum() / beside.sum())
    return made


def _gains(gain: Floats, rate_hz: float) -> dict[str, float]:
    steps_db = np.abs(np.diff(gain)) * _DB
    large = steps_db > 1
    made = {"gain_db": float(gain.std() * _DB), "gain_steps_hz": float(large.mean() * rate_hz)}
    if large.any():
        made["gain_step_db"] = float(np.median(steps_db[large]))
    return made


def _frames(counts: Floats, shape: Floats) -> dict[str, float]:
    size = np.sqrt(np.mean(shape**2, axis=1))
    centred = counts - counts.mean(axis=1, keepdims=True)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True) + 1e-9
    likeness = (centred[1:] * centred[:-1]).sum(axis=1)
    return {
        "outliers": float(np.mean(size > 6 * np.median(size))),
        "frame_likeness": float(np.median(likeness)),
    }


def _over_time(shape: Floats, rate_hz: float) -> dict[str, float]:
    frames = len(shape)
    spectrum = (np.abs(np.fft.rfft(shape, 2 * frames, axis=0)) ** 2).sum(axis=1)
    covariance = np.fft.irfft(spectrum)[:frames] / np.arange(frames, 0, -1)
    made = {}
    for lag_s in _LAGS_S:
        lag = round(lag_s * rate_hz)
        if 1 <= lag < frames // 2:
            made[f"acf_{lag_s * 1000:g}ms"] = float(covariance[lag] / covariance[0])
    if rate_hz >= LEAST_RATE_HZ:
        energy = (np.abs(np.fft.rfft(shape, axis=0)) ** 2).sum(axis=1)
        at_hz = np.fft.rfftfreq(frames, 1 / rate_hz)
        for low, high in _BANDS_HZ:
            band = energy[(at_hz >= low) & (at_hz < high)].sum()
            made[f"band_{low:g}_{high:g}hz"] = float(band / energy.sum())
    return made
