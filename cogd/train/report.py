"""The report of a training run, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cogd.bundle.manifest import Metric
    from cogd.train.data.split import Split

LOWER_IS_BETTER = frozenset({"mpjpe_picture", "mae_persons", "confidence_ece"})


def beats_baseline(metric: Metric) -> bool:
    """Whether a figure is better than its trivial baseline's."""
    if metric.name in LOWER_IS_BETTER:
        return metric.value < metric.baseline_value
    return metric.value > metric.baseline_value


def format_report(metrics: Iterable[Metric], split: Split, graph: str, parity: float) -> str:
    """A table a split, then the definitions."""
    metrics = list(metrics)
    sizes = f"{len(split.train)} windows train, {len(split.calibration)} calibrate, {len(split.test)} test"
    lines = [
        f"split: {split.name}",
        f"       {sizes}",
        f"graph: {graph}",
        f"parity of the ONNX file with a NumPy forward: {parity:.1e}",
        "",
    ]
    for name in dict.fromkeys(metric.split for metric in metrics):
        mine = [metric for metric in metrics if metric.split == name]
        lines.append(f"{name} (n = {mine[0].n})")
        lines.append(f"  {'figure':24} {'model':>9} {'baseline':>9}")
        lines += [
            f"  {m.name:24} {m.value:9.4f} {m.baseline_value:9.4f}  "
            f"{'better' if beats_baseline(m) else 'NOT BETTER'} than {m.baseline_name}"
            for m in mine
        ]
        lines.append("")
    lines += [f"{name}: {text}" for name, text in {m.name: m.definition for m in metrics}.items()]
    return "\n".join(lines) + "\n"
