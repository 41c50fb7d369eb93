"""The log of results: one JSON object a line, append-only, with a page made from it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import msgspec

from cogd.bench.figures import Result
from cogd.bench.render import render
from cogd.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOG, PAGE = "results.jsonl", "RESULTS.md"


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
