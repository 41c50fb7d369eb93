"""How long the published training runs take here, and what share of this machine's arithmetic they use.

    python bench/training.py [--device auto|cpu|cuda] [--json] [--quick] [--rounds N]

The two runs of the published cogs (`cogd.train.recipe`): 861 windows of 56 x 20 train, 216 are scored after each
epoch, 400 epochs; pose takes all windows at once, count 64 at a time. On random numbers, which cost what CSI costs.
Through the trainer's own loop after two epochs of warm-up on a loop of their own; without checkpoints and export.
`--quick` runs a tenth of the epochs and multiplies.

FLOPs: a convolution of C_in to C_out channels with K taps over T frames takes 2 C_in C_out K T operations a window, the
taps in the padding counted, and a linear layer 2 N_in N_out. Backward takes twice as much, for the gradients of the
weights and of the input; the first convolution needs none of its input. So 3 x forward - first convolution, of the
training part; activations, optimiser and the scoring are not counted, though their time is.

The peak is what this process attains, with as many threads and in float32, at products of large square matrices: the
better of `torch.mm` and of the same product as a 1 x 1 convolution, since on a CPU they are done by different libraries
(MKL and oneDNN) of which one may not use what the processor has. Measured before and after each run; the best counts.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch.nn import functional

from cogd.train.configfile import changed
from cogd.train.data.split import rows_split
from cogd.train.data.windows import DataOrigin, Windows, unknown
from cogd.train.device import capture_on, choose_device
from cogd.train.heads.count.config import RECIPE as COUNT
from cogd.train.heads.pose.config import RECIPE as POSE
from cogd.train.heads.registry import trainer_of
from cogd.train.loop import Loop

if TYPE_CHECKING:
    from cogd.train.config import Config, DeviceName

TRAIN, SCORED, FRAMES = 861, 216, 20
PUBLISHED_S = {"pose": 2.1, "count": 5.6}
"""On an RTX 5080 (the published cogs' benchmark logs)."""

CUDA_BAR_S = {"pose": 1.0, "count": 2.0}
"""For one H100."""

CONVOLUTIONS = ((56, 64), (64, 128), (128, 128))
TAPS = 3
LINEAR = {"pose": ((128, 256), (256, 34)), "count": ((128, 64), (64, 8), (128, 32), (32, 1))}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help="a tenth of the epochs, extrapolated")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="runs of each, of which the best counts")
    arguments = parser.parse_args()
    device = choose_device(cast("DeviceName", arguments.device))
    torch.use_deterministic_algorithms(mode=True)
    figures: dict[str, object] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "extrapolated": arguments.quick,
    }
    peaks = {"mm": 0.0, "conv1x1": 0.0}
    runs: dict[str, Config] = {"pose": POSE, "count": COUNT}
    seconds_of: dict[str, list[float]] = {head: [] for head in runs}
    for head, config in list(runs.items()) * arguments.rounds:
        take_peaks(peaks, device)
        seconds_of[head].append(time_run(config, device, quick=arguments.quick))
    take_peaks(peaks, device)
    figures |= {f"peak_{name}_gflops": round(value, 1) for name, value in peaks.items()}
    for head, times_s in seconds_of.items():
        seconds = min(times_s)
        done = flops_per_window(head) * TRAIN * runs[head].train.epochs
        figures |= {
            f"{head}_s": round(seconds, 2),
            f"{head}_gflop": round(done / 1e9, 1),
            f"{head}_gflops": round(done / seconds / 1e9, 1),
            f"{head}_share_of_peak": round(done / seconds / 1e9 / max(peaks.values()), 3),
            f"{head}_published_s": PUBLISHED_S[head],
        }
        if device.type == "cuda":
            figures[f"{head}_bar_s"] = CUDA_BAR_S[head]
            figures[f"{head}_met"] = seconds <= CUDA_BAR_S[head]
    print(json.dumps(figures) if arguments.json else table(figures))


def flops_per_window(head: str) -> float:
    """Operations of forward and backward of one window."""
    convolutions = [2 * inputs * outputs * TAPS * FRAMES for inputs, outputs in CONVOLUTIONS]
    forward = sum(convolutions) + sum(2 * inputs * outputs for inputs, outputs in LINEAR[head])
    return 3 * forward - convolutions[0]


def take_peaks(peaks: dict[str, float], device: torch.device) -> None:
    """Measure again, and keep the better."""
    for name, best in peaks.items():
        peaks[name] = max(best, peak_gflops(device, by_convolution=name == "conv1x1"))


def peak_gflops(device: torch.device, *, by_convolution: bool, size: int = 2048, tries: int = 8) -> float:
    """The best of some products of square float32 matrices, in 1e9 operations a second."""
    one, other = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    product = partial(torch.mm, one, other)
    if by_convolution:
        image, weight = one.reshape(1, size, 32, size // 32), other.reshape(size, size, 1, 1)
        product = partial(functional.conv2d, image, weight)
    times_s = []
    for _ in range(tries):
        started_s = time.perf_counter()
        product()
        wait_for(device)
        times_s.append(time.perf_counter() - started_s)
    return 2 * size**3 / min(times_s) / 1e9


def time_run(config: Config, device: torch.device, *, quick: bool) -> float:
    """Seconds of the whole run."""
    whole = config.train.epochs
    epochs = whole // 10 if quick else whole
    dropped = config.train.dropout_epochs * epochs // whole
    make_loop(changed(config, {"train.epochs": 2, "train.dropout_epochs": 1}), device).run()
    loop = make_loop(changed(config, {"train.epochs": epochs, "train.dropout_epochs": dropped}), device)
    wait_for(device)
    started_s = time.perf_counter()
    loop.run()
    wait_for(device)
    return (time.perf_counter() - started_s) * whole / epochs


def make_loop(config: Config, device: torch.device) -> Loop:
    """The trainer's loop on random numbers of the published shape."""
    rng, count = np.random.default_rng(0), TRAIN + SCORED
    windows = Windows(
        csi=rng.normal(size=(count, 56, FRAMES)).astype(np.float32),
        keypoints=rng.uniform(size=(count, 17, 2)).astype(np.float32),
        weight=rng.uniform(0.3, 1.0, size=count).astype(np.float32),
        persons=rng.integers(0, 2, size=count),
        start_s=np.arange(count, dtype=np.float64),
        end_s=np.arange(count) + 0.95,
        moving=unknown(count).astype(np.int8),
        session=np.zeros(count, dtype=np.int64),
        room=unknown(count),
        subject=unknown(count),
        node=np.zeros(count, dtype=np.int64),
        names={"session": ("random",), "room": (), "subject": ()},
        tones="ht56",
        rate_hz=20.0,
        min_gap_s=0.02,
        max_gap_s=0.25,
        origin=DataOrigin("random numbers", None, "CC0-1.0"),
    )
    rows = np.arange(count)
    split = rows_split("in order", rows[:TRAIN], rows[TRAIN:], rows[:0])
    torch.manual_seed(config.train.seed)
    task = trainer_of(config.model.head).learning.make_task(windows, split.train, config)
    return Loop(task, windows.csi, split, config, device=device, capture=capture_on(device))


def wait_for(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def table(figures: dict[str, object]) -> str:
    """For a terminal."""
    lines = [
        f"{figures['device']}, {figures['threads']} threads, torch {figures['torch']}",
        f"peak: {figures['peak_mm_gflops']} GFLOP/s by torch.mm, {figures['peak_conv1x1_gflops']} as a convolution",
    ]
    for head in ("pose", "count"):
        share = cast("float", figures[f"{head}_share_of_peak"])
        bar = f", bar {figures[f'{head}_bar_s']} s" if f"{head}_bar_s" in figures else ""
        lines.append(
            f"{head:6} {figures[f'{head}_s']:8} s for {figures[f'{head}_gflop']} GFLOP: {figures[f'{head}_gflops']} "
            f"GFLOP/s, {share:.0%} of the peak (published: {figures[f'{head}_published_s']} s on an RTX 5080{bar})"
        )
    if figures["extrapolated"]:
        lines.append("extrapolated from a tenth of the epochs")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
