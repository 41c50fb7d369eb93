"""The published cogs' weight files as bundles, with the input that those weights expect.

Both were trained on windows whose values lay frame after frame but were read as `[56, 20]`, of the first 56 bins
as they arrived; docs/models.md has the evidence. The count model's training subtracted a mean and divided by a
standard deviation per row that were never published; they are taken from a recording instead, and the bundle says so.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import torch

import cogd
from cogd.bundle.manifest import DataSource, InputSpec, Provenance
from cogd.csi.input_rules import SUBCARRIERS
from cogd.csi.link import LinkLimits
from cogd.csi.model_input import ModelInput, fit_normaliser
from cogd.csi.node import Node
from cogd.csi.window import WindowSpec
from cogd.errors import TrainError
from cogd.train import rundir
from cogd.train.data.recorded import recorded_frames
from cogd.train.edge import export_for_edge
from cogd.train.heads.registry import forward, trainer_names, trainer_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from cogd.csi.model_input import InputLayout
    from cogd.train.edge import EdgeModel
    from cogd.train.nets.base import Net
    from cogd.train.published_cog import Cog

FRAMES = 20
LAYOUT: InputLayout = "time_major_mislabelled_56x20"
_SPEC = WindowSpec("first56", FRAMES, 0.0, 0.5)


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
    if cog.needs_normaliser and recording is None:
        raise TrainError(
            f"{weights_file.name} needs a normaliser, and its training statistics were never published",
            hint="give --recording FILE, a CSI recording of the room where it is to run",
        )
    net.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in weights.items()})
    windows = _synthetic_windows() if recording is None else _recorded_windows(recording)
    model_input = ModelInput(LAYOUT, "none")
    out.mkdir(parents=True, exist_ok=True)
    if cog.needs_normaliser:
        mean, std = fit_normaliser(model_input.lay_out(windows))
        model_input = ModelInput(LAYOUT, "none", mean, std)
        rundir.write_tensors(out / rundir.NORMALISER, {"mean": mean, "std": std})
    edge, _ = export_for_edge(net, weights, model_input, FRAMES)
    (out / rundir.MODEL).write_bytes(edge.model)
    rundir.write_tensors(out / rundir.WEIGHTS, weights)
    normaliser = None if model_input.mean is None or edge.normaliser_inside else rundir.NORMALISER
    golden = windows[:: max(1, len(windows) // 4)][:4]
    rundir.write_golden(out, golden, forward(weights, model_input.prepare(golden)))
    rundir.write_description(out, _description(cog, weights_file, recording, normaliser))
    return cog, edge


def _recognise(path: Path, weights: dict[str, NDArray[np.float32]]) -> tuple[Cog, Net]:
    shapes = {name: tensor.shape for name, tensor in weights.items()}
    for head in map(trainer_of, trainer_names()):
        cog = head.cog
        if cog is None or (net_class := head.net(cog.net)) is None:
            continue
        net = net_class()
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
        use = "normaliser and golden windows" if cog.needs_normaliser else "golden windows"
        data.append(_source(f"recording {recording.name} ({use})", recording, "as its owner says"))
    return rundir.Description(
        title=cog.title,
        head=cog.head,
        input=InputSpec(
            layout=LAYOUT,
            tones=_SPEC.tones,
            subcarriers=SUBCARRIERS,
            frames=FRAMES,
            rate_hz=20.0,
            min_gap_s=_SPEC.min_gap_s,
            max_gap_s=_SPEC.max_gap_s,
            gain="none",
            normaliser=normaliser,
        ),
        output=cog.output,
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
