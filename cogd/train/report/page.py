"""One page and one picture of a run: no script, and nothing that is fetched from anywhere."""

from __future__ import annotations

import base64
import io
import textwrap
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any, Final, cast

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cogd.train.gates import gate_lines, numbers_of
from cogd.train.heads.registry import trainer_of
from cogd.train.metrics.figure import part_heading, verdict
from cogd.train.report import plots
from cogd.train.report.panel import Panel
from cogd.train.report.text import baseline_lines, interval_lines
from cogd.train.scoring import right

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import SubFigure

    from cogd.bundle.manifest import Metric
    from cogd.train.predictions import Predictions
    from cogd.train.report.source import Source

_WIDTH_IN: Final = 12.0
_TITLE_LINE: Final = 95
_HEADING_LINE: Final = 115
_HEAD_LINE: Final = 170
_SMALL_LINE: Final = 205
_TABLE_LINE: Final = 185
"""Characters to a line: of the title, a part's name, what is below the title, the small print, and its table."""
_TITLE_IN: Final = 0.32
_HEADING_IN: Final = 0.24
_HEAD_LINE_IN: Final = 0.24
_SMALL_LINE_IN: Final = 0.152
_STYLE: Final[dict[Any, Any]] = {
    "font.size": 9,
    "axes.labelcolor": "#333333",
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "text.color": "#222222",
    "figure.dpi": 110,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.06,
    "svg.hashsalt": "cogd",
}
LEAKY: Final = "LEAKY: what is tested here was dealt at random out of what trained. These figures prove nothing."


@dataclass(frozen=True)
class Section:
    """The pictures of one part of the data, or of the training; `part` is its whole name."""

    title: str
    part: str
    panels: Sequence[Panel]


def sections(source: Source) -> list[Section]:
    """What there is to draw: the training, then each part that was measured."""
    drawn: list[Section] = []
    if len(source.history) > 1:
        panel = Panel("Loss and score", 2, 3.2, partial(plots.curves, history=source.history))
        drawn.append(Section("Training", "", [panel]))
    for predictions in source.predictions:
        heading = part_heading(predictions.part, source.split)
        drawn.append(Section(heading, predictions.part, list(_panels(source, predictions))))
    return drawn


def _panels(source: Source, predictions: Predictions) -> Iterator[Panel]:
    whole = [metric for metric in source.metrics if metric.split == predictions.part]
    if whole:
        yield Panel("Figures", 2, 0.9 + 0.27 * len(whole), partial(plots.figures, metrics=whole))
    parts = [metric for metric in source.parts if metric.split == predictions.part]
    scoring = trainer_of(predictions.head).scoring
    headline = scoring.headline
    alone = [m for m in parts if m.name.startswith((f"{headline}.", "recall."))]
    if alone:
        names = [metric.name.rpartition(".")[2].replace("_", " ") for metric in alone]
        label = alone[0].name.rpartition(".")[0]
        what = scoring.parts_title
        yield Panel(
            what, 1, 1.2 + 0.25 * max(8, len(alone)), partial(plots.of_parts, metrics=alone, names=names, label=label)
        )
    grouped = _grouped(source, predictions, headline)
    before, behind = scoring.panels(predictions, grouped)
    yield from before
    if predictions.confidence is not None:
        said, was = predictions.confidence, right(predictions)
        yield Panel("Reliability of the confidence", 1, 3.6, partial(plots.calibration, confidence=said, right=was))
        yield Panel("Risk and coverage", 1, 3.6, partial(plots.risk, confidence=said, right=was))
    yield from behind


def _grouped(source: Source, predictions: Predictions, headline: str) -> Panel | None:
    """The first figure for each room, or for each session where there is one room; at most forty."""
    for group in ("room", "session"):
        prefix = f"{predictions.part}; {group} "
        mine = [m for m in source.parts if m.name == headline and m.split.startswith(prefix)][:40]
        if mine:
            names = [metric.split.removeprefix(prefix) for metric in mine]
            drawn = partial(plots.of_parts, metrics=mine, names=names, label=headline)
            return Panel(f"Each {group}", 1, 1.2 + 0.25 * max(8, len(mine)), drawn)
    return None


def render_png(source: Source) -> bytes:
    """Everything in one picture."""
    rows = [_Row(None, [], _head_height(source))]
    for section in sections(source):
        title = textwrap.fill(section.title, _HEADING_LINE)
        rows.append(_Row(title, [], 0.45 + _HEADING_IN * title.count("\n")))
        rows += [_Row(None, panels, max(p.height_in for p in panels)) for panels in _in_rows(section.panels)]
    table, foot = _wrapped(gate_lines(source.gates, source.split), _TABLE_LINE), _foot_lines(source)
    rows += [_Row(None, [], 0.3 + _SMALL_LINE_IN * len(lines)) for lines in (table, foot)]
    heights_in = [row.height_in for row in rows]
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, sum(heights_in)), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        strips = figure.subfigures(len(rows), 1, height_ratios=heights_in, squeeze=False)[:, 0]
        _draw_head(strips[0], source, rows[0].height_in)
        for strip, lines, family in zip(strips[-2:], (table, foot), ("monospace", "sans-serif"), strict=True):
            small = {"fontsize": 7.5, "va": "top", "color": "#444444", "linespacing": 1.35, "family": family}
            strip.text(0.008, 0.97, "\n".join(lines), **small)
        for strip, row in zip(strips[1:-2], rows[1:-2], strict=True):
            if row.title is not None:
                strip.text(0.008, 0.4, row.title, fontsize=12, fontweight="bold", va="center")
                continue
            cells = strip.subfigures(1, len(row.panels), squeeze=False, wspace=0.04)[0]
            for cell, panel in zip(cells, row.panels, strict=True):
                _draw(cell, panel)
        written = io.BytesIO()
        figure.savefig(written, format="png", metadata={"Software": "cogd-train"})
    return written.getvalue()


@dataclass(frozen=True)
class _Row:
    title: str | None
    panels: Sequence[Panel]
    height_in: float


def _in_rows(panels: Sequence[Panel]) -> list[list[Panel]]:
    rows: list[list[Panel]] = []
    for panel in panels:
        if panel.halves == 1 and rows and len(rows[-1]) == 1 and rows[-1][0].halves == 1:
            rows[-1].append(panel)
        else:
            rows.append([panel])
    return rows


def _draw(cell: SubFigure, panel: Panel) -> None:
    panel.draw(cell)
    cell.suptitle(panel.title, fontsize=10.5, x=0.01, ha="left")


def _wrapped(texts: Sequence[str], width: int) -> list[str]:
    return [line for text in texts for line in textwrap.wrap(text, width, subsequent_indent="    ") or [""]]


def _head_lines(source: Source) -> list[str]:
    windows = ", ".join(f"{number} {name}" for name, number in source.windows.items())
    return [f"split: {source.split}", f"windows: {windows}"]


def _foot_lines(source: Source) -> list[str]:
    """What the figures are and what the model can't do: a picture that is passed on takes them with it."""
    intervals = dict.fromkeys(metric.interval for metric in source.metrics if metric.interval)
    texts = [*source.notes, *(f"limit: {limit}" for limit in source.limits)]
    texts += [f"interval: {text}" for text in intervals]
    texts += baseline_lines(source.metrics)
    texts += [f"{name}: {text}" for name, text in _definitions(source.metrics).items()]
    return _wrapped(texts, _SMALL_LINE)


def _definitions(metrics: Sequence[Metric]) -> dict[str, str]:
    return {metric.name: metric.definition for metric in metrics}


def _head_height(source: Source) -> float:
    lines = len(_wrapped([source.title], _TITLE_LINE)) - 1, len(_wrapped(_head_lines(source), _HEAD_LINE))
    return 0.47 + _TITLE_IN * lines[0] + (0.4 if source.leaky else 0.0) + _HEAD_LINE_IN * lines[1]


def _draw_head(strip: SubFigure, source: Source, height_in: float) -> None:
    at = height_in - 0.25
    for number, line in enumerate(_wrapped([source.title], _TITLE_LINE)):
        at -= _TITLE_IN if number else 0.0
        strip.text(0.008, at / height_in, line, fontsize=14, fontweight="bold", va="center")
    if source.leaky:
        at -= 0.38
        strip.text(0.008, at / height_in, LEAKY, fontsize=11, color="white", va="center", bbox={"color": "#b3261e"})
        at -= 0.05
    for line in _wrapped(_head_lines(source), _HEAD_LINE):
        at -= _HEAD_LINE_IN
        strip.text(0.008, at / height_in, line, fontsize=9, va="center", color="#444444")


def render_html(source: Source) -> str:
    """A page with every figure and its definition, the pictures inside it."""
    title = escape(source.title)
    lines = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f"<style>{_CSS}</style></head><body>",
        f"<h1>{title}</h1>",
    ]
    if source.leaky:
        lines.append(f'<p class="leaky">{escape(LEAKY)}</p>')
    lines += [f"<p>{escape(line)}</p>" for line in [*_head_lines(source), *source.notes]]
    lines += _gates(source)
    for section in sections(source):
        lines.append(f"<h2>{escape(section.title)}</h2>")
        mine = [metric for metric in source.metrics if metric.split == section.part]
        if mine:
            lines += _table(mine)
        for panels in _in_rows(section.panels):
            lines.append('<div class="row">' + "".join(_picture(panel, len(panels)) for panel in panels) + "</div>")
    if source.limits:
        lines += ["<h2>Limits</h2>", "<ul>", *(f"<li>{escape(limit)}</li>" for limit in source.limits), "</ul>"]
    lines += ["<h2>Definitions</h2>", "<dl>"]
    lines += [
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"
        for name, text in _definitions([*source.metrics, *source.parts]).items()
    ]
    return "\n".join([*lines, "</dl>", "</body></html>", ""])


def _table(metrics: Sequence[Metric]) -> list[str]:
    lines = ["<table><tr><th>figure<th>model<th>interval<th>baseline<th>compared<th>n<th>the baseline is</tr>"]
    for m in metrics:
        known = "-" if m.low is None or m.high is None else f"{m.low:.4f} to {m.high:.4f}"
        cells = [f"{m.value:.4f}", known, f"{m.baseline_value:.4f}", verdict(m), str(m.n), m.baseline_name]
        row = "".join(f"<td>{escape(cell)}" for cell in cells)
        kind = ' class="worse"' if verdict(m) == "NOT BETTER" else ""
        lines.append(f"<tr{kind}><td>{escape(m.name)}{row}</tr>")
    lines.append("</table>")
    return lines + [f'<p class="small">{escape(line)}</p>' for line in interval_lines(metrics)]


def _gates(source: Source) -> list[str]:
    if not source.gates:
        return []
    lines = ["<h2>Gates</h2>", "<table><tr><th>gate<th>bar<th>figure<th>interval<th>met<th>on</tr>"]
    for gate in source.gates:
        said = gate.met if gate.why is None else f"{gate.met}: {gate.why}"
        cells = [gate.gate, gate.bar, *numbers_of(gate), said, part_heading(gate.part, source.split)]
        kind = ' class="worse"' if gate.met == "not met" else ""
        lines.append(f"<tr{kind}>" + "".join(f"<td>{escape(cell)}" for cell in cells) + "</tr>")
    return [*lines, "</table>"]


def _picture(panel: Panel, beside: int) -> str:
    width = _WIDTH_IN / max(beside, 3 - panel.halves)
    with rc_context(_STYLE):
        figure = Figure(figsize=(width, panel.height_in), layout="constrained", facecolor="white")
        _draw(cast("SubFigure", figure.subfigures()), panel)
        written = io.BytesIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": "cogd-train"})
    encoded = base64.b64encode(written.getvalue()).decode()
    return f'<img alt="{escape(panel.title)}" src="data:image/svg+xml;base64,{encoded}">'


_CSS: Final = (
    "body{font:15px/1.45 system-ui,sans-serif;color:#222;max-width:75rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #ddd}"
    "table{border-collapse:collapse;font-size:.86rem}td,th{padding:.18rem .7rem .18rem 0;text-align:left}"
    "td:nth-child(-n+4),td:nth-child(6){font-variant-numeric:tabular-nums}"
    "tr.worse td{color:#b3261e}tr+tr td{border-top:1px solid #eee}"
    ".leaky{background:#b3261e;color:#fff;padding:.5rem .8rem;font-weight:600}"
    ".row{display:flex;gap:1rem;align-items:flex-start}.row img{min-width:0;max-width:100%}"
    ".small,dd{font-size:.86rem;color:#444}dt{font-family:ui-monospace,monospace;font-size:.86rem;margin-top:.5rem}"
)
