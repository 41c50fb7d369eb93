"""The page of the log of results: made from the log alone, so that it can be made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogd.bench.plot import PLOT, nodes_plot
from cogd.bench.tables import PARTS, bars_table, figure, has, machine_lines, part_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cogd.bench.figures import Result
    from cogd.bench.tables import Table
    from cogd.machine import Machine

_HEAD = """# Results

Made from [results.jsonl](results.jsonl) by `make bench` and `cogd bench --append`; don't edit it.
[docs/bench.md](../docs/bench.md) defines every figure. Figures that are compared are ratios to a reference of the same
run; absolute times are shown and never asserted.
"""

_PUBLISHED = """## Published, elsewhere

Other machines and other programs: here for orientation, not for comparison.

| what | figure |
|---|---|
| published native binary, cold start, x86_64 Linux | 5.4 ms |
| the same, Raspberry Pi 5 | 8.4 ms |
| the same, Windows | 76.2 ms |
| the same, warm inference, Core Ultra 9 | 305 us |
| ADR-103's gate, one frame, Raspberry Pi 5 | < 5 ms |
"""


def render(results: Sequence[Result]) -> dict[str, str]:
    """The page and its pictures, by file name."""
    files: dict[str, str] = {}
    blocks = [_HEAD]
    machines: list[Machine] = []
    for result in reversed(results):
        if not any(result.machine.same_as(machine) for machine in machines):
            machines.append(result.machine)
    for number, machine in enumerate(machines):
        own = [result for result in results if result.machine.same_as(machine)]
        picture = PLOT if number == 0 else PLOT.replace(".", f"-{number + 1}.")
        blocks += _machine(own, picture, files)
    blocks += [_PUBLISHED, _history(results)]
    return {"RESULTS.md": "\n".join(blocks), **files}


def _machine(results: Sequence[Result], picture: str, files: dict[str, str]) -> Iterator[str]:
    """The newest figures of each part on one machine."""
    first, second = machine_lines(results[-1].machine)
    yield f"## {first}\n\n{second}.\n"
    said: set[str] = set()
    judged = next((result for result in reversed(results) if result.bars), None)
    if judged is not None:
        yield _markdown(bars_table(judged.bars), judged, said)
    for part in PARTS:
        newest = next((result for result in reversed(results) if has(result, part)), None)
        if newest is None:
            continue
        for table in part_tables(newest, part):
            yield _markdown(table, newest, said)
        if part == "nodes" and len(newest.nodes) > 1:
            files[picture] = nodes_plot(newest.nodes)
            yield f"![CPU and latency against the number of nodes]({picture})\n"


def _markdown(table: Table, result: Result, said: set[str]) -> str:
    lines = [f"### {table.title}", "", f"{result.date}, commit {result.commit or 'unknown'}."]
    if table.method and table.method not in said:
        said.add(table.method)
        lines[-1] += f" {table.method}"
    lines += ["", _row(table.header), "|---|" + ("---|" if table.wordy else "---:|") * (len(table.header) - 1)]
    lines += [_row(row) for row in table.rows]
    return "\n".join([*lines, ""])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _history(results: Sequence[Result]) -> str:
    """One line a run."""
    header = ["date", "commit", "processor", "tight p50 / p99 ratio, each app", "highest rate / raw", "bars met"]
    lines = ["## Every run", "", _row(header), "|" + "---|" * len(header)]
    for result in results:
        tight = "; ".join(f"{figure(app.p50_ratio)} / {figure(app.p99_ratio)}" for app in result.tight)
        met = sum(bar.verdict == "met" for bar in result.bars)
        lines.append(
            _row(
                [
                    result.date,
                    result.commit or "unknown",
                    f"{result.machine.processor}, {result.machine.cores}",
                    tight or "-",
                    figure(result.sustained.ratio if result.sustained else None),
                    f"{met} of {len(result.bars)}" if result.bars else "-",
                ]
            )
        )
    return "\n".join([*lines, ""])
