"""The report of a training run, for people at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogd.train.metrics.figure import verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cogd.bundle.manifest import Metric
    from cogd.train.data.split import Split


def format_report(metrics: Iterable[Metric], split: Split, graph: str, parity: float) -> str:
    """How it was split and exported, a table a part, then the definitions."""
    sizes = f"{len(split.train)} windows train, {len(split.calibration)} calibrate, {len(split.test)} test"
    lines = [
        f"split: {'LEAKY: ' if split.leaky else ''}{split.name}",
        f"       {sizes}",
        f"graph: {graph}",
        f"parity of the ONNX file with a NumPy forward: {parity:.1e}",
        "",
    ]
    return "\n".join([*lines, *format_figures(list(metrics))]) + "\n"


def format_figures(metrics: Sequence[Metric]) -> list[str]:
    """A table for each part of the data, how the intervals were made, and what each figure is."""
    lines: list[str] = []
    width = max([len(metric.name) for metric in metrics], default=0)
    for part in dict.fromkeys(metric.split for metric in metrics):
        mine = [metric for metric in metrics if metric.split == part]
        lines += [part, f"  {'figure':{width}} {'model':>9} {'interval':>17} {'baseline':>9} {'n':>7}"]
        lines += [
            f"  {m.name:{width}} {m.value:9.4f} {_between(m):>17} {m.baseline_value:9.4f} {m.n:7d}  {verdict(m)}: "
            f"{m.baseline_name}"
            for m in mine
        ]
        intervals = dict.fromkeys(m.interval or "none: too few rooms, sessions or stretches of time" for m in mine)
        lines += [f"  interval: {text}" for text in intervals]
        lines.append("")
    lines += [f"{name}: {text}" for name, text in {m.name: m.definition for m in metrics}.items()]
    return lines


def _between(metric: Metric) -> str:
    return "-" if metric.low is None or metric.high is None else f"{metric.low:.4f} - {metric.high:.4f}"
