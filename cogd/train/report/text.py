"""The report of a training run, for people at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cogd.train.gates import gate_lines
from cogd.train.metrics.bootstrap import LEAST_DEFINED, LEAST_GROUPS
from cogd.train.metrics.figure import part_heading, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cogd.bundle.manifest import Metric, OutputSpec
    from cogd.train.data.split import Split
    from cogd.train.gates import Gate

_NO_INTERVAL: Final = (
    f"- where fewer than {LEAST_GROUPS} rooms, sessions or stretches hold what the figure is of, "
    f"or it is undefined in more than {1 - LEAST_DEFINED:.0%} of the draws"
)
_MOST_GROUPS: Final = 8
"""So many rooms, and sessions, are in a table for people."""


def confidence_said(output: OutputSpec) -> str:
    """What the model's confidence is the probability of, or that it has none and why."""
    return ("none: " if output.confidence == "none" else "") + output.confidence_note


def format_report(
    metrics: Iterable[Metric],
    judged_by: Sequence[Gate],
    split: Split,
    graph: str,
    parity: float,
    notes: Sequence[str] = (),
) -> str:
    """How it was split and exported, what one must know of it, gates, a table a part, then the definitions."""
    sizes = f"{len(split.train)} windows train, {len(split.calibration)} calibrate, {len(split.test)} test"
    lines = [
        f"split: {split.name}",
        f"       {sizes}",
        f"graph: {graph}",
        f"parity of the ONNX file with a NumPy forward: {parity:.1e}",
        *notes,
        "",
    ]
    return (
        "\n".join([*lines, *gate_lines(judged_by, split.name), *format_figures(list(metrics), split=split.name)]) + "\n"
    )


def format_figures(metrics: Sequence[Metric], alone: Sequence[Metric] = (), split: str = "") -> list[str]:
    """A table for each part of the data, what the baselines are, how the intervals were made, what each figure is.

    Args:
        metrics: of parts as wholes.
        alone: of joints or classes of these parts. One figure of each stands in the part's table; several have one of
            their own, without intervals, and each of these figures is defined once.
        split: which is described elsewhere, and so not in the parts' names.
    """
    lines: list[str] = []
    several = len({_name_alone(metric) for metric in alone}) > 1
    for part in dict.fromkeys(metric.split for metric in metrics):
        mine = [metric for metric in metrics if metric.split == part]
        theirs = [metric for metric in alone if metric.split == part]
        rows = mine if several else [*mine, *theirs]
        lines += [part_heading(part, split), *_table([(metric.name, metric) for metric in rows])]
        lines += [*(f"  {line}" for line in baseline_lines(rows)), *_intervals(rows), ""]
        lines += _table_alone(theirs) if several else []
    definitions = {metric.name: metric.definition for metric in metrics}
    definitions |= {f"{_name_alone(metric)}.*": metric.definition.partition(": ")[2] for metric in alone}
    return lines + [f"{name}: {text}" for name, text in definitions.items()]


def _name_alone(metric: Metric) -> str:
    """Of a figure of one joint or class, without that."""
    return metric.name.rpartition(".")[0]


def _table_alone(metrics: Sequence[Metric]) -> list[str]:
    """A row for each joint, a column for each figure."""
    names = list(dict.fromkeys(_name_alone(metric) for metric in metrics))
    rows: dict[str, dict[str, Metric]] = {}
    for metric in metrics:
        rows.setdefault(metric.name.rpartition(".")[2], {})[_name_alone(metric)] = metric
    lines = ["each alone, in brackets its baseline (--json has the intervals)"]
    lines.append(f"  {'':16} " + " ".join(f"{name:>21}" for name in names))
    for row, found in rows.items():
        cells = (f"{m.value:.4f} ({m.baseline_value:.4f})" if (m := found.get(name)) else "-" for name in names)
        lines.append(f"  {row:16} " + " ".join(f"{cell:>21}" for cell in cells))
    return [*lines, ""]


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
    """One table of a figure for each room and session of a part; these have the baselines of the whole.

    Of many rooms it holds the first, and says how many more there are; and so with sessions and chips.
    """
    kinds: dict[str, list[tuple[str, Metric]]] = {}
    for metric in metrics:
        name = metric.split.removeprefix(part + "; ")
        kinds.setdefault(name.partition(" ")[0], []).append((name, metric))
    if not kinds:
        return []
    shown = [row for rows in kinds.values() for row in rows[:_MOST_GROUPS]]
    more = [f"{len(rows) - _MOST_GROUPS} {kind}s" for kind, rows in kinds.items() if len(rows) > _MOST_GROUPS]
    lines = [f"{metrics[0].name} of each {' and '.join(kinds)}", *_table(shown)]
    lines += [f"  and {', '.join(more)} more: --json has all"] if more else []
    return [*lines, *_intervals([metric for _, metric in shown]), ""]


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
