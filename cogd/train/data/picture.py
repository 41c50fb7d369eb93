"""A picture of a data set: of some recordings the amplitudes over time and tone, the labels, and statistics by tone.

Needs matplotlib (extra `report`); draws without a screen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from cogd.csi.tones import HT_TONES
from cogd.errors import TrainError

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from cogd.train.data.summary import RecordingSummary, Summary
    from cogd.train.data.track import Dataset, Recording, Track

    Values = NDArray[np.float32]

_MOST, _COLUMNS = 6, 600
"""Recordings in a picture, and stretches of time across one."""
_MOTION = {"unknown": "#d9d9d9", "quiet": "#4c9be8", "moving": "#e8743b"}
_KINDS = ("#7a7a7a", "#e3b505", "#a23b72", "#1b998b", "#2d3047")
_INK, _FRAME = "#333333", "#bbbbbb"


def draw(dataset: Dataset, summary: Summary, path: Path) -> None:
    """Write a PNG of up to six recordings that differ in room, chip and label.

    Raises:
        TrainError: a recording is broken, or the file can't be written.
    """
    chosen = _choose(summary)
    figure = Figure(figsize=(13, 1.2 + 2.25 * len(chosen)), dpi=110)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        3 * len(chosen), 3, width_ratios=(7, 1.25, 1.25), height_ratios=(9, 0.55, 1.9) * len(chosen),
        left=0.055, right=0.985, top=1 - 0.62 / figure.get_figheight(), bottom=0.12 / figure.get_figheight(),
        hspace=0.08, wspace=0.13,
    )  # fmt: skip
    recordings = dataset.recordings()
    shown: set[str] = set()
    for row, number in enumerate(chosen):
        axes = [figure.add_subplot(grid[3 * row, column]) for column in range(3)]
        strip = figure.add_subplot(grid[3 * row + 1, 0])
        track = recordings[number].track()
        _waterfall(axes[0], recordings[number], summary.recordings[number], track, summary.tones)
        _strip(strip, track)
        shown |= _labels(track)
        _statistics(axes[1], axes[2], track)
    name = summary.name if len(summary.name) <= 50 else f"{summary.name[:49]}…"
    title = f"{name}: {len(chosen)} of {len(recordings)} recordings"
    note = "white: no frame of the most frequent kind"
    figure.text(0.055, 1 - 0.2 / figure.get_figheight(), title, fontsize=13, weight="bold", va="center", color=_INK)
    figure.text(0.76, 1 - 0.2 / figure.get_figheight(), note, fontsize=8, ha="right", va="center", color=_INK)
    handles = [Patch(color=_MOTION[name], label=name) for name in _MOTION if name in shown]
    figure.legend(
        handles=handles, loc="center right", ncols=len(handles), frameon=False, fontsize=9,
        bbox_to_anchor=(0.99, 1 - 0.2 / figure.get_figheight()),
    )  # fmt: skip
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise TrainError(
            f"{path} can't be written: {error.strerror}", hint="--out FILE in a folder that may be written to"
        ) from error


def _choose(summary: Summary) -> list[int]:
    """Numbers of recordings: a quiet and a moving one of a place and chip together, new places and chips first."""
    pairs: dict[tuple[str | None, str | None], dict[str, list[int]]] = {}
    for number, recording in enumerate(summary.recordings):
        if recording.frames > recording.nan_frames:
            label = max(recording.moving, key=lambda name: recording.moving[name], default="")
            pairs.setdefault((recording.room, recording.chip), {}).setdefault(label, []).append(number)
    if not pairs:
        raise TrainError(f"{summary.name} has no frame to draw")
    chosen: list[int] = []
    seen: set[str | None] = set()
    waiting = list(pairs)
    while waiting and len(chosen) < _MOST:
        place = max(waiting, key=lambda pair: len(set(pair) - seen))
        waiting.remove(place)
        seen |= set(place)
        chosen += [numbers[0] for _, numbers in sorted(pairs[place].items(), reverse=True)]
    rest = [number for labels in pairs.values() for numbers in labels.values() for number in numbers]
    chosen += [number for number in sorted(rest) if number not in chosen]
    return chosen[:_MOST]


def _waterfall(axes: Axes, recording: Recording, counted: RecordingSummary, track: Track, tones: str) -> None:
    """Amplitude over time and tone; where no frame came it stays white."""
    main = track.kind == np.bincount(track.kind).argmax()
    image = _in_time(track, track.amplitude, main)
    seen = image[np.isfinite(image)]
    low, high = np.percentile(seen, [1, 99])
    bottom, top = (HT_TONES[0] - 0.5, HT_TONES[-1] + 0.5) if tones == "ht56" else (-0.5, 55.5)
    axes.imshow(
        image.T, aspect="auto", origin="lower", interpolation="nearest", cmap="viridis",
        vmin=low, vmax=max(high, low + 1e-6), extent=(0, _length_s(track), bottom, top),
    )  # fmt: skip
    axes.spines[:].set_color(_FRAME)
    axes.set_ylabel("tone" if tones == "ht56" else "bin", fontsize=8, color=_INK)
    axes.tick_params(labelsize=7, labelbottom=False, color=_FRAME)
    nominal = None if counted.stated_rate_hz is None else f"nominal {counted.stated_rate_hz:g} Hz"
    rate = nominal if counted.rate_hz is None else f"{counted.rate_hz:.1f} Hz"
    colours = f"amplitude {low:.0f} (dark) to {high:.0f}"
    told = (recording.room, recording.chip, rate, f"{counted.frames} frames", colours)
    axes.set_title(
        f"{recording.name}   " + ", ".join(part for part in told if part is not None),
        fontsize=9, loc="left", color=_INK, pad=3,
    )  # fmt: skip


def _length_s(track: Track) -> float:
    return max(float(track.time_s.max() - track.time_s.min()), 1e-3)


def _in_time(track: Track, values: NDArray[np.floating], rows: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Means over stretches of time, `[columns, ...]`; NaN where there was no frame."""
    finite = rows & np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    columns = int(np.clip(finite.sum() // 4, _COLUMNS // 8, _COLUMNS))
    share = (track.time_s[finite] - track.time_s.min()) / _length_s(track)
    column = np.minimum((share * columns).astype(np.int64), columns - 1)
    total = np.zeros((columns, *values.shape[1:]))
    np.add.at(total, column, values[finite])
    count = np.bincount(column, minlength=columns).astype(np.float64)
    count[count == 0] = np.nan
    return np.asarray(total / count.reshape(-1, *[1] * (values.ndim - 1)))


def _labels(track: Track) -> set[str]:
    """Which labels of motion a track has."""
    if track.moving is None:
        return {"unknown"}
    names = {-1: "unknown", 0: "quiet", 1: "moving"}
    return {names[value] for value in np.unique(track.moving).tolist()}


def _strip(axes: Axes, track: Track) -> None:
    """What is known of motion, frame by frame."""
    moving = np.full(len(track), -1, dtype=np.int8) if track.moving is None else track.moving
    shown = np.rint(_in_time(track, moving.astype(np.float64), np.ones(len(track), dtype=np.bool_)))
    axes.imshow(
        shown[None], aspect="auto", interpolation="nearest", cmap=ListedColormap(list(_MOTION.values())),
        vmin=-1.5, vmax=1.5, extent=(0, _length_s(track), 0, 1),
    )  # fmt: skip
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(labelsize=7, color=_FRAME, pad=1)
    axes.text(-0.006, 0.5, "label", transform=axes.transAxes, ha="right", va="center", fontsize=7, color=_INK)
    axes.text(1.004, 0.5, "s", transform=axes.transAxes, ha="left", va="center", fontsize=7, color=_INK)


def _statistics(mean_axes: Axes, variance_axes: Axes, track: Track) -> None:
    """Each tone's mean with one standard deviation, and its variance, for each kind of frame; beside the waterfall."""
    tones = np.asarray(HT_TONES)
    counts = np.bincount(track.kind, minlength=len(track.kinds))
    finite = np.isfinite(track.amplitude).all(axis=1)
    for place, kind in enumerate(np.argsort(-counts, kind="stable")[: len(_KINDS)].tolist()):
        colour = _KINDS[place]
        mean_axes.text(
            0.95 * (place % 3), -0.2 - 0.08 * (place // 3), f"{track.kinds[kind]}: {counts[kind]}",
            transform=mean_axes.transAxes, fontsize=6.5, color=colour, va="center",
        )  # fmt: skip
        values = track.amplitude[(track.kind == kind) & finite].astype(np.float64)
        if len(values) < 2:
            continue
        mean, variance = values.mean(axis=0), values.var(axis=0)
        std = np.sqrt(variance)
        mean_axes.fill_betweenx(tones, mean - std, mean + std, color=colour, alpha=0.25, linewidth=0)
        mean_axes.plot(mean, tones, color=colour, linewidth=1.2)
        variance_axes.plot(np.where(variance > 0, variance, np.nan), tones, color=colour, linewidth=1.2)
    variance_axes.set_xscale("log")
    low, high = variance_axes.get_xlim()
    variance_axes.set_xlim(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high)))
    variance_axes.xaxis.set_major_locator(LogLocator(numticks=5))
    variance_axes.xaxis.set_minor_locator(NullLocator())
    variance_axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    mean_axes.set_xlim(left=0)
    for axes, title in ((mean_axes, "mean ± std"), (variance_axes, "variance")):
        axes.set_ylim(HT_TONES[0] - 0.5, HT_TONES[-1] + 0.5)
        axes.tick_params(labelsize=7, labelleft=False, color=_FRAME)
        axes.grid(visible=True, color="#eeeeee", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_title(title, fontsize=8, color=_INK, pad=3)
        axes.spines[:].set_color(_FRAME)
