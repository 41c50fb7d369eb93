"""A result's tables, for a terminal and for the page alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cogd.bench.method import METHOD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cogd.bench.figures import Bar, Idle, Latency, Live, Overload, Result, Sustained, Tight
    from cogd.machine import Machine


@dataclass(frozen=True)
class Table:
    """Cells of text; the first column is to the left, the others to the right, unless it is `wordy`."""

    part: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    wordy: bool = False

    @property
    def method(self) -> str:
        """How it was measured."""
        return METHOD.get(self.part, "")


def tables(result: Result) -> Iterator[Table]:
    """The tables of those parts that were measured."""
    for part in PARTS:
        yield from part_tables(result, part)
    if result.bars:
        yield bars_table(result.bars)


PARTS = ("tight", "paced", "nodes", "many", "sustained", "overload", "idle", "beside")


def has(result: Result, part: str) -> bool:
    """Whether a part was measured."""
    return bool(getattr(result, part))


def part_tables(result: Result, part: str) -> Iterator[Table]:
    """The tables of one part, if it was measured."""
    if has(result, part):
        yield from _MAKERS[part](result)


def bars_table(bars: Sequence[Bar]) -> Table:
    """Every bar with its figure."""
    rows = [
        [bar.name, figure(bar.figure), f"{'<=' if bar.at_most else '>='} {bar.bar:g}", bar.verdict, bar.beside]
        for bar in bars
    ]
    return Table("bars", "Bars", ["bar", "figure", "asked for", "verdict", "beside"], rows, wordy=True)


def figure(value: float | None) -> str:
    """A figure with four digits; a dash where there is none."""
    return "-" if value is None else f"{value:.4g}"


def machine_lines(machine: Machine) -> list[str]:
    """Where it was measured, in two lines."""
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return [f"{machine.processor}, {machine.cores} cores, {machine.system}", f"Python {machine.python}, {versions}"]


def _tight(tight: Sequence[Tight]) -> Iterator[Table]:
    rows: list[list[str]] = []
    for app in tight:
        rows.append([f"{app.app}, datagram to event bytes", *_microseconds(app.event_us)])
        if app.bare_us is not None:
            rows.append(["bare session.run", *_microseconds(app.bare_us)])
            rows.append(["ratio", figure(app.p50_ratio), "", figure(app.p99_ratio), "", ""])
        rows.append([f"{app.frames} frames, {app.events_per_s:.0f} events/s one after the other", *[""] * 5])
    yield Table("tight", "Tight loop, microseconds", ["", "p50", "p90", "p99", "p99.9", "max"], rows)
    stages = list(tight[0].stages_us)
    yield Table(
        "stages",
        "Shares of the stages",
        ["", *stages],
        [
            [
                app.app,
                *(f"{us:.1f} us, {us / max(sum(app.stages_us.values()), 1e-9):.0%}" for us in app.stages_us.values()),
            ]
            for app in tight
        ],
    )


_LIVE_HEADER = ["nodes", "frames/s", "events", "late", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"]
_LIVE_HEADER += ["CPU", "CPU us/frame", "waited", "RSS MiB", "lost"]


def _live(part: str, title: str, rows: Sequence[Live]) -> Table:
    return Table(part, f"{title}, {' and '.join(rows[0].apps)}", _LIVE_HEADER, [_live_row(row) for row in rows])


def _live_row(row: Live) -> list[str]:
    latency = row.event_us
    return [
        f"{row.nodes}",
        f"{row.offered_per_s:.0f}",
        f"{row.events}",
        f"{row.missed:.3%}",
        *(f"{us / 1e3:.2f}" for us in (latency.p50, latency.p90, latency.p99, latency.p99_9, latency.max)),
        f"{row.cpu:.1%}",
        f"{row.cpu_us_per_frame:.0f}",
        f"{row.waited:.1%}",
        f"{row.rss_mib:.0f}",
        counts(row.lost),
    ]


def counts(lost: dict[str, int]) -> str:
    """What was lost, by reason."""
    return ", ".join(f"{reason} {count}" for reason, count in sorted(lost.items())) or "nothing"


def _sustained(found: Sustained) -> Table:
    failed = "none" if found.failed_frames_per_s is None else f"{found.failed_frames_per_s:.0f}"
    rows = [
        ["highest rate kept, frames/s", f"{found.frames_per_s:.0f}"],
        ["lowest rate that failed twice, frames/s", failed],
        [f"raw ONNX Runtime, batches of 64, {found.cores} core(s), windows/s", f"{found.raw_per_s:.0f}"],
        ["ratio", figure(found.ratio)],
        ["tried (late)", ", ".join(f"{rate:.0f} ({missed:.2%})" for rate, missed in found.tries)],
    ]
    return Table("sustained", f"Highest rate, {' and '.join(found.apps)}", ["", ""], rows, wordy=True)


def _overload(found: Overload) -> Table:
    rows = [
        ["normal load, frames/s", f"{found.normal_per_s:.0f}"],
        [f"offered for {found.seconds:g} s, frames/s", f"{found.offered_per_s:.0f}"],
        ["shed, by reason", counts(found.shed)],
        ["neither a frame of a node nor counted by its source", f"{found.uncounted:.3%}"],
        ["became events, of all of these frames", f"{found.kept:.1%}"],
        ["became events, of the newest tenth of a second", f"{found.newest_kept:.1%}"],
        [f"latest event, ms (`max_wait_ms` {found.max_wait_ms})", f"{found.slowest_ms:.0f}"],
        ["recovered after, s", f"{found.recovered_s:.3f}"],
        ["late or missing from 1 s after it on", f"{found.missed_after:.3%}"],
    ]
    return Table("overload", "Overload", ["", ""], rows)


def _idle(found: Idle) -> Table:
    rows = [
        ["watched, s", f"{found.seconds:g}"],
        ["CPU, of one core", f"{found.cpu:.2%}"],
        ["resident memory, MiB", f"{found.rss_mib:.1f}"],
        [f"its growth after the first {found.settled_s:g} s, MiB", f"{found.growth_mib:.2f}"],
        ["20th frame to first event, s", f"{found.first_event_s:.3f}"],
        ["events", f"{found.events}"],
    ]
    return Table("idle", f"Idle: `{found.command}`", ["", ""], rows)


def _beside(result: Result) -> Iterator[Table]:
    for name, figures in result.beside.items():
        rows = [[key, figure(value) if isinstance(value, float) else str(value)] for key, value in figures.items()]
        yield Table(name, f"`bench/{name}.py`", ["", ""], rows)


def _microseconds(latency: Latency) -> list[str]:
    return [f"{us:.1f}" for us in (latency.p50, latency.p90, latency.p99, latency.p99_9, latency.max)]


_MAKERS: dict[str, Callable[[Result], Iterator[Table]]] = {
    "tight": lambda result: _tight(result.tight),
    "paced": lambda result: iter([_live("paced", "One node", [result.paced])] if result.paced else []),
    "nodes": lambda result: iter([_live("nodes", "Number of nodes", result.nodes)]),
    "many": lambda result: iter([_live("nodes", "Many nodes", [result.many])] if result.many else []),
    "sustained": lambda result: iter([_sustained(result.sustained)] if result.sustained else []),
    "overload": lambda result: iter([_overload(result.overload)] if result.overload else []),
    "idle": lambda result: iter([_idle(result.idle)] if result.idle else []),
    "beside": _beside,
}


def text(result: Result) -> str:
    """Everything, for a terminal."""
    blocks = ["\n".join(machine_lines(result.machine))]
    said: set[str] = set()
    for table in tables(result):
        method = [] if table.method in said else [table.method]
        said.add(table.method)
        blocks.append("\n".join([table.title, *filter(None, method), *columns(table)]))
    return "\n\n".join(blocks)


def columns(table: Table) -> list[str]:
    """The table's lines, for a terminal."""
    rows = [table.header, *table.rows] if any(table.header) else table.rows
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.header))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if index == 0 or table.wordy else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines
