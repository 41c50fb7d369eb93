"""How like real recordings the simulation is: the same statistics of both, side by side, quiet and moving apart.

Everything is taken of pieces of a recording of a few seconds with one label. An amplitude a of tone k in frame t is
split into a common gain and a shape: l = log a - median over t, g(t) = median over k of l, r(k, t) = l - g. A receiver
that sets its gain for each packet changes g alone; what a body does to the channel is in r.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cogd.csi.tones import HT_TONES, LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from cogd.train.data.track import Dataset, Track

    Floats = NDArray[np.float64]

PIECE_S = 5.0
LEAST_RATE_HZ = 40.0
"""Statistics of movement up to 10 Hz and beyond need as many frames a second."""
MOVING_SHARE = 0.6
"""A piece counts as moving when so much of it is labelled so: nobody moves all the time."""
LABELS = ("quiet", "moving", "all")
_LONGEST_GAP_S = 0.25
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
    "variance_spread_db": "standard deviation over the tones of log variance of r, dB: how uneven it is",
    "variance_likeness": "correlation of neighbouring tones' log variance of r: how smooth it is",
    "gain_db": "standard deviation of g, dB",
    "gain_steps_hz": "how often g changes by more than 1 dB from one frame to the next",
    "gain_step_db": "median size of these changes, dB",
    "outliers": "share of frames whose r is more than six times the median frame's",
    "frame_likeness": "correlation over the tones of successive frames, median",
    **{f"acf_{lag * 1000:g}ms": f"autocorrelation of r at {lag:g} s, weighted by variance" for lag in _LAGS_S},
    **{f"band_{low:g}_{high:g}hz": f"share of r's energy between {low:g} and {high:g} Hz" for low, high in _BANDS_HZ},
    **{f"tones_{gap}": f"correlation of r between tones {gap} apart, weighted by variance" for gap in _SPACINGS},
}
"""What is compared, by name, and how it is defined."""

Measured = dict[str, list[dict[str, float]]]
"""The statistics of every piece, by label: `quiet`, `moving`, and `all` pieces whatever their label."""


@dataclass(frozen=True)
class Comparison:
    """One statistic of pieces of one label, real beside simulated.

    Attributes:
        label: `quiet`, `moving` or `all`.
        statistic: its name, see `STATISTICS`.
        real: 10 %, 50 % and 90 % quantile.
        simulated: the same.
        distance: Kolmogorov-Smirnov distance of the two distributions, 0 (the same) to 1 (apart).
        inside: share of the simulated pieces within the range of the real ones.
    """

    label: str
    statistic: str
    real: tuple[float, float, float]
    simulated: tuple[float, float, float]
    distance: float
    inside: float

    @property
    def agrees(self) -> bool:
        """Whether the simulated median lies between the real 10 % and 90 % quantiles."""
        return self.real[0] <= self.simulated[1] <= self.real[2]

    @property
    def covers(self) -> bool:
        """Whether the real median lies between the simulated 10 % and 90 % quantiles."""
        return self.simulated[0] <= self.real[1] <= self.simulated[2]


def measure(dataset: Dataset, piece_s: float = PIECE_S, progress: Callable[[int, int], None] | None = None) -> Measured:
    """The statistics of all pieces of a data set.

    Raises:
        TrainError: a recording is broken.
    """
    made: Measured = {label: [] for label in LABELS}
    recordings = dataset.recordings()
    for done, recording in enumerate(recordings, 1):
        for label, amplitude, rate_hz in _pieces(recording.track(), piece_s):
            found = statistics(amplitude, rate_hz)
            made["all"].append(found)
            if label in made:
                made[label].append(found)
        if progress is not None:
            progress(done, len(recordings))
    return made


def compare(real: Measured, simulated: Measured) -> list[Comparison]:
    """Every statistic that both have, label by label; `all` only where real pieces have no label."""
    made = []
    labelled = bool(real["quiet"] or real["moving"])
    for label in LABELS[:2] if labelled else LABELS[2:]:
        for statistic in STATISTICS:
            ours, theirs = (
                np.asarray([piece[statistic] for piece in pieces[label] if statistic in piece])
                for pieces in (real, simulated)
            )
            if len(ours) and len(theirs):
                made.append(_comparison(label, statistic, ours, theirs))
    return made


def _comparison(label: str, statistic: str, real: Floats, simulated: Floats) -> Comparison:
    def quantiles(values: Floats) -> tuple[float, float, float]:
        low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
        return float(low), float(middle), float(high)

    everything = np.concatenate([real, simulated])
    below = [np.searchsorted(np.sort(values), everything, side="right") / len(values) for values in (real, simulated)]
    inside = (simulated >= real.min()) & (simulated <= real.max())
    return Comparison(
        label,
        statistic,
        quantiles(real),
        quantiles(simulated),
        float(np.abs(below[0] - below[1]).max()),
        float(inside.mean()),
    )


def _pieces(track: Track, piece_s: float) -> Iterator[tuple[str, NDArray[np.float32], float]]:
    """Label, amplitudes `[frames, measured tones]` and rate of each piece: one kind of frame, no long gap."""
    tones = {layout.name: np.isin(HT_TONES, layout.tones) for layout in LAYOUTS}
    usable = np.isfinite(track.amplitude).all(axis=1)
    for kind, name in enumerate(track.kinds):
        rows = np.flatnonzero(usable & (track.kind == kind))
        breaks = (np.diff(track.time_s[rows]) > _LONGEST_GAP_S) | (np.diff(track.segment[rows]) != 0)
        for stretch in np.split(rows, np.flatnonzero(breaks) + 1):
            if len(stretch) < 2:
                continue
            elapsed_s = track.time_s[stretch] - track.time_s[stretch[0]]
            # The last frame of 5 s at 100 Hz is at 4.99 s.
            whole = int((elapsed_s[-1] + 2 * np.median(np.diff(elapsed_s))) / piece_s)
            for number in range(whole):
                piece = stretch[(elapsed_s >= number * piece_s) & (elapsed_s < (number + 1) * piece_s)]
                measured = tones.get(name, np.ones(len(HT_TONES), dtype=np.bool_))
                yield _label(track, piece), track.amplitude[piece][:, measured], len(piece) / piece_s


def _label(track: Track, piece: NDArray[np.intp]) -> str:
    if track.moving is None:
        return "unknown"
    moving = track.moving[piece]
    if (moving == 0).all():
        return "quiet"
    return "moving" if (moving == 1).mean() >= MOVING_SHARE and (moving >= 0).all() else "mixed"


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
    made = {"variance_spread_db": float(in_db.std())}
    if min(np.ptp(in_db[1:]), np.ptp(in_db[:-1])) > 0:
        made["variance_likeness"] = float(np.corrcoef(in_db[1:], in_db[:-1])[0, 1])
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
    made: dict[str, float] = {}
    if not covariance[0]:
        return made
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
