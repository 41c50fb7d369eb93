"""The log of training: one JSON object a finished run, to which lines are only ever added."""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

import cogd
from cogd.bundle.manifest import DataSource, Metric
from cogd.errors import TrainError
from cogd.machine import Machine, commit, this_machine

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_NAME = "training.jsonl"
"""Beside the run directory, so that the runs of one folder share a log."""

_PACKAGES = ("torch", "numpy", "onnx", "onnxruntime", "scipy")


class FinishedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is and what came of it.

    Attributes:
        folder: name of the run directory.
        head: what was learnt.
        config: SHA-256 of everything that was chosen; the same run has the same anywhere.
        device: what it was trained on.
        threads: of the processor.
        data: what it was trained and tested on.
        split: how it was split.
        split_digest: SHA-256 of which windows are in which part.
        leaky: whether the split is leaky (`cogd.train.data.split.Split`): then the figures prove nothing.
        windows: how many are in each part.
        metrics: every figure of every part, with definition, interval and baseline.
    """

    folder: str
    head: str
    config: str
    device: str
    threads: int
    data: list[DataSource]
    split: str
    split_digest: str
    leaky: bool
    windows: dict[str, int]
    metrics: list[Metric]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line.

    Attributes:
        format: names this form.
        date: when the run ended, UTC.
        commit: of the checkout, where there is one.
        machine: where, and with which versions.
        run: what it was.
    """

    format: Literal["cogd-train-log/1"] = "cogd-train-log/1"
    date: str
    commit: str | None
    machine: Machine
    run: FinishedRun

    @classmethod
    def now(cls, run: FinishedRun) -> Entry:
        """The entry of a run that ends now, on this machine."""
        versions = {"cogd": cogd.__version__} | {name: importlib.metadata.version(name) for name in _PACKAGES}
        return cls(
            date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            commit=commit(),
            machine=msgspec.structs.replace(this_machine(), versions=versions),
            run=run,
        )


def append(path: Path, entry: Entry) -> None:
    """Add a line, durably and whole, or not at all; nothing that is there is touched. Several runs may do so at once.

    Raises:
        TrainError: it can't be written, or its last line was cut off.
    """
    line = msgspec.json.encode(entry) + b"\n"
    try:
        opened = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX)
            size = os.fstat(opened).st_size
            if size and os.pread(opened, 1, size - 1) != b"\n":
                raise TrainError(f"{path}: its last line was cut off", hint="look at it and end or remove that line")
            _write_whole(opened, line, size)
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        raise TrainError(f"{path} can't be written: {error.strerror}", hint="nothing was added") from error


def _write_whole(opened: int, line: bytes, size: int) -> None:
    """Under the lock nobody else has written since `size` was read, so that cutting back to it loses nothing."""
    try:
        written = 0
        while written < len(line):
            written += os.write(opened, line[written:])
    except OSError:
        os.ftruncate(opened, size)
        raise


def read(path: Path) -> list[Entry]:
    """Every entry, the oldest first.

    Raises:
        TrainError: it can't be read, or a line is none.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise TrainError(f"{path} can't be read: {error.strerror}") from error
    entries: list[Entry] = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(msgspec.json.decode(line, type=Entry))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise TrainError(f"{path}: line {number} is not an entry: {error}") from error
    return entries
