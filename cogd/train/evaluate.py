"""A bundle on a data set: verified and run as the daemon does it, scored with the locked figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np

from cogd.bundle.manifest import DataSource, Metric
from cogd.errors import TrainError
from cogd.events import Context, WindowInfo
from cogd.runtime.app import MAX_BATCH
from cogd.train.data.cut import cut_windows
from cogd.train.gates import Gate, gates, named_rooms, rooms_that_trained
from cogd.train.heads.registry import trainer_names, trainer_of
from cogd.train.metrics.confidence import Usual
from cogd.train.metrics.count import confusion
from cogd.train.predictions import Predictions
from cogd.train.quiet import QuietRooms, watch
from cogd.train.report.text import confidence_said
from cogd.train.scoring import baselines, score, score_closely

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    from cogd.bundle.manifest import Manifest
    from cogd.heads.base import Baseline, Reading
    from cogd.runtime.app import App
    from cogd.train.data.track import Dataset
    from cogd.train.data.windows import DataOrigin, Windows
    from cogd.train.predictions import Answer

NO_BASELINE: Final = "nodes whose quiet room was refused, without a baseline"
"""The part of an evaluation after calibration that nothing could calibrate."""
_OTHER_RATE = 0.2
"""A frame rate that differs from the model's by more than this share is told."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of it; the JSON that `cogd-train evaluate --json` prints.

    Attributes:
        title: what was evaluated.
        app: id, version and digest of the bundle, who signed it, its head, and the backend that ran it.
        data: what it was run on.
        windows: how many were `cut`, and how many of them have a label for this head (`labelled`); after a calibration
            also how many of these are judged with a baseline (`calibrated`) and without (`uncalibrated`).
        stride: frames from one window to the next.
        same_data: whether the bundle names this very data, or rooms of it, as what it was trained or tested on.
        notes: what one must know to read the figures; first of all about that.
        split: which part of the data: all of it.
        metrics: figures of the whole.
        parts: figures of each joint or class, and of each room and session.
        gates: what such a model must reach, and whether it does on these data.
        confusion: windows of the first part by true (row) and said (column) class; None where there are no classes.
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
    app: App,
    dataset: Dataset,
    stride: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    calibrate_s: float | None = None,
) -> tuple[Evaluation, list[Predictions]]:
    """Run an app on every labelled window of a data set.

    Each window is one node's; counts of several nodes in one moment are fused as the daemon does it, as a part of their
    own. Answers are the daemon's head's.

    Args:
        app: verified and loaded.
        dataset: labelled.
        stride: frames from one window to the next; None: as many as a window has, so that windows share no frame.
        progress: told how many recordings are read, and of how many.
        calibrate_s: first watch each setup's quiet room for so long (`cogd.train.quiet`), and judge what is left: the
            first part is of the nodes that have a baseline then, and another one of those that have none.

    Raises:
        ConfigError: `calibrate_s` is not what `cogd calibrate` takes.
        TrainError: the data can't be read, has no label for this head, no quiet room to watch, or the head has no use
            for it or is not scored.
        BundleError: the model fails.
    """
    manifest = app.bundle.manifest
    if manifest.head not in trainer_names():
        raise TrainError(
            f"{manifest.id} has the head {manifest.head}", hint="known heads: " + ", ".join(trainer_names())
        )
    head, trainer = manifest.head, trainer_of(manifest.head)
    stride = app.window.frames if stride is None else stride
    quiet = None if calibrate_s is None else _watch(app, dataset, calibrate_s)
    windows = cut_windows(dataset, app.window, stride, transitions=trainer.transitions, progress=progress)
    rows = trainer.usable_rows(windows)
    if len(rows) == 0:
        raise TrainError(f"{dataset.name} has no window with a label for the head {head}")
    rooms = {windows.names["room"][number] for number in np.unique(windows.room[rows]) if number >= 0}
    same_data, told = overlap(manifest.provenance.data, windows.origin, rooms)
    part = ("OVERLAP with what the bundle was trained or tested on: " if same_data else "") + windows.origin.name
    notes = [told, *_notes(manifest, dataset, windows)]
    counted = {"cut": len(windows), "labelled": len(rows)}
    judged = [_Judged(part, rows)]
    if quiet is not None:
        judged = _after_calibration(quiet, windows, rows, part)
        counted |= {"calibrated": len(judged[0].rows), "uncalibrated": sum(len(one.rows) for one in judged[1:])}
        notes += quiet.notes()
    beside = baselines(head, windows, rows, "these very windows", _usual(manifest))
    parts: list[Predictions] = []
    closely: list[Metric] = []
    for one in judged:
        answer = answer_of(app, windows.csi[one.rows], one.baselines)
        alone = Predictions.of_windows(head, one.part, windows, one.rows, answer, trainer.truth(windows))
        fused = trainer.scoring.together(alone, windows, one.rows, answer)
        parts += [alone, *fused]
        closely += score_closely(alone, beside, {"chip": _chips(dataset, windows, one.rows)})
        closely += [metric for predictions in fused for metric in score_closely(predictions, beside)]
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
            windows=counted,
            stride=stride,
            same_data=same_data,
            notes=notes,
            split="all labelled windows" if quiet is None else "labelled windows but those that calibrated",
            metrics=metrics,
            parts=closely,
            gates=gates(parts, metrics, rooms_that_trained(manifest.provenance.data)),
            confusion=_confusion(parts[0]),
            labels=list(parts[0].labels),
            limits=list(manifest.provenance.limits),
        ),
        parts,
    )


def _watch(app: App, dataset: Dataset, seconds: float) -> QuietRooms:
    rule = app.head.quiet
    if rule is None:
        raise TrainError(f"the head {app.bundle.manifest.head} has no use for a baseline")

    def scores(csi: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray([reading.score for reading in _read(app, csi, None)[1]], dtype=np.float64)

    return watch(dataset, app.window, rule, scores, seconds)


class _Judged(NamedTuple):
    """Windows that are a part of their own; `baselines` are those of each one's node."""

    part: str
    rows: NDArray[np.int64]
    baselines: Sequence[Baseline] | None = None


def _after_calibration(quiet: QuietRooms, windows: Windows, rows: NDArray[np.int64], part: str) -> list[_Judged]:
    """The rows of nodes that have a baseline, but for those that made it; then those of other nodes, if there are any.

    The daemon, too, goes on without a baseline where a quiet room is refused. But that tells nothing of calibration.
    """
    names = windows.names["session"]
    known: list[int] = []
    known_baselines: list[Baseline] = []
    without: list[int] = []
    for row, watched in zip(rows.tolist(), quiet.of(windows, rows), strict=True):
        if watched is None:
            without.append(row)
        elif not watched.holds(names[windows.session[row]], windows.start_s[row], windows.end_s[row]):
            known.append(row)
            known_baselines.append(watched.baseline)
    if not known:
        raise TrainError(
            f"nothing is left to judge behind the {quiet.seconds:g} s of each quiet room", hint="watch for less time"
        )
    judged = [
        _Judged(f"{part}; calibrated for {quiet.seconds:g} s", np.asarray(known, dtype=np.int64), known_baselines)
    ]
    if without:
        judged.append(_Judged(f"{part}; {NO_BASELINE}", np.asarray(without, dtype=np.int64)))
    return judged


def _chips(dataset: Dataset, windows: Windows, rows: NDArray[np.int64]) -> list[str | None]:
    """The chip that heard each row."""
    chips = {(one.session, one.node): one.chip for one in dataset.listed}
    names = windows.names["session"]
    return [chips[names[windows.session[row]], int(windows.node[row])] for row in rows]


def answer_of(app: App, csi: NDArray[np.float32], baselines_of_rows: Sequence[Baseline] | None = None) -> Answer:
    """What the app says of raw windows `[n, 56, frames]`, in batches no larger than the daemon's.

    Args:
        app: verified and loaded.
        csi: the windows.
        baselines_of_rows: that of each row's node; for heads that have a use for them.
    """
    outputs, readings = _read(app, csi, baselines_of_rows)
    manifest = app.bundle.manifest
    return trainer_of(manifest.head).scoring.answer(outputs, readings, tuple(manifest.output.labels), app.head)


def _read(
    app: App, csi: NDArray[np.float32], baselines_of_rows: Sequence[Baseline] | None
) -> tuple[dict[str, NDArray[np.float32]], list[Reading]]:
    """The model's outputs by name, and what the head makes of them."""
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
        contexts = [context] * len(batch)
        known = () if baselines_of_rows is None else baselines_of_rows[first : first + MAX_BATCH]
        readings += app.head.read(outputs[-1], contexts, known)
    return {name: np.concatenate([batch[name] for batch in outputs]) for name in outputs[0]}, readings


def overlap(named: Sequence[DataSource], origin: DataOrigin, rooms: Collection[str] = ()) -> tuple[bool, str]:
    """Whether a bundle names this very data as what it was trained or tested on, and what can be said about that.

    Data are the same if their digests are; a simulation has none, and is the same if its whole name is, or if one of
    its rooms is among those that the bundle names. Another choice of recordings has another digest, so that recorded
    data in part the same are not found out.

    Args:
        named: the bundle's data.
        origin: of the data that it is run on.
        rooms: names of their rooms.
    """
    for source in named:
        if origin.sha256 is None:
            same = source.sha256 is None and source.name == origin.name
        else:
            same = origin.sha256 == source.sha256 or origin.sha256 in source.name  # joined ones have theirs there
        if same:
            how = "the same simulation" if origin.sha256 is None else f"sha256 {origin.sha256}"
            return True, (
                f"OVERLAP: the bundle names this very data among those it was trained or tested on: {source.name} "
                f"({how}); the figures here may tell only how well it remembers"
            )
    names = "; ".join(source.name for source in named) or "none"
    if shared := named_rooms(named).intersection(rooms):
        return True, (
            f"OVERLAP: {len(shared)} of the {len(rooms)} rooms are, by their numbers, among those that the bundle was "
            f"trained or tested on: it names {names}; the figures here may tell only how well it remembers them"
        )
    return False, (
        "the bundle does not name data of this digest, but another choice of the same recordings has another one; "
        f"it names {names}"
    )


def _notes(manifest: Manifest, dataset: Dataset, windows: Windows) -> list[str]:
    notes = ["each window is one node's alone, but where `fused` is said"]
    if manifest.output.confidence == "none":
        notes.append(f"confidence: {confidence_said(manifest.output)}")
    notes += trainer_of(manifest.head).scoring.notes()
    wanted = manifest.input.rate_hz
    if windows.cell_s is not None:
        rates_hz = sorted({one.rate_hz for one in dataset.listed if one.rate_hz is not None})
        told = " to ".join(f"{rate_hz:g}" for rate_hz in dict.fromkeys([*rates_hz[:1], *rates_hz[-1:]]))
        of = f", which are of {told} frames a second" if told else ""
        notes.append(
            f"a column is the median over {windows.cell_s:g} s of frames, however many come: the bundle states no "
            f"frame rate to compare with that of the data{of}"
        )
    elif abs(windows.rate_hz - wanted) > _OTHER_RATE * wanted:
        notes.append(f"the windows are of {windows.rate_hz:g} frames a second, the model was made for {wanted:g}")
    return notes


def _usual(manifest: Manifest) -> Usual:
    """One confidence for every window: the accuracy that the bundle states, or chance where it states none."""
    for metric in manifest.provenance.metrics:
        if metric.name == trainer_of(manifest.head).scoring.accuracy:
            return Usual(f"the {metric.name} that the bundle states ({metric.split}), for every window", metric.value)
    classes = len(manifest.output.trained_classes or manifest.output.labels) or 1
    return Usual(f"one in {classes}, for every window: the bundle states no accuracy", 1 / classes)


def _confusion(predictions: Predictions) -> list[list[int]] | None:
    if not trainer_of(predictions.head).scoring.has_classes:
        return None
    truth, said = predictions.truth.astype(np.int64), predictions.predicted.astype(np.int64)
    classes = max(len(predictions.labels), int(truth.max()) + 1, int(said.max()) + 1)
    return [list(map(int, row)) for row in confusion(said, truth, classes)]
