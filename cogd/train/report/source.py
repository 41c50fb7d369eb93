"""What a report is drawn from: the files of a run directory, or of an evaluation that was kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from cogd.bundle.manifest import Metric
from cogd.errors import TrainError
from cogd.train import rundir
from cogd.train.gates import Gate
from cogd.train.history import Epoch
from cogd.train.predictions import MAKE_ANEW, Predictions, read_predictions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class _Said(msgspec.Struct, frozen=True):
    """The keys of `report.json` that a report needs, of a run or an evaluation."""

    split: str
    metrics: list[Metric]
    parts: list[Metric]
    leaky: bool = False
    windows: dict[str, int] = {}
    title: str | None = None
    notes: list[str] = []
    limits: list[str] = []
    gates: list[Gate] = []


@dataclass(frozen=True, eq=False)
class Source:
    """What is drawn.

    Attributes:
        title: what was trained or evaluated.
        split: how the data were split.
        leaky: whether the figures prove nothing.
        windows: how many are in each part.
        notes: what one must know to read the figures.
        limits: what the model can't do.
        metrics: figures of each part as a whole.
        parts: figures of joints, classes, rooms and sessions.
        gates: what the model must reach, and whether it does; none in reports made before there were gates.
        predictions: what was said, beside the truth.
        history: of the training; empty where there was none.
    """

    title: str
    split: str
    leaky: bool
    windows: dict[str, int]
    notes: Sequence[str]
    limits: Sequence[str]
    metrics: Sequence[Metric]
    parts: Sequence[Metric]
    gates: Sequence[Gate]
    predictions: Sequence[Predictions]
    history: Sequence[Epoch]


def read_source(folder: Path) -> Source:
    """Read a folder.

    Raises:
        TrainError: it is neither a finished run directory nor a kept evaluation; the message names the file.
    """
    said = _said(folder / rundir.REPORT)
    title, limits = said.title, said.limits
    if title is None:
        description = rundir.read_description(folder)
        title, limits = f"{description.title}: {folder.resolve().name}", description.provenance.limits
    return Source(
        title=title,
        split=said.split,
        leaky=said.leaky,
        windows=said.windows,
        notes=said.notes,
        limits=limits,
        metrics=said.metrics,
        parts=said.parts,
        gates=said.gates,
        predictions=read_predictions(folder / rundir.PREDICTIONS),
        history=_history(folder / rundir.HISTORY),
    )


def _said(path: Path) -> _Said:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Said)
    except OSError as error:
        raise TrainError(
            f"{path} can't be read: {error.strerror}",
            hint="give the run directory of a finished training, or what `cogd-train evaluate --out` wrote",
        ) from error
    except msgspec.DecodeError as error:
        raise TrainError(f"{path} is not the report of a run: {error}", hint=MAKE_ANEW) from error


def _history(path: Path) -> list[Epoch]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TrainError(f"{path} can't be read: {error.strerror}") from error
    try:
        return [msgspec.json.decode(line, type=Epoch) for line in lines]
    except msgspec.DecodeError as error:
        raise TrainError(f"{path} is not the history of a training: {error}", hint=MAKE_ANEW) from error
