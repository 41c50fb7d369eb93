"""A bundle on a data set: verified and run as the daemon does it, scored with the locked figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
import numpy as np

from cogd.bundle.manifest import DataSource, Metric
from cogd.errors import TrainError
from cogd.heads.count import CountHead
from cogd.inferred import Context, WindowInfo
from cogd.runtime.app import MAX_BATCH
from cogd.train.data.dataset import cut_windows
from cogd.train.fused import fused_predictions
from cogd.train.gates import Gate, gates, rooms_that_trained
from cogd.train.metrics.confidence import Usual
from cogd.train.metrics.count import confusion
from cogd.train.metrics.uncertainty import RIGHT
from cogd.train.predictions import HeadName, Predictions, usable_rows
from cogd.train.scoring import SCORING, baselines, score, score_closely

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from cogd.bundle.manifest import Manifest
    from cogd.heads.base import Reading
    from cogd.runtime.app import App
    from cogd.train.data.dataset import Dataset
    from cogd.train.data.windows import DataOrigin, Windows
    from cogd.train.predictions import Answer

_OTHER_RATE = 0.2
"""A frame rate that differs from the model's by more than this share is told."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of it; the JSON that `cogd-train evaluate --json` prints.

    Attributes:
        title: what was evaluated.
        app: id, version and digest of the bundle, who signed it, its head, and the backend that ran it.
        data: what it was run on.
        windows: how many were cut, and how many of them have a label for this head.
        stride: frames from one window to the next.
        same_data: whether the bundle names this very data as what it was trained or tested on.
        notes: what one must know to read the figures; first of all about that.
        split: which part of the data: all of it.
        metrics: figures of the whole.
        parts: figures of each joint or class, and of each room and session.
        gates: what such a model must reach, and whether it does on these data.
        confusion: windows by true (row) and said (column) class; None where there are no classes.
        labels: of joints or classes.
        limits: those that the bundle states of itself.
    """

    title: str
    app: dict[str, Any]
    data: DataSource
    windows: dict[str, int]
    stride: int
    same_data: bool
    notes: list[str]
    split: str
    metrics: list[Metric]
    parts: list[Metric]
    gates: list[Gate]
    confusion: list[list[int]] | None = None
    labels: list[str]
    limits: list[str]


def evaluate(
    app: App, dataset: Dataset, stride: int | None = None, progress: Callable[[int, int], None] | None = None
) -> tuple[Evaluation, list[Predictions]]:
    """Run an app on every labelled window of a data set.

    Each window is one node's; counts of several nodes in one moment are fused as the daemon does it, as a part of their
    own. Answers are the daemon's head's.

    Args:
        app: verified and loaded.
        dataset: labelled.
        stride: frames from one window to the next; None: as many as a window has, so that windows share no frame.
        progress: told how many recordings are read, and of how many.

    Raises:
        TrainError: the data can't be read, has no label for this head, or the head is not scored.
        BundleError: the model fails.
    """
    manifest = app.bundle.manifest
    if manifest.head not in SCORING:
        raise TrainError(f"{manifest.id} has the head {manifest.head}", hint="known heads: " + ", ".join(SCORING))
    head = cast("HeadName", manifest.head)
    stride = app.window.frames if stride is None else stride
    transitions: Literal["leave_out", "unknown"] = "leave_out" if head == "motion" else "unknown"
    windows = cut_windows(dataset, app.window, stride, transitions=transitions, progress=progress)
    rows = usable_rows(head, windows)
    if len(rows) == 0:
        raise TrainError(f"{dataset.name} has no window with a label for the head {head}")
    same_data, told = overlap(manifest.provenance.data, windows.origin)
    part = ("OVERLAP with what the bundle was trained or tested on: " if same_data else "") + windows.origin.name
    answer = answer_of(app, windows.csi[rows])
    alone = Predictions.of_windows(head, part, windows, rows, answer)
    parts = [alone, *fused_predictions(alone, windows, rows, answer)]
    beside = baselines(head, windows, rows, "these very windows", _usual(manifest))
    metrics = [metric for predictions in parts for metric in score(predictions, beside)]
    return (
        Evaluation(
            title=f"{manifest.id} {manifest.version} on {windows.origin.name}",
            app={
                "id": manifest.id,
                "version": manifest.version,
                "digest": app.bundle.digest,
                "key_ids": list(app.bundle.key_ids),
                "head": head,
                "backend": app.backend,
            },
            data=DataSource(name=windows.origin.name, sha256=windows.origin.sha256, licence=windows.origin.licence),
            windows={"cut": len(windows), "labelled": len(rows)},
            stride=stride,
            same_data=same_data,
            notes=[told, *_notes(manifest, windows)],
            split="all labelled windows",
            metrics=metrics,
            parts=[metric for predictions in parts for metric in score_closely(predictions, beside)],
            gates=gates(parts, metrics, rooms_that_trained(manifest.provenance.data)),
            confusion=_confusion(alone),
            labels=list(alone.labels),
            limits=list(manifest.provenance.limits),
        ),
        parts,
    )


def answer_of(app: App, csi: NDArray[np.float32]) -> Answer:
    """What the app says of raw windows `[n, 56, frames]`, in batches no larger than the daemon's."""
    manifest = app.bundle.manifest
    context = Context(
        tick=1,
        app=manifest.id,
        version=manifest.version,
        digest=app.bundle.digest,
        backend=app.backend,
        node="evaluate/0",
        time=0.0,
        origin="replayed",
        window=WindowInfo(frames=csi.shape[2], span_s=0.0, measured_tones=csi.shape[1]),
    )
    readings: list[Reading] = []
    outputs: list[dict[str, NDArray[np.float32]]] = []
    for first in range(0, len(csi), MAX_BATCH):
        batch = csi[first : first + MAX_BATCH]
        outputs.append(dict(app.infer(batch)))
        readings += app.head.read(outputs[-1], [context] * len(batch))
    line = app.head.fused_line if isinstance(app.head, CountHead) else None
    joined = {name: np.concatenate([batch[name] for batch in outputs]) for name in outputs[0]}
    return SCORING[cast("HeadName", manifest.head)].answer(joined, readings, tuple(manifest.output.labels), line)


def overlap(named: Sequence[DataSource], origin: DataOrigin) -> tuple[bool, str]:
    """Whether a bundle names this very data as what it was trained or tested on, and what can be said about that.

    Data are the same if their digests are; a simulation has none, and is the same if its whole name is. Another choice
    of recordings has another digest, so that data in part the same are not found out.
    """
    for source in named:
        if origin.sha256 is None:
            same = source.sha256 is None and source.name == origin.name
        else:
            same = origin.sha256 in (source.sha256 or source.name)  # several joined ones have theirs in the name
        if same:
            how = "the same simulation" if origin.sha256 is None else f"sha256 {origin.sha256}"
            return True, (
                f"OVERLAP: the bundle names this very data among those it was trained or tested on: {source.name} "
                f"({how}); the figures here may tell only how well it remembers"
            )
    names = "; ".join(source.name for source in named) or "none"
    return False, (
        "the bundle does not name data of this digest, but another choice of the same recordings has another one; "
        f"it names {names}"
    )


def _notes(manifest: Manifest, windows: Windows) -> list[str]:
    notes = ["each window is one node's alone, but where `fused` is said"]
    wanted = manifest.input.rate_hz
    if abs(windows.rate_hz - wanted) > _OTHER_RATE * wanted:
        notes.append(f"the windows are of {windows.rate_hz:g} frames a second, the model was made for {wanted:g}")
    return notes


def _usual(manifest: Manifest) -> Usual:
    """One confidence for every window: the accuracy that the bundle states, or chance where it states none."""
    for metric in manifest.provenance.metrics:
        if metric.name in {"accuracy", "balanced_accuracy", RIGHT.name}:
            return Usual(f"the {metric.name} that the bundle states ({metric.split}), for every window", metric.value)
    classes = len(manifest.output.trained_classes or manifest.output.labels) or 1
    return Usual(f"one in {classes}, for every window: the bundle states no accuracy", 1 / classes)


def _confusion(predictions: Predictions) -> list[list[int]] | None:
    if predictions.head == "pose":
        return None
    truth, said = predictions.truth.astype(np.int64), predictions.predicted.astype(np.int64)
    classes = max(len(predictions.labels), int(truth.max()) + 1, int(said.max()) + 1)
    return [list(map(int, row)) for row in confusion(said, truth, classes)]
