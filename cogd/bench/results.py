"""A run's result, and the log of them: one JSON object a line, to which lines are only added."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Literal

import msgspec

from cogd.bench.figures import Figure, Idle, Live, Overload, Sustained, Tight
from cogd.bench.machine import Machine
from cogd.bench.render import render
from cogd.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOG, PAGE = "results.jsonl", "RESULTS.md"


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, and what was measured of it.

    Attributes:
        name: of the bar.
        figure: what was measured, at most or at least `bar`; None where it could not be.
        bar: what is asked for.
        at_most: whether the figure may not be above it, else not below.
        beside: absolute figures and published references, or why nothing was measured.
        needed: whether it fails the whole where it was not measured.
    """

    name: str
    figure: float | None
    bar: float
    at_most: bool = True
    beside: str = ""
    needed: bool = True

    @property
    def verdict(self) -> Literal["met", "missed", "not measured"]:
        """Whether it is met."""
        if self.figure is None:
            return "not measured"
        return "met" if (self.figure <= self.bar if self.at_most else self.figure >= self.bar) else "missed"

    @property
    def fails(self) -> bool:
        """Whether this keeps the whole from being met."""
        return self.verdict == "missed" or (self.verdict == "not measured" and self.needed)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the benchmark, or the parts of it that were asked for.

    Attributes:
        format: names this form and the figures' definitions.
        date: when it ended, UTC.
        commit: of the checkout, where there is one.
        machine: where.
        tight: each app in a tight loop.
        paced: one node at 25 Hz through the daemon, all apps.
        nodes: the sweep over the number of nodes, all apps.
        many: the load that the bar of many nodes is about.
        sustained: the highest rate.
        overload: what becomes of more.
        idle: the installed program with one node.
        compared: what runs are compared by.
        bars: those that were judged.
        beside: figures of other benchmarks of the same run, as they gave them.
    """

    format: Literal["cogd-bench/1"] = "cogd-bench/1"
    date: str
    commit: str | None
    machine: Machine
    tight: list[Tight] = []
    paced: Live | None = None
    nodes: list[Live] = []
    many: Live | None = None
    sustained: Sustained | None = None
    overload: Overload | None = None
    idle: Idle | None = None
    compared: dict[str, Figure] = {}
    bars: list[Bar] = []
    beside: dict[str, dict[str, float | str | bool | None]] = {}


_DECODER = msgspec.json.Decoder(Result)


def read(path: Path) -> list[Result]:
    """Every result of a log, the oldest first.

    Raises:
        ResultsError: it can't be read, or a line is none.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror or error}") from error
    if lines[-1]:
        raise ResultsError(f"{path}: line {len(lines)} does not end: it was cut off")
    results = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            results.append(_DECODER.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ResultsError(f"{path}: line {number} is no result: {error}") from error
    return results


def append(folder: Path, result: Result) -> None:
    """Add a result to the folder's log and write its page anew, from the whole log.

    Raises:
        ResultsError: the log can't be read or written; then nothing was added. Or the page can't be, and it was.
    """
    log = folder / LOG
    earlier = read(log) if log.exists() else []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _add_line(log, msgspec.json.encode(result) + b"\n")
    except OSError as error:
        raise ResultsError(f"{log}: {error.strerror or error}", hint="nothing was added") from error
    try:
        _write(folder, render([*earlier, result]))
    except OSError as error:
        hint = "the result was added; the page is made anew with the next one"
        raise ResultsError(f"{folder / PAGE}: {error.strerror or error}", hint=hint) from error


def _add_line(log: Path, line: bytes) -> None:
    """Add a line durably and whole, or not at all."""
    with log.open("ab", buffering=0) as opened:
        size = opened.tell()
        try:
            whole = opened.write(line) == len(line)
            os.fsync(opened.fileno())
        except OSError:
            opened.truncate(size)
            raise
        if not whole:
            opened.truncate(size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_page(folder: Path) -> None:
    """Write the folder's page anew, from its log alone.

    Raises:
        ResultsError: the log can't be read, or the page not be written.
    """
    results = read(folder / LOG)
    try:
        _write(folder, render(results))
    except OSError as error:
        raise ResultsError(f"{folder}: {error.strerror or error}") from error


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        new = folder / f".{name}.new"
        try:
            new.write_text(text, encoding="utf-8")
            new.replace(folder / name)
        except OSError:
            new.unlink(missing_ok=True)
            raise
