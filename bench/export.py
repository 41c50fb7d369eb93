"""What rewriting an exported graph gains: plain and edge model of the same weights, in turn, in this one process.

    python bench/export.py [--json] [--rounds N]

Both run as the daemon runs them: the backend `ort`, one thread, bound buffers, the copies in and out included;
`count_v2` is held against `count_v1` as both are shipped, in the same way.
`prepare` adds what is done to a window in NumPy before, which with the plain model is more: the edge model has the
normaliser inside. Beside them, on the plain model with its batch fixed to 1, with one thread and in float32 too, tract
and OpenVINO where the extra `bench` is installed. Every round runs each of them a number of times, the order turning;
the figures are percentiles over all rounds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch

from cogd.backends.base import ModelShape
from cogd.csi.model_input import ModelInput
from cogd.train.edge import rewrite
from cogd.train.export import difference, export_onnx, runner
from cogd.train.heads.count import CountTrainer
from cogd.train.heads.count.net import CountNet
from cogd.train.heads.named import load_named
from cogd.train.heads.pose.net import PoseNet
from cogd_ort import OrtBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from cogd.backends.base import Session

    Run = Callable[[], object]

BAR = 0.80
"""Of the plain pose model's median at batch 1."""

COUNT_BAR = 1.3
"""Of the median of `count_v1`, for `count_v2`."""

FRAMES = 20
CELLS = 100
BATCHES = {1: 200, 64: 20}
"""Sizes of a batch, and runs of each model a round."""

OUTPUTS = {"pose": {"keypoints": (34,)}, "count": {"count_logits": (8,), "conf_logits": (1,)}}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="(%(default)s)")
    arguments = parser.parse_args()
    figures: dict[str, float | bool | None] = {"bar": BAR}
    torch.manual_seed(0)
    for head, net in (("pose", PoseNet()), ("count", CountNet())):
        figures |= measure_head(head, net, arguments.rounds)
    figures |= measure_count_v2(arguments.rounds)
    figures["ratio"] = figures["pose_ratio"]
    figures["met"] = figures["ratio"] <= BAR
    print(json.dumps(figures) if arguments.json else table(figures))


def measure_head(head: str, net: PoseNet | CountNet, rounds: int) -> dict[str, float | bool | None]:
    """Every figure of one network."""
    rng = np.random.default_rng(0)
    mean, std = rng.uniform(0.9, 1.1, 56).astype(np.float32), rng.uniform(0.1, 0.2, 56).astype(np.float32)
    outside, inside = (
        ModelInput("subcarrier_major", "window_rms", mean, std),
        ModelInput("subcarrier_major", "window_rms"),
    )
    plain = export_onnx(net, net.output_names, FRAMES)
    edge = rewrite(plain, outside, FRAMES)
    if not edge.normaliser_inside:
        raise SystemExit(f"{head}: {edge.graph}")
    plain_run = runner(plain)
    figures: dict[str, float | bool | None] = {
        f"{head}_parity": difference(runner(edge.model), lambda csi: plain_run(outside.normalise(csi)), FRAMES, outside)
    }
    shape = ModelShape((56, FRAMES), OUTPUTS[head], max(BATCHES))
    sessions = {"plain": OrtBackend().load(plain, shape), "edge": OrtBackend().load(edge.model, shape)}
    inputs = {"plain": outside, "edge": inside}
    for batch, runs in BATCHES.items():
        windows = np.abs(rng.normal(20, 5, size=(batch, 56, FRAMES))).astype(np.float32)
        candidates: dict[str, Run] = {}
        for name, session in sessions.items():
            candidates[name] = partial(session.run, inputs[name].prepare(windows))
            candidates[f"{name}_prepare"] = partial(prepare_and_run, session, inputs[name], windows)
        if head == "pose" and batch == 1:
            candidates |= others(plain, outside.prepare(windows))
        suffix = "" if batch == 1 else f"_batch{batch}"
        measured = in_turn(candidates, rounds, runs)
        for name, latencies in measured.items():
            key = name if name in OTHERS else f"{head}_{name}"
            for percentile in (50, 99):
                figures[f"{key}_p{percentile}_us{suffix}"] = round(float(np.percentile(latencies, percentile)), 1)
        for kind in ("", "_prepare"):
            new, old = (float(np.median(measured[name + kind])) for name in ("edge", "plain"))
            figures[f"{head}{kind}_ratio{suffix}"] = round(new / old, 3)
    if head == "pose":
        figures |= {f"{name}_p50_us": None for name in OTHERS if f"{name}_p50_us" not in figures}
    return figures


def measure_count_v2(rounds: int) -> dict[str, float | bool | None]:
    """The count network on 100 cells beside the published one on 20 frames, both rewritten."""
    rng = np.random.default_rng(0)
    ones = np.ones(56, np.float32)
    sessions: dict[str, Session] = {}
    shapes = {"count_v1": FRAMES, "count_v2": CELLS}
    for name, frames in shapes.items():
        net = load_named(CountTrainer.nets[name])()
        model_input = ModelInput("subcarrier_major", "none", *((ones, ones) if net.wants_normaliser else ()))
        edge = rewrite(export_onnx(net, net.output_names, frames), model_input, frames)
        sessions[name] = OrtBackend().load(edge.model, ModelShape((56, frames), OUTPUTS["count"], max(BATCHES)))
    figures: dict[str, float | bool | None] = {"count_v2_bar": COUNT_BAR}
    for batch, runs in BATCHES.items():
        candidates: dict[str, Run] = {
            name: partial(session.run, rng.normal(1, 0.1, (batch, 56, shapes[name])).astype(np.float32))
            for name, session in sessions.items()
        }
        medians = {name: float(np.median(took)) for name, took in in_turn(candidates, rounds, runs).items()}
        suffix = "" if batch == 1 else f"_batch{batch}"
        figures[f"count_v2_run_p50_us{suffix}"] = round(medians["count_v2"], 1)
        figures[f"count_v2_of_v1{suffix}"] = round(medians["count_v2"] / medians["count_v1"], 3)
    return figures


def prepare_and_run(session: Session, model_input: ModelInput, windows: NDArray[np.float32]) -> object:
    """What the daemon does with a batch of windows."""
    return session.run(model_input.prepare(windows))


def in_turn(candidates: Mapping[str, Run], rounds: int, runs: int) -> dict[str, NDArray[np.float64]]:
    """Durations in microseconds; the first round is not counted."""
    names = list(candidates)
    durations: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            run = candidates[name]
            for _ in range(runs):
                started_ns = time.perf_counter_ns()
                run()
                took_us = (time.perf_counter_ns() - started_ns) / 1e3
                if number:
                    durations[name].append(took_us)
    return {name: np.asarray(values) for name, values in durations.items()}


def others(model: bytes, csi: NDArray[np.float32]) -> dict[str, Run]:
    """The other runtimes that are installed, each on one input."""
    proto = onnx.load_model_from_string(model)
    for item in (*proto.graph.input, *proto.graph.output):
        item.type.tensor_type.shape.dim[0].dim_value = 1
    del proto.graph.value_info[:]  # they speak of any batch
    fixed = proto.SerializeToString()
    return {name: make(fixed, csi) for name, make in OTHERS.items() if importlib.util.find_spec(name) is not None}


def tract_run(model: bytes, csi: NDArray[np.float32]) -> Run:
    """The pure Rust runtime of Sonos, on its own tensors."""
    import tract

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model)
        inferred = tract.onnx().load(path)
    inferred.set_input_fact(0, f"1,56,{FRAMES},f32")
    runnable = inferred.into_model().into_runnable()
    tensor = tract.Tensor.from_numpy(csi)
    return lambda: runnable.run([tensor])


def openvino_run(model: bytes, csi: NDArray[np.float32]) -> Run:
    """Intel's runtime, on shared buffers. By itself it would compute in bfloat16 where the processor can."""
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(core.read_model(model=model), "CPU", settings).create_infer_request()
    request.set_input_tensor(openvino.Tensor(csi, shared_memory=True))
    return lambda: request.infer(share_inputs=True, share_outputs=True)


OTHERS = {"tract": tract_run, "openvino": openvino_run}


def table(figures: Mapping[str, float | bool | None]) -> str:
    """For a terminal."""
    lines = [f"{'microseconds':24} {'plain p50':>10} {'p99':>8} {'edge p50':>10} {'p99':>8} {'ratio':>7}"]
    for head in OUTPUTS:
        for kind, done in (("", "run"), ("_prepare", "prepare + run")):
            for batch in BATCHES:
                suffix = "" if batch == 1 else f"_batch{batch}"
                old, new = (
                    [figures[f"{head}_{name}{kind}_p{percentile}_us{suffix}"] for percentile in (50, 99)]
                    for name in ("plain", "edge")
                )
                label = f"{head} {done}, {batch}"
                ratio = figures[f"{head}{kind}_ratio{suffix}"]
                lines.append(f"{label:24} {old[0]:10} {old[1]:8} {new[0]:10} {new[1]:8} {ratio:7}")
        lines.append(f"{'':24} largest difference {figures[f'{head}_parity']:.1e}")
    for batch in BATCHES:
        suffix = "" if batch == 1 else f"_batch{batch}"
        took, ratio = figures[f"count_v2_run_p50_us{suffix}"], figures[f"count_v2_of_v1{suffix}"]
        lines.append(f"{f'count_v2 run, {batch}':24} {took:>30} {ratio:>16} of count_v1, bar {COUNT_BAR}")
    for name in OTHERS:
        median = figures[f"{name}_p50_us"]
        said = (
            "not installed (pip install 'cogd[bench]')"
            if median is None
            else f"{median:10} {figures[f'{name}_p99_us']:8}"
        )
        lines.append(f"{name + ', pose run, 1':24} {said}")
    lines.append(f"pose: {figures['ratio']} of the plain export, bar {BAR}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
