"""One training run: data in, run directory out."""

from __future__ import annotations

import functools
import importlib.metadata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import msgspec
import numpy as np
import torch

import cogd
from cogd.bundle.manifest import DataSource, InputSpec, Metric, Provenance
from cogd.csi.model_input import ModelInput, fit_normaliser
from cogd.errors import TrainError
from cogd.train import rundir
from cogd.train.configfile import template
from cogd.train.device import capture_on, check_bf16, choose_device
from cogd.train.distributed import ALONE, join_world, leave_world
from cogd.train.edge import export_for_edge
from cogd.train.folds import Folds
from cogd.train.gates import Gate, gates
from cogd.train.heads.learning import Trained
from cogd.train.heads.registry import forward, trainer_of
from cogd.train.history import History, tensorboard
from cogd.train.load import split_windows
from cogd.train.loop import Loop
from cogd.train.predictions import Predictions, write_predictions
from cogd.train.report.log import Entry, FinishedRun, append
from cogd.train.report.text import confidence_said, format_report
from cogd.train.scoring import baselines, score, score_closely

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cogd.train.config import Config
    from cogd.train.data.split import Split
    from cogd.train.data.windows import Windows
    from cogd.train.distributed import World
    from cogd.train.edge import EdgeModel
    from cogd.train.folds import ConfidentTask, MakeTask
    from cogd.train.heads.base import TrainerHead
    from cogd.train.heads.learning import Judged
    from cogd.train.history import Epoch
    from cogd.train.tasks import Task

_GOLDEN_WINDOWS = 4
_PART_NAMES = {
    "time": "held-out time",
    "session": "held-out sessions",
    "room": "held-out rooms",
    "subject": "held-out subjects",
    "mmfi": "official test part",
}
"""By kind of split. That of random windows is its own name: nothing is held out."""


@dataclass(frozen=True)
class Run:
    """What to train, and where to put it.

    Attributes:
        config: how.
        windows: on what.
        held_out: windows that are in no part of `windows`; None where there are none.
        out: the run directory.
        resume: go on from its checkpoint.
        only_train: so many of the last windows train, whatever the split says of the others.
    """

    config: Config
    windows: Windows
    held_out: Windows | None
    out: Path
    resume: bool = False
    only_train: int = 0


@dataclass(frozen=True, eq=False)
class Prepared:
    """A run whose data, network and loop are made, and of which nothing is trained yet."""

    head: TrainerHead
    split: Split
    model_input: ModelInput
    task: Task
    loop: Loop
    device: torch.device
    folds: Folds | None


def train(
    run: Run,
    progress: Callable[[Epoch], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress_after: Callable[[str, Epoch], None] = lambda *_: None,
) -> list[Metric] | None:
    """Train, export, measure and write everything that a bundle needs; of a run before nothing is left beside it.

    Args:
        run: what.
        progress: told of each epoch.
        stop: asked after each step whether to stop there.
        progress_after: told of the epochs of the trainings that follow (`cogd.train.folds`), and which one it is.

    Returns:
        The figures; None: it was stopped, and its checkpoint is what it goes on from. Of several processes that train
        together the first exports and measures; the others give no figures.

    Raises:
        ConfigError: the configuration does not fit the data, or this machine.
        TrainError: the data or the checkpoint can't be used, or the exported model computes something else.
    """
    head = run.config.model.head
    if run.held_out is not None and len(trainer_of(head).usable_rows(run.held_out)) == 0:
        raise TrainError(
            f"{run.held_out.origin.name}, held out to test on, has no window with a label for the head {head}",
            hint="give data.held_out other data, or none",
        )
    device = choose_device(run.config.train.device)
    world = join_world(device)
    try:
        prepared = prepare(run.config, run.windows, device, run.out, world, run.only_train)
        if not _learn(run, prepared, world, progress, stop):
            return None
        if prepared.folds is not None:
            tell = progress_after if world.rank == 0 else lambda *_: None
            task = cast("ConfidentTask", prepared.task)  # the configuration was checked: folds are for the count alone
            if not prepared.folds.learn_confidence(task, tell, stop, resume=run.resume):
                return None
        return _finish(run, prepared) if world.rank == 0 else []
    except OSError as error:
        raise TrainError(f"{run.out} can't be written: {error}") from error
    finally:
        leave_world()


def prepare(
    config: Config,
    windows: Windows,
    device: torch.device,
    folder: Path | None = None,
    world: World = ALONE,
    only_train: int = 0,
    *,
    sampled: bool = False,
) -> Prepared:
    """Split the windows, fit the normaliser on the training part, make network and loop.

    Checkpoints are written into the folder, if there is one. Whether the calibration part will do can't be told
    of windows of which some rooms or recordings were left out (`sampled`).

    Raises:
        ConfigError, TrainError: as `train`.
    """
    torch.manual_seed(config.train.seed)
    torch.use_deterministic_algorithms(mode=True)
    if config.train.precision == "bf16":
        check_bf16(device)
    head = trainer_of(config.model.head)
    split = split_windows(windows, head.usable_rows(windows), config.split, only_train)
    further = split.train >= len(windows) - only_train
    learnt = np.concatenate([head.training_rows(windows, split.train[own], config) for own in (~further, further)])
    if len(learnt) < len(split.train):
        split = replace(split, name=f"{split.name}; {len(learnt)} windows learnt from", train=learnt)
    task = head.learning.make_task(windows, split.train, config)
    if not sampled:
        head.learning.check_calibration(windows, split.calibration, config)
    # A cell's frames were divided by their root mean square already.
    model_input = ModelInput("subcarrier_major", "window_rms" if windows.cell_s is None else "none")
    if task.net.wants_normaliser:
        mean, std = fit_normaliser(model_input.lay_out(windows.csi[split.train]))
        model_input = replace(model_input, mean=mean, std=std)
    inputs = windows.csi if model_input.changes_nothing else model_input.prepare(windows.csi)
    checkpoint = None if folder is None else folder / rundir.CHECKPOINT
    loop = Loop(task, inputs, split, config, checkpoint, device=device, capture=capture_on(device), world=world)
    folds = None
    if config.train.folds:
        make_task = cast("MakeTask", functools.partial(head.learning.make_task, windows, config=config))
        folds = Folds(config, windows, inputs, split, make_task, folder, device, world)
    return Prepared(head, split, model_input, task, loop, device, folds)


def _learn(
    run: Run,
    prepared: Prepared,
    world: World,
    progress: Callable[[Epoch], None] | None,
    stop: Callable[[], bool],
) -> bool:
    """Train from the beginning or the checkpoint; returns whether it came to the end."""
    done = prepared.loop.resume(run.out / rundir.CHECKPOINT) if run.resume else 0
    listeners: list[Callable[[Epoch], None]] = []
    if world.rank == 0:
        run.out.mkdir(parents=True, exist_ok=True)
        rundir.clear(run.out, resume=run.resume)  # not before it is known that this run can begin, or go on
        (run.out / rundir.CONFIG).write_text(template(run.config), encoding="utf-8")
        listeners.append(History(run.out / rundir.HISTORY, done).add)
        if run.config.output.tensorboard:
            listeners.append(tensorboard(run.out / rundir.TENSORBOARD, done))
        if progress is not None:
            listeners.append(progress)

    def tell(epoch: Epoch) -> None:
        for listener in listeners:
            listener(epoch)

    return prepared.loop.run(tell, stop)


def _finish(run: Run, prepared: Prepared) -> list[Metric]:
    """Export and measure what was trained, and write it all."""
    head, split, model_input, task = prepared.head, prepared.split, prepared.model_input, prepared.task
    task.to(torch.device("cpu"))  # where it is exported and measured
    weights = {name: tensor.numpy().copy() for name, tensor in task.net.state_dict().items()}
    edge, parity = export_for_edge(task.net, weights, model_input, run.windows.csi.shape[2])

    (run.out / rundir.MODEL).write_bytes(edge.model)
    rundir.write_tensors(run.out / rundir.WEIGHTS, weights)
    if model_input.mean is not None and model_input.std is not None:
        normaliser = {"mean": model_input.mean, "std": model_input.std}
        rundir.write_tensors(run.out / rundir.NORMALISER, normaliser)
    golden = run.windows.csi[split.test[:_GOLDEN_WINDOWS]]
    rundir.write_golden(run.out, golden, forward(weights, model_input.prepare(golden)))
    judged = head.learning.judge(Trained(task.net, model_input, run.config, run.windows, split, run.out))
    predictions = _predictions(run, split, judged)
    beside = baselines(run.config.model.head, run.windows, split.train, usual=judged.usual)
    metrics = [metric for part in predictions for metric in score(part, beside)]
    closely = [metric for part in predictions for metric in score_closely(part, beside)]
    write_predictions(run.out / rundir.PREDICTIONS, predictions)
    description = rundir.Description(
        title=head.learning.title,
        head=run.config.model.head,
        input=_input_spec(run.windows, model_input, inside=edge.normaliser_inside),
        output=judged.output,
        golden_tolerance=rundir.GOLDEN_TOLERANCE,
        provenance=_provenance(run, head, split, metrics),
    )
    rooms = {run.windows.names["room"][number] for number in np.unique(run.windows.room[split.train]) if number >= 0}
    judged_by = gates(predictions, metrics, rooms)
    notes = [f"confidence: {confidence_said(judged.output)}"]
    _write_report(run, prepared, {"metrics": metrics, "parts": closely}, judged_by, edge, parity, notes)
    rundir.write_description(run.out, description)
    _log(run, prepared, description)
    return metrics


def _predictions(run: Run, split: Split, judged: Judged) -> list[Predictions]:
    """What the network says of the test part, and of the data of which no part trained."""
    head = run.config.model.head
    tested = split.name if split.leaky else f"{_PART_NAMES[run.config.split.kind]}: {split.name}"
    parts = [(tested, run.windows, split.test, split.leaky)]
    if run.held_out is not None:
        simulated = run.config.data.spec == "sim" and not run.config.data.held_out
        name = "held-out rooms: no part of them trained" if simulated else "other data: no part of them trained"
        parts.append((name, run.held_out, trainer_of(head).usable_rows(run.held_out), False))
    for number, (name, windows, rows, leaky) in reversed([*enumerate(parts)]):
        heard = trainer_of(head).training_rows(windows, rows, run.config)
        if 0 < len(heard) < len(rows):
            parts.insert(number + 1, (f"{name}; {trainer_of(head).training_rows_note}", windows, heard, leaky))
    found: list[Predictions] = []
    for name, windows, rows, leaky in parts:
        answer = judged.answer(windows.csi[rows])
        alone = Predictions.of_windows(head, name, windows, rows, answer, trainer_of(head).truth(windows), leaky=leaky)
        found += [alone, *trainer_of(head).scoring.together(alone, windows, rows, answer)]
    return found


def _write_report(
    run: Run,
    prepared: Prepared,
    figures: dict[str, list[Metric]],
    judged_by: list[Gate],
    edge: EdgeModel,
    parity: float,
    notes: list[str],
) -> None:
    split, device = prepared.split, prepared.device
    report = {
        "config": run.config,
        "config_digest": run.config.digest(),
        "split": split.name,
        "split_digest": split.digest,
        "leaky": split.leaky,
        "windows": _sizes(split),
        "data": run.windows.origin,
        "training": prepared.loop.summary,
        "graph": edge.graph,
        "parity": {"definition": "largest difference between the ONNX file and a NumPy forward", "value": parity},
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        **figures,
        "gates": judged_by,
        "notes": notes,
    }
    (run.out / rundir.REPORT).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    text = format_report(figures["metrics"], judged_by, split, edge.graph, parity, notes)
    (run.out / rundir.REPORT_TEXT).write_text(text, encoding="utf-8")


def _log(run: Run, prepared: Prepared, description: rundir.Description) -> None:
    """Add the finished run to the log."""
    split, device = prepared.split, prepared.device
    finished = FinishedRun(
        folder=run.out.resolve().name,
        head=description.head,
        config=run.config.digest(),
        device=_device_name(device),
        threads=torch.get_num_threads(),
        data=description.provenance.data,
        split=split.name,
        split_digest=split.digest,
        leaky=split.leaky,
        windows=_sizes(split),
        metrics=description.provenance.metrics,
    )
    append(rundir.log_of(run.out, run.config.output.log), Entry.now(finished))


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _sizes(split: Split) -> dict[str, int]:
    return {"train": len(split.train), "calibration": len(split.calibration), "test": len(split.test)}


def _input_spec(windows: Windows, model_input: ModelInput, *, inside: bool) -> InputSpec:
    return InputSpec(
        layout="subcarrier_major",
        tones=windows.tones,
        subcarriers=windows.csi.shape[1],
        frames=windows.csi.shape[2],
        rate_hz=windows.rate_hz,
        min_gap_s=windows.min_gap_s,
        max_gap_s=windows.max_gap_s,
        gain=model_input.gain,
        normaliser=None if inside or model_input.mean is None else rundir.NORMALISER,
        columns="frames" if windows.cell_s is None else "cell_median",
    )


def _provenance(run: Run, head: TrainerHead, split: Split, metrics: Sequence[Metric]) -> Provenance:
    sources = [run.windows.origin] + ([run.held_out.origin] if run.held_out else [])
    limits = [
        "Measured only on the data named here; nothing is known about any other room, chip or placement.",
        "The model hears one node's window at a time; of several nodes only counts are combined, after it.",
        *head.learning.limits,
    ]
    if split.leaky:
        limits.insert(0, f"Its split is leaky, and figures on it prove nothing: {split.name.removeprefix('LEAKY: ')}.")
    if run.config.data.spec.startswith("paired:"):
        limits.append("The recording is one session, and frames of several nodes may be interleaved in its windows.")
    if all(source.sha256 is None for source in sources):
        limits.append("Trained on simulation alone: figures on real rooms are unknown and will be worse.")
    return Provenance(
        trainer=f"cogd-train {cogd.__version__}, torch {importlib.metadata.version('torch')}",
        data=[DataSource(name=s.name, sha256=s.sha256, licence=s.licence) for s in sources],
        metrics=list(metrics),
        limits=limits,
    )
