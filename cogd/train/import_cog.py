"""The published cogs' weight files as bundles, with the input that those weights expect.

Both were trained on windows whose values lay frame after frame but were read as `[56, 20]`, of the first 56 bins
as they arrived; docs/models.md has the evidence. The count model's training subtracted a mean and divided by a
standard deviation per row that were never published; they are taken from a recording instead, and the bundle says so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

import cogd
from cogd.bundle.manifest import DataSource, InputSpec, OutputSpec, Provenance
from cogd.bundle.manifest import Tensor as TensorSpec
from cogd.csi.link import LinkLimits
from cogd.csi.model_input import ModelInput, fit_normaliser
from cogd.csi.node import Node
from cogd.csi.window import WindowSpec
from cogd.errors import TrainError
from cogd.sim.bodies import JOINTS
from cogd.train import rundir
from cogd.train.data.recorded import recorded_frames
from cogd.train.edge import export_for_edge
from cogd.train.nets import CLASS_COUNT
from cogd.train.nets.published import CountNet, PoseNet

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from cogd.csi.model_input import InputLayout
    from cogd.train.edge import EdgeModel

FRAMES = 20
LAYOUT: InputLayout = "time_major_mislabelled_56x20"
_SPEC = WindowSpec("first56", FRAMES, 0.0, 0.5)


@dataclass(frozen=True)
class Cog:
    """A published cog and what is known of it."""

    app_id: str
    version: str
    title: str
    head: str
    limits: tuple[str, ...]


POSE_COG = Cog(
    "pose-estimation", "0.0.1", "Published pose cog", "pose",
    (
        "Its publisher states PCK@20 3.0 % and PCK@50 18.5 % with an unstated normaliser; a constant pose does better.",
        "Its output hardly depends on its input. It assumes exactly one person.",
        "It has no confidence; the constant 0.185 that its own runtime emits is not one.",
        "Trained on mislabelled windows of one person in one room; whether they were normalised is not known.",
    ),
)  # fmt: skip
COUNT_COG = Cog(
    "person-count", "0.0.2", "Published person-count cog", "count",
    (
        "Only the classes 0 and 1 were trained: it can tell presence at best, and never two persons.",
        "Its publisher states accuracy 62.3 % on windows drawn at random from the recording that trained it.",
        ("Its confidence is not calibrated: its temperature was fitted on its evaluation set (rank correlation with "
        "being right 0.013). It is not emitted."),
        ("The statistics that normalised its training were never published; those in this bundle are of another "
        "recording, so its figures do not carry over."),
    ),
)  # fmt: skip


def import_cog(weights_file: Path, recording: Path | None, out: Path) -> tuple[Cog, EdgeModel]:
    """Write a run directory for a published weight file.

    Args:
        weights_file: `pose_v1.safetensors` or `count_v1.safetensors`.
        recording: CSI recording that the count model's normaliser is taken from, and the golden windows of both.
        out: the run directory to write.

    Returns:
        The cog that it is, and its model.

    Raises:
        TrainError: the weights are neither cog's, or the count model comes without a recording.
    """
    weights = rundir.read_weights(weights_file)
    cog, net = _recognise(weights_file, weights)
    if cog is COUNT_COG and recording is None:
        raise TrainError(
            f"{weights_file.name} needs a normaliser, and its training statistics were never published",
            hint="give --recording FILE, a CSI recording of the room where it is to run",
        )
    net.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in weights.items()})
    windows = _synthetic_windows() if recording is None else _recorded_windows(recording)
    model_input = ModelInput(LAYOUT, "none")
    out.mkdir(parents=True, exist_ok=True)
    if cog is COUNT_COG:
        mean, std = fit_normaliser(model_input.lay_out(windows))
        model_input = ModelInput(LAYOUT, "none", mean, std)
        rundir.write_tensors(out / rundir.NORMALISER, {"mean": mean, "std": std})
    edge, _ = export_for_edge(net, weights, model_input, FRAMES)
    (out / rundir.MODEL).write_bytes(edge.model)
    rundir.write_tensors(out / rundir.WEIGHTS, weights)
    normaliser = None if model_input.mean is None or edge.normaliser_inside else rundir.NORMALISER
    rundir.write_golden(out, windows[:: max(1, len(windows) // 4)][:4], model_input, weights)
    rundir.write_description(out, _description(cog, weights_file, recording, normaliser))
    return cog, edge


def _recognise(path: Path, weights: dict[str, NDArray[np.float32]]) -> tuple[Cog, PoseNet | CountNet]:
    shapes = {name: tensor.shape for name, tensor in weights.items()}
    candidates: tuple[tuple[Cog, PoseNet | CountNet], ...] = ((POSE_COG, PoseNet()), (COUNT_COG, CountNet()))
    for cog, net in candidates:
        if shapes == {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}:
            return cog, net
    raise TrainError(
        f"{path} holds the weights of neither published cog (its first tensor is {next(iter(shapes), 'none')})",
        hint="give pose_v1.safetensors or count_v1.safetensors",
    )


def _recorded_windows(recording: Path) -> NDArray[np.float32]:
    """Every complete window of every node, `[n, 56, 20]`."""
    nodes: dict[str, Node] = {}
    windows = []
    for frame in recorded_frames(recording):
        node = nodes.setdefault(frame.node, Node(frame.node, [_SPEC], LinkLimits(), believe_simulated=False))
        if node.take(frame).complete:
            windows.append(node.windows[_SPEC].view().copy())
    if not windows:
        raise TrainError(f"{recording} holds no {FRAMES} frames in a row of one node and kind")
    return np.stack(windows)


def _synthetic_windows() -> NDArray[np.float32]:
    """Windows for a golden pair alone: amplitudes of small integers, from a fixed seed."""
    pairs = np.random.default_rng(0).integers(-20, 21, size=(4, 56, FRAMES, 2))
    return np.hypot(pairs[..., 0], pairs[..., 1]).astype(np.float32)


def _description(cog: Cog, weights_file: Path, recording: Path | None, normaliser: str | None) -> rundir.Description:
    data = [_source(f"published weights {weights_file.name}", weights_file, "MIT")]
    if recording is not None:
        use = "normaliser and golden windows" if cog is COUNT_COG else "golden windows"
        data.append(_source(f"recording {recording.name} ({use})", recording, "as its owner says"))
    tensors = [TensorSpec(name="keypoints", shape=[34])]
    if cog is COUNT_COG:
        tensors = [TensorSpec(name="count_logits", shape=[CLASS_COUNT]), TensorSpec(name="conf_logits", shape=[1])]
    return rundir.Description(
        title=cog.title,
        head=cog.head,
        input=InputSpec(
            layout=LAYOUT,
            tones=_SPEC.tones,
            subcarriers=56,
            frames=FRAMES,
            rate_hz=20.0,
            min_gap_s=_SPEC.min_gap_s,
            max_gap_s=_SPEC.max_gap_s,
            gain="none",
            normaliser=normaliser,
        ),
        output=OutputSpec(
            tensors=tensors,
            labels=list(JOINTS) if cog is POSE_COG else [str(count) for count in range(CLASS_COUNT)],
            trained_classes=None if cog is POSE_COG else [0, 1],
            confidence="none",
            calibration=None,
            confidence_note="the model has none" if cog is POSE_COG else "the model's own is not calibrated",
        ),
        golden_tolerance=rundir.GOLDEN_TOLERANCE,
        provenance=Provenance(
            trainer=f"trained elsewhere; imported by cogd-train {cogd.__version__}",
            data=data,
            metrics=[],
            limits=list(cog.limits),
        ),
    )


def _source(name: str, path: Path, licence: str) -> DataSource:
    return DataSource(name=name, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), licence=licence)
