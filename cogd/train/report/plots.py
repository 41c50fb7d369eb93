"""The pictures of a report, each on a canvas of its own: matplotlib draws them, and nothing here needs a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cogd.train.metrics.confidence import reliability, risk_coverage
from cogd.train.metrics.count import confusion as confusion_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from numpy.typing import NDArray

    from cogd.bundle.manifest import Metric
    from cogd.train.history import Epoch
    from cogd.train.predictions import Predictions

MODEL: Final = "#1b5fa7"
BASELINE: Final = "#c7691a"
TRUTH: Final = "#8a8a8a"
_TEXT: Final = "#333333"


def figures(canvas: SubFigure, metrics: Sequence[Metric]) -> None:
    """Each figure with its interval and baseline, those where more is better above those where less is."""
    ordered = sorted(metrics, key=lambda metric: metric.better == "lower")
    axes = _rows(canvas, ordered, [_name(metric) for metric in ordered])
    axes.set_xlim(0, max(1.0, axes.get_xlim()[1]))
    for row, metric in enumerate(ordered):
        axes.text(1.01, row, _numbers(metric), transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    _legend(canvas, metrics)


def of_parts(canvas: SubFigure, metrics: Sequence[Metric], names: Sequence[str], label: str) -> None:
    """One figure for each joint, class, room or session."""
    axes = _rows(canvas, metrics, names)
    axes.set_xlim(0, max(1.0, axes.get_xlim()[1]) if metrics[0].better == "higher" else None)
    axes.set_xlabel(label)
    _legend(canvas, metrics)


def _rows(canvas: SubFigure, metrics: Sequence[Metric], names: Sequence[str]) -> Axes:
    axes = canvas.add_subplot()
    plain(axes)
    for row, metric in enumerate(metrics):
        if metric.low is not None and metric.high is not None:
            axes.plot([metric.low, metric.high], [row, row], color=MODEL, linewidth=5, alpha=0.3, solid_capstyle="butt")
        axes.plot(metric.baseline_value, row, "|", color=BASELINE, markersize=11, markeredgewidth=2.2)
        axes.plot(metric.value, row, "o", color=MODEL, markersize=5.5)
    axes.set_yticks(range(len(metrics)), names)
    axes.set_ylim(len(metrics) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e6e6e6")
    axes.set_axisbelow(True)
    axes.set_xlim(left=0)
    return axes


def _legend(canvas: SubFigure, metrics: Sequence[Metric]) -> None:
    """Above the axes, where it hides nothing."""
    handles = [Line2D([], [], marker="o", color=MODEL, markersize=5.5, linestyle="none", label="model")]
    if any(metric.interval for metric in metrics):
        handles.append(Line2D([], [], color=MODEL, linewidth=5, alpha=0.3, label="95 % interval"))
    baseline = Line2D([], [], marker="|", color=BASELINE, markersize=11, linestyle="none", label="baseline")
    baseline.set_markeredgewidth(2.2)
    handles.append(baseline)
    canvas.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False, fontsize=8)


def _name(metric: Metric) -> str:
    return metric.name + (" (less is better)" if metric.better == "lower" else "")


def _numbers(metric: Metric) -> str:
    known = "" if metric.low is None or metric.high is None else f" [{metric.low:.3f}, {metric.high:.3f}]"
    return f"{metric.value:.3f}{known}, baseline {metric.baseline_value:.3f}"


def curves(canvas: SubFigure, history: Sequence[Epoch]) -> None:
    """Loss and score by epoch; each has its own axis, for they share no unit."""
    upper, lower = canvas.subplots(2, 1, sharex=True)
    epochs = [one.epoch for one in history]
    losses = [one.loss for one in history]
    upper.plot(epochs, losses, color=MODEL, linewidth=1.2)
    if min(losses) > 0 and max(losses) > 20 * min(losses):
        upper.set_yscale("log")
    upper.set_ylabel("training loss")
    lower.plot(epochs, [one.score for one in history], color=MODEL, linewidth=1.2)
    lower.set_ylabel("score on the\ncalibration part")
    lower.set_xlabel("epoch")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in (upper, lower):
        plain(axes)
        axes.grid(color="#e6e6e6")


def confusion(canvas: SubFigure, predictions: Predictions, class_name: Callable[[int, Sequence[str]], str]) -> None:
    """Share of each true class that was given each class, with the numbers of windows."""
    truth, said = predictions.truth.astype(np.int64), predictions.predicted.astype(np.int64)
    present = np.unique(np.concatenate([truth, said]))
    matrix = confusion_of(said, truth, int(present.max()) + 1)[np.ix_(present, present)]
    total = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0)
    axes = canvas.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), number in np.ndenumerate(matrix):
        if total[row, 0]:
            dark = share[row, column] > 0.55
            text = f"{share[row, column]:.0%}\n{number}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color="white" if dark else _TEXT)
    names = [class_name(number, predictions.labels) for number in present.tolist()]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("said")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def calibration(canvas: SubFigure, confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> None:
    """Reliability: accuracy of each bin against its mean confidence, and below how many windows each bin has."""
    upper, lower = canvas.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    bins = reliability(confidence, right)
    upper.plot([0, 1], [0, 1], color=TRUTH, linewidth=1, linestyle=(0, (4, 3)))
    where = [one.confidence for one in bins]
    accuracy = np.asarray([one.accuracy for one in bins])
    ends = np.asarray([one.interval for one in bins])
    error = np.abs(np.stack([accuracy - ends[:, 0], ends[:, 1] - accuracy]))
    upper.errorbar(where, accuracy, yerr=error, color=MODEL, marker="o", markersize=5, linewidth=1.2, elinewidth=1)
    upper.set_ylabel("share that is right")
    upper.set_ylim(-0.02, 1.02)
    lower.hist(confidence, bins=np.linspace(0, 1, 11).tolist(), color=MODEL, alpha=0.55, rwidth=0.94)
    lower.set_ylabel("windows")
    lower.set_xlabel(
        "confidence (dashed: it means what it says; bars: 95 %, as if windows were independent)", fontsize=8
    )
    lower.set_xlim(0, 1)
    for axes in (upper, lower):
        plain(axes)


def risk(canvas: SubFigure, confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> None:
    """Share of wrong answers among the most confident ones, by how many are taken."""
    coverage, wrong = risk_coverage(confidence, right)
    axes = canvas.add_subplot()
    plain(axes)
    axes.axhline(float((~right).mean()), color=BASELINE, linewidth=1.5, label="in no order")
    axes.plot(coverage, wrong, color=MODEL, linewidth=1.5, label="by confidence")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, max(0.05, 1.1 * float(wrong.max())))
    axes.set_xlabel("share of windows that are answered, the most confident first")
    axes.set_ylabel("share of them that is wrong")
    axes.grid(color="#e6e6e6")
    axes.legend(frameon=False)


def plain(axes: Axes) -> None:
    """Leave two sides of the frame, in grey."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#b0b0b0")
