"""Cost and latency against the number of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cogd.bench.figures import BLOCKS, Figure, noise
from cogd.bench.live import measure_live

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cogd.bench.figures import Live
    from cogd.bench.live import Recorded
    from cogd.runtime.app import App
    from cogd.settings import Settings

NODES = (1, 3, 10, 30, 100, 300)

LIVE_LEAST = 0.30
"""By so much two runs of the same daemon differ where it mostly waits: frames find cold caches then, or do not."""


def sweep(
    apps: Sequence[App],
    settings: Settings,
    counts: Sequence[int],
    seconds: float,
    cores: tuple[list[int], list[int]] | None,
) -> Iterator[tuple[Live, float]]:
    """Each number of nodes for so long, with the noise of its cost."""
    for nodes in counts:
        live, recorded = measure_live(apps, settings, nodes, seconds, cores)
        yield live, cost_noise(recorded)


def cost_noise(recorded: Recorded) -> float:
    """What the CPU shares of a run's parts differ by."""
    return noise([cpu_s / wall_s for cpu_s, wall_s in zip(recorded.cpu_s, recorded.wall_s, strict=True)])


def latency_noise(recorded: Recorded) -> float:
    """What the median latencies of a run's parts differ by."""
    parts = np.array_split(recorded.late_s(), BLOCKS)
    return noise([float(np.median(part)) for part in parts if len(part)])


def growth(rows: Sequence[Live]) -> float:
    """How CPU time grows with the number of nodes: the exponent of the power law that fits best, 1 is linear.

    Of all rows, or of the three with the most nodes if that is more: what begins dear must not hide how it ends.
    """
    ordered = sorted(rows, key=lambda row: row.nodes)
    return round(max(_exponent(ordered), _exponent(ordered[-3:])), 4)


def _exponent(rows: Sequence[Live]) -> float:
    nodes = np.log([row.nodes for row in rows])
    cpu = np.log([max(row.cpu, 1e-6) for row in rows])
    return float(np.polyfit(nodes, cpu, 1)[0])


def sweep_figures(rows: Sequence[Live], noises: Sequence[float], bare_us: float | None) -> dict[str, Figure]:
    """The cost of a frame at each number of nodes, in bare inferences; none where there is nothing to compare to."""
    if not bare_us:
        return {}
    return {
        f"nodes.{row.nodes}.cpu_ratio": Figure(
            value=round(row.cpu_us_per_frame / bare_us, 4), noise=spread, least=LIVE_LEAST
        )
        for row, spread in zip(rows, noises, strict=True)
    }
