"""The report of a training run, for people at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cogd.train.gates import gate_lines
from cogd.train.metrics.bootstrap import LEAST_DEFINED, LEAST_GROUPS
from cogd.train.metrics.figure import verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cogd.bundle.manifest import Metric
    from cogd.train.data.split import Split
    from cogd.train.gates import Gate

_NO_INTERVAL: Final = (
    f"- where fewer than {LEAST_GROUPS} rooms, sessions or stretches hold what the figure is of, "
    f"or it is undefined in more than {1 - LEAST_DEFINED:.0%} of the draws"
)


def format_report(metrics: Iterable[Metric], judged_by: Sequence[Gate], split: Split, graph: str, parity: float) -> str:
    """How it was split and exported, gates, a table a part, then the definitions."""
    sizes = f"{len(split.train)} windows train, {len(split.calibration)} calibrate, {len(split.test)} test"
    lines = [
        f"split: {split.name}",
        f"       {sizes}",
        f"graph: {graph}",
        f"parity of the ONNX file with a NumPy forward: {parity:.1e}",
        "",
    ]
    return "\n".join([*lines, *gate_lines(judged_by), *format_figures(list(metrics))]) + "\n"


def format_figures(metrics: Sequence[Metric]) -> list[str]:
    """A table for each part of the data, what the baselines are, how the intervals were made, what each figure is."""
    lines: list[str] = []
    for part in dict.fromkeys(metric.split for metric in metrics):
        mine = [metric for metric in metrics if metric.split == part]
        lines += [part, *_table([(metric.name, metric) for metric in mine])]
        lines += [*(f"  {line}" for line in baseline_lines(mine)), *_intervals(mine), ""]
    return lines + [f"{name}: {text}" for name, text in {m.name: m.definition for m in metrics}.items()]


def baseline_lines(metrics: Sequence[Metric]) -> list[str]:
    """What the baselines are, those of several figures once."""
    lines: list[str] = []
    for baseline in dict.fromkeys(metric.baseline_name for metric in metrics):
        names = dict.fromkeys(metric.name for metric in metrics if metric.baseline_name == baseline)
        lines.append(f"baseline of {', '.join(names)}: {baseline}")
    return lines


def interval_lines(metrics: Sequence[Metric]) -> list[str]:
    """How the intervals of a table were made, and why some are lacking."""
    return [f"interval: {text}" for text in dict.fromkeys(metric.interval or _NO_INTERVAL for metric in metrics)]


def format_groups(metrics: Sequence[Metric], part: str) -> list[str]:
    """One table of a figure for each room and session of a part; these have the baselines of the whole."""
    mine = [(metric.split.removeprefix(part + "; "), metric) for metric in metrics]
    if not mine:
        return []
    return [f"{metrics[0].name} of each room and session", *_table(mine), *_intervals(metrics), ""]


def _table(rows: Sequence[tuple[str, Metric]]) -> list[str]:
    width = max(24, *(len(name) for name, _ in rows))
    lines = [f"  {'':{width}} {'model':>9} {'interval':>17} {'baseline':>9} {'n':>7}"]
    lines += [
        f"  {name:{width}} {m.value:9.4f} {_between(m):>17} {m.baseline_value:9.4f} {m.n:7d}  {verdict(m)}"
        for name, m in rows
    ]
    return lines


def _intervals(metrics: Sequence[Metric]) -> list[str]:
    return [f"  {line}" for line in interval_lines(metrics)]


def _between(metric: Metric) -> str:
    return "-" if metric.low is None or metric.high is None else f"{metric.low:.4f} - {metric.high:.4f}"
