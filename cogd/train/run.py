"""One training run: data in, run directory out."""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import safetensors.numpy
import torch

import cogd
from cogd.bundle.manifest import DataSource, InputSpec, Metric, OutputSpec, Provenance
from cogd.bundle.manifest import Tensor as TensorSpec
from cogd.csi.model_input import ModelInput, fit_normaliser
from cogd.errors import TrainError
from cogd.sim.bodies import JOINTS
from cogd.train import rundir
from cogd.train.calibration import calibrate_count
from cogd.train.data.split import Split, temporal_split
from cogd.train.device import capture_on, choose_device
from cogd.train.edge import export_for_edge
from cogd.train.loop import Loop
from cogd.train.metrics.confidence import Usual
from cogd.train.nets import CLASS_COUNT
from cogd.train.predictions import Answer, Predictions, usable_rows, write_predictions
from cogd.train.report.log import Entry, FinishedRun, append
from cogd.train.report.text import format_report
from cogd.train.scoring import baselines, score, score_closely
from cogd.train.tasks import CountTask, PoseTask, Task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from cogd.train.data.windows import Windows
    from cogd.train.device import DeviceName
    from cogd.train.recipe import Recipe

_GOLDEN_WINDOWS = 4


@dataclass(frozen=True)
class Run:
    """What to train, and where to put it.

    Attributes:
        recipe: how.
        windows: on what.
        held_out: windows of rooms that are in no part of `windows`; None where there are none.
        out: the run directory.
        resume: go on from its checkpoint.
        device: `auto`, `cpu` or `cuda`.
        log: where the finished run adds a line; None: nowhere.
    """

    recipe: Recipe
    windows: Windows
    held_out: Windows | None
    out: Path
    resume: bool = False
    device: DeviceName = "cpu"
    log: Path | None = None


def train(run: Run, progress: Callable[[int, float, float], None] | None = None) -> list[Metric]:
    """Train, export, measure and write everything that a bundle needs.

    Raises:
        TrainError: the data or the checkpoint can't be used, or the exported model computes something else.
    """
    try:
        run.out.mkdir(parents=True, exist_ok=True)
        # First away, last written: a directory with a description holds the files of one run.
        (run.out / rundir.DESCRIPTION).unlink(missing_ok=True)
        return _train(run, progress)
    except OSError as error:
        raise TrainError(f"{run.out} can't be written: {error}") from error


def _train(run: Run, progress: Callable[[int, float, float], None] | None) -> list[Metric]:
    torch.manual_seed(run.recipe.seed)
    torch.use_deterministic_algorithms(mode=True)
    windows = run.windows
    split = temporal_split(windows, usable_rows(run.recipe.head, windows))
    unfitted = ModelInput("subcarrier_major", "window_rms")
    mean, std = fit_normaliser(unfitted.lay_out(windows.csi[split.train]))
    model_input = ModelInput(unfitted.layout, unfitted.gain, mean, std)
    task: Task = PoseTask(windows) if run.recipe.head == "pose" else CountTask(windows, split.train)
    device = choose_device(run.device)
    loop = Loop(
        task,
        model_input.prepare(windows.csi),
        split,
        run.recipe,
        run.out / rundir.CHECKPOINT,
        device=device,
        capture=capture_on(device),
    )
    if run.resume:
        loop.resume(run.out / rundir.CHECKPOINT)
    loop.run(progress)
    task.to(torch.device("cpu"))  # where it is exported and measured
    weights = {name: tensor.numpy().copy() for name, tensor in task.net.state_dict().items()}
    edge, parity = export_for_edge(task.net, weights, model_input, windows.csi.shape[2])

    (run.out / rundir.MODEL).write_bytes(edge.model)
    safetensors.numpy.save_file(weights, run.out / rundir.WEIGHTS)
    safetensors.numpy.save_file({"mean": mean, "std": std}, run.out / rundir.NORMALISER)
    rundir.write_golden(run.out, windows.csi[split.test[:_GOLDEN_WINDOWS]], model_input, weights)
    evaluation = _Evaluation(task, model_input, run, split)
    output, predictions, usual = evaluation.pose() if run.recipe.head == "pose" else evaluation.count()
    beside = baselines(run.recipe.head, windows, split.train, usual=usual)
    metrics = [metric for part in predictions for metric in score(part, beside)]
    closely = [metric for part in predictions for metric in score_closely(part, beside)]
    write_predictions(run.out / rundir.PREDICTIONS, predictions)
    description = rundir.Description(
        title="Pose of one person" if run.recipe.head == "pose" else "Number of persons",
        head=run.recipe.head,
        input=_input_spec(windows, normaliser=None if edge.normaliser_inside else rundir.NORMALISER),
        output=output,
        golden_tolerance=rundir.GOLDEN_TOLERANCE,
        provenance=_provenance(run, metrics),
    )
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    report = {
        "recipe": run.recipe,
        "split": split.name,
        "split_digest": split.digest,
        "leaky": split.leaky,
        "windows": {"train": len(split.train), "calibration": len(split.calibration), "test": len(split.test)},
        "data": windows.origin,
        "graph": edge.graph,
        "parity": {"definition": "largest difference between the ONNX file and a NumPy forward", "value": parity},
        "device": device_name,
        "threads": torch.get_num_threads(),
        "metrics": metrics,
        "parts": closely,
    }
    (run.out / rundir.REPORT).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    (run.out / rundir.REPORT_TEXT).write_text(format_report(metrics, split, edge.graph, parity), encoding="utf-8")
    rundir.write_description(run.out, description)
    if run.log is not None:
        finished = FinishedRun(
            folder=run.out.name,
            head=run.recipe.head,
            config=hashlib.sha256(msgspec.json.encode(run.recipe)).hexdigest(),
            device=device_name,
            threads=torch.get_num_threads(),
            data=description.provenance.data,
            split=split.name,
            split_digest=split.digest,
            leaky=split.leaky,
            windows={"train": len(split.train), "calibration": len(split.calibration), "test": len(split.test)},
            metrics=metrics,
        )
        append(run.log, Entry.now(finished))
    return metrics


def _input_spec(windows: Windows, normaliser: str | None) -> InputSpec:
    return InputSpec(
        layout="subcarrier_major",
        tones=windows.tones,
        subcarriers=windows.csi.shape[1],
        frames=windows.csi.shape[2],
        rate_hz=windows.rate_hz,
        min_gap_s=windows.min_gap_s,
        max_gap_s=windows.max_gap_s,
        gain="window_rms",
        normaliser=normaliser,
    )


def _provenance(run: Run, metrics: list[Metric]) -> Provenance:
    sources = [run.windows.origin] + ([run.held_out.origin] if run.held_out else [])
    limits = [
        "Measured only on the data named here; nothing is known about any other room, chip or placement.",
        "One node's window at a time; nothing is combined across nodes.",
    ]
    if run.recipe.head == "pose":
        limits.append("Assumes exactly one person: it draws a skeleton for an empty room and for a crowd alike.")
        limits.append("It has no confidence.")
    if run.windows.origin.sha256 is not None:
        limits.append("The recording is one session, and frames of several nodes may be interleaved in its windows.")
    if all(source.sha256 is None for source in sources):
        limits.append("Trained on simulation alone: figures on real rooms are unknown and will be worse.")
    return Provenance(
        trainer=f"cogd-train {cogd.__version__}, torch {importlib.metadata.version('torch')}",
        data=[DataSource(name=s.name, sha256=s.sha256, licence=s.licence) for s in sources],
        metrics=metrics,
        limits=limits,
    )


class _Evaluation:
    """Measures a trained network on the test part and, where there are any, on rooms it never saw."""

    def __init__(self, task: Task, model_input: ModelInput, run: Run, split: Split) -> None:
        self._task, self._input, self._run, self._split = task, model_input, run, split
        self._parts = [("held-out time: " + split.name, run.windows, split.test)]
        if run.held_out is not None:
            rows = usable_rows(run.recipe.head, run.held_out)
            self._parts.append(("held-out rooms: no part of them trained", run.held_out, rows))

    def _outputs(self, csi: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        with torch.no_grad():
            parts = [self._task.net(part) for part in torch.split(torch.from_numpy(self._input.prepare(csi)), 4096)]
        return [torch.cat(list(tensors)).numpy() for tensors in zip(*parts, strict=True)]

    def _predictions(self, rows_of: Callable[[NDArray[np.float32]], Answer]) -> list[Predictions]:
        return [
            Predictions.of_windows(
                self._run.recipe.head, name, windows, rows, rows_of(windows.csi[rows]), leaky=self._split.leaky
            )
            for name, windows, rows in self._parts
        ]

    def pose(self) -> tuple[OutputSpec, list[Predictions], Usual | None]:
        """Keypoints."""
        predictions = self._predictions(lambda csi: Answer(self._outputs(csi)[0].reshape(-1, 17, 2), JOINTS))
        output = OutputSpec(
            tensors=[TensorSpec(name="keypoints", shape=[34])],
            labels=list(JOINTS),
            trained_classes=None,
            confidence="none",
            calibration=None,
            confidence_note="the network estimates no confidence",
        )
        return output, predictions, None

    def count(self) -> tuple[OutputSpec, list[Predictions], Usual | None]:
        """Counts; the confidence is calibrated first."""
        windows, split = self._run.windows, self._split
        trained = sorted({int(value) for value in windows.persons[split.train]})
        logits, conf = self._outputs(windows.csi[split.calibration])
        masked = _untrained_off(logits, trained)
        known = windows.persons[split.calibration]
        classes = np.where(np.isin(known, trained), np.searchsorted(trained, known), -1)
        calibration = calibrate_count(masked[:, trained], conf, classes)
        usual = Usual(
            "the calibration part's accuracy, for every window", float((masked.argmax(axis=1) == known).mean())
        )
        labels = tuple(str(count) for count in range(CLASS_COUNT))

        def answer(csi: NDArray[np.float32]) -> Answer:
            logits, conf = self._outputs(csi)
            confidence = 1 / (1 + np.exp(-(conf[:, 0].astype(np.float64) * calibration.slope + calibration.offset)))
            return Answer(
                _untrained_off(logits, trained).argmax(axis=1), labels, confidence if calibration.informative else None
            )

        fitted = {
            "temperature": np.asarray([calibration.temperature], dtype=np.float32),
            "slope": np.asarray([calibration.slope], dtype=np.float32),
            "offset": np.asarray([calibration.offset], dtype=np.float32),
        }
        if calibration.informative:
            safetensors.numpy.save_file(fitted, self._run.out / rundir.CALIBRATION)
        output = OutputSpec(
            tensors=[
                TensorSpec(name="count_logits", shape=[CLASS_COUNT]),
                TensorSpec(name="conf_logits", shape=[1]),
            ],
            labels=list(labels),
            trained_classes=trained,
            confidence="platt" if calibration.informative else "none",
            calibration=rundir.CALIBRATION if calibration.informative else None,
            confidence_note=(
                "probability that the count is exactly right, fitted on time that neither trained nor tests"
                if calibration.informative
                else "the confidence head told nothing about right and wrong on the calibration part"
            ),
        )
        return output, self._predictions(answer), usual


def _untrained_off(logits: NDArray[np.float32], trained: list[int]) -> NDArray[np.float32]:
    masked = np.full_like(logits, -np.inf)
    masked[:, trained] = logits[:, trained]
    return masked
