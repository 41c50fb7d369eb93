"""Cost and latency against the number of nodes, as SVG.

Written by hand and not by matplotlib: two panels of straight lines are less than what would have to be installed and
kept, the file is the same from the same figures, and its colours follow the reader's light or dark screen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from cogd.bench.figures import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cogd.bench.figures import Live

PLOT = "nodes.svg"

_WIDTH, _HEIGHT = 920, 380
_PANEL_WIDTH, _PANEL_HEIGHT = 345, 250
_TOP = 62

_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #57606a }
.title { font-size: 14px; font-weight: 600; fill: #24292f }
.grid { stroke: #d0d7de; stroke-width: 1 }
.line { fill: none; stroke-width: 2 }
.a { stroke: #0969da } circle.a, text.a { fill: #0969da; stroke: none }
.b { stroke: #bc4c00 } circle.b, text.b { fill: #bc4c00; stroke: none }
.guide { fill: none; stroke: #6e7781; stroke-width: 1.5; stroke-dasharray: 5 4 }
text.guide { fill: #6e7781; stroke: none }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 } .title { fill: #f0f6fc } .grid { stroke: #3d444d }
  .a { stroke: #58a6ff } circle.a, text.a { fill: #58a6ff }
  .b { stroke: #f0883e } circle.b, text.b { fill: #f0883e }
  .guide { stroke: #8b949e } text.guide { fill: #8b949e }
}
"""


@dataclass(frozen=True)
class _Line:
    """Values over the numbers of nodes; `kind` is its style, its name is written at its end or at its beginning."""

    name: str
    kind: str
    values: Sequence[float]
    named_at: int = -1


def nodes_plot(rows: Sequence[Live]) -> str:
    """Two panels, both axes logarithmic: CPU with the line of linear growth, latency with the deadline."""
    rows = sorted(rows, key=lambda row: row.nodes)
    nodes = [row.nodes for row in rows]
    cpu = [max(100 * row.cpu, 0.01) for row in rows]
    p50, p99 = (
        [max(us / 1e3, 0.01) for us in values]
        for values in zip(*((r.event_us.p50, r.event_us.p99) for r in rows), strict=True)
    )
    linear = [cpu[0] * count / nodes[0] for count in nodes]
    deadline = [DEADLINE_S * 1e3] * len(nodes)
    apps = " and ".join(rows[0].apps)
    left = _panel(
        62,
        "CPU, % of one core",
        nodes,
        [_Line("linear growth", "guide", linear, len(nodes) // 2), _Line("cogd", "a", cpu)],
    )
    right = _panel(
        62 + _PANEL_WIDTH + 110,
        "frame to event, ms",
        nodes,
        [_Line("deadline", "guide", deadline, 0), _Line("p99", "b", p99), _Line("p50", "a", p50)],
    )
    heading = escape(f"{rows[0].rate_hz:.0f} Hz a node, {apps}")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img">',
            f"<title>CPU and latency against the number of nodes: {heading}</title>",
            f"<style>{_STYLE}</style>",
            *left,
            *right,
            f'<text x="{_WIDTH / 2:g}" y="{_HEIGHT - 10}" text-anchor="middle">nodes; {heading}</text>',
            "</svg>\n",
        ]
    )


def _panel(left: int, title: str, nodes: Sequence[int], lines: Sequence[_Line]) -> list[str]:
    values = [value for line in lines for value in line.values]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    first, last = math.log10(nodes[0]), math.log10(nodes[-1])

    def x(count: float) -> float:
        return round(left + _PANEL_WIDTH * (math.log10(count) - first) / ((last - first) or 1), 1)

    def y(value: float) -> float:
        return round(_TOP + _PANEL_HEIGHT * (high - math.log10(value)) / (high - low), 1)

    parts = [f'<text class="title" x="{left}" y="{_TOP - 28}">{escape(title)}</text>']
    for power in range(low, high + 1):
        at = y(10.0**power)
        parts.append(f'<line class="grid" x1="{left}" x2="{left + _PANEL_WIDTH}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text x="{left - 8}" y="{at + 4}" text-anchor="end">{10.0**power:g}</text>')
    parts += [
        f'<text x="{x(count)}" y="{_TOP + _PANEL_HEIGHT + 20}" text-anchor="middle">{count}</text>' for count in nodes
    ]
    for line in lines:
        points = " ".join(f"{x(count)},{y(value)}" for count, value in zip(nodes, line.values, strict=True))
        parts.append(
            f'<polyline class="{"guide" if line.kind == "guide" else f"line {line.kind}"}" points="{points}"/>'
        )
        if line.kind != "guide":
            parts += [
                f'<circle class="{line.kind}" cx="{x(count)}" cy="{y(value)}" r="3.5"/>'
                for count, value in zip(nodes, line.values, strict=True)
            ]
        at, value = x(nodes[line.named_at]), y(line.values[line.named_at])
        side = 'text-anchor="start" ' if line.named_at in {0, -1} else 'text-anchor="end" '
        beside = 8 if line.named_at == -1 else 0 if line.named_at == 0 else -10
        above = 4 if line.named_at == -1 else -8
        parts.append(
            f'<text class="{line.kind}" {side}x="{at + beside:g}" y="{value + above:g}">{escape(line.name)}</text>'
        )
    return parts
