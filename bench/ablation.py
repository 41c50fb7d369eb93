"""Which networks were tried for count and pose, and how each did in simulated rooms that it never saw.

    python bench/ablation.py [--what count|pose] [--rooms N] [--steps N] [--device cpu|cuda] [--render]

Every variant learns from the same scenes for as many steps, with the same seed, and is measured on the same windows of
held-out rooms; intervals are bootstrapped over those rooms. A line for each is appended to bench/ablations.jsonl, never
overwritten, and bench/ABLATIONS.md is written anew from all of them; `--render` does only that. The windows are 100
cells of 50 ms; a variant that wants fewer takes the newest. Counts are decoded by the median of the distribution, and
fused by `cogd.heads.count.fusion` with equal weights.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ablation_nets import Published, Spectrum, Strided, Variant
from torch.nn import functional

from cogd.train.configfile import read_config
from cogd.train.load import load_windows
from cogd.train.metrics.bootstrap import Groups, interval, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from cogd.train.data.windows import Windows
    from cogd.train.metrics.bootstrap import OfSums

LOG = Path(__file__).with_name("ablations.jsonl")
TABLES = Path(__file__).with_name("ABLATIONS.md")
COLUMNS, CELL_S = 100, 0.05
BATCH, RATE, DECAY = 1024, 2e-3, 1e-2
INTRODUCTION = (
    "Written by `python bench/ablation.py` from bench/ablations.jsonl. In brackets the 95 % interval of a bootstrap "
    "over the held-out rooms: variants are measured on the same windows, so differences are surer than these."
)

COUNT: Mapping[str, Callable[[], Variant]] = {
    "published network, 1 s": lambda: Variant(20, "static", Published(), None, (8,), 64),
    "the same, attention over time": lambda: Variant(20, "static", Published(pooling="attention"), None, (8,), 64),
    "the same, motion only": lambda: Variant(20, "dynamic", Published(), None, (8,), 64),
    "strided, motion only, 2.5 s": lambda: Variant(50, "dynamic", Strided(), None, (8,), 64),
    "strided, motion only, 5 s": lambda: Variant(100, "dynamic", Strided(), None, (8,), 64),
    "the same, attention over time, 5 s": lambda: Variant(100, "dynamic", Strided(pooling="attention"), None, (8,), 64),
    "the same, mean and deviation": lambda: Variant(100, "dynamic", Strided(pooling="deviation"), None, (8,), 64),
    "strided, still picture only, 5 s": lambda: Variant(100, "static", Strided(), None, (8,), 64),
    "strided, both, 5 s": lambda: Variant(100, "both", Strided(112), None, (8,), 64),
    "spectrum alone, 5 s": lambda: Variant(100, "static", None, Spectrum(100), (8,), 128),
    "strided, motion only, and spectrum": lambda: Variant(100, "dynamic", Strided(), Spectrum(100), (8,), 96),
}
POSE: Mapping[str, Callable[[], Variant]] = {
    "published network, 1 s": lambda: Variant(20, "static", Published(), None, (34,), 256),
    "the same, scale of the error": lambda: Variant(20, "static", Published(), None, (34, 17), 192),
    "the same, motion only": lambda: Variant(20, "dynamic", Published(), None, (34, 17), 192),
    "the same, both": lambda: Variant(20, "both", Published(112), None, (34, 17), 128),
    "strided, both, 2.5 s": lambda: Variant(50, "both", Strided(112), None, (34, 17), 160),
    "strided, still picture only, 2.5 s": lambda: Variant(50, "static", Strided(), None, (34, 17), 160),
    "strided, motion only, 5 s": lambda: Variant(100, "dynamic", Strided(), None, (34, 17), 160),
}
VARIANTS = {"count": COUNT, "pose": POSE}
DOMAINS = {"count": "homes", "pose": "kit"}
"""For pose a kit that is put up alike everywhere: where devices stand anywhere, nobody can know where a person is."""


def main() -> None:
    """Train, measure, log, render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", choices=("count", "pose"), help="one of them only")
    parser.add_argument(
        "--rooms", type=int, default=400, help="to train in (%(default)s); an eighth as many to test in"
    )
    parser.add_argument("--steps", type=int, default=2500, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of rooms and weights (%(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--log", type=Path, default=LOG, help="(%(default)s)")
    parser.add_argument("--render", action="store_true", help="only write the tables anew")
    arguments = parser.parse_args()
    if not arguments.render:
        for what in [arguments.what] if arguments.what else list(VARIANTS):
            _try_all(what, arguments)
    TABLES.write_text(render(arguments.log.read_text(encoding="utf-8").splitlines()), encoding="utf-8")


@dataclass(frozen=True, eq=False)
class Data:
    """Windows on the device, with their labels."""

    windows: Windows
    csi: Tensor
    persons: Tensor
    keypoints: Tensor

    @classmethod
    def on(cls, windows: Windows, device: str) -> Data:
        """Move them there."""
        return cls(
            windows,
            torch.from_numpy(windows.csi).to(device),
            torch.from_numpy(windows.persons).to(device),
            torch.from_numpy(windows.keypoints).to(device),
        )


def _try_all(what: str, arguments: argparse.Namespace) -> None:
    config = read_config(
        what,
        None,
        {
            "data.rooms": arguments.rooms,
            "data.held_out_rooms": max(5, arguments.rooms // 8),
            "data.minutes": 0.34 if what == "count" else 1.0,
            "data.persons": list(range(8)) if what == "count" else [1],
            "data.frames": COLUMNS,
            "data.cell_s": CELL_S,
            "data.domain": DOMAINS[what],
            "data.stride": 10,
            "train.seed": arguments.seed,
        },
    )
    loaded = load_windows(config, lambda *_: None)
    if loaded.held_out is None:
        raise SystemExit("there are no rooms to test in")
    train = Data.on(_usable(what, loaded.windows), arguments.device)
    test = Data.on(_usable(what, loaded.held_out), arguments.device)
    for name, make in VARIANTS[what].items():
        started_s = time.perf_counter()
        torch.manual_seed(arguments.seed)
        net = make().to(arguments.device)
        loss = _learn(what, net, train, arguments.steps)
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "what": what,
            "variant": name,
            "parameters": sum(parameter.numel() for parameter in net.parameters()),
            "train": f"{train.windows.origin.name}: {len(train.csi)} windows",
            "test": f"{test.windows.origin.name}: {len(test.csi)} windows",
            "steps": arguments.steps,
            "seed": arguments.seed,
            "device": torch.cuda.get_device_name() if arguments.device == "cuda" else platform.machine(),
            "torch": torch.__version__,
            "seconds": round(time.perf_counter() - started_s, 1),
            "last_loss": round(loss, 4),
            "figures": FIGURES[what](net, train, test),
        }
        line = json.dumps(entry) + "\n"
        with arguments.log.open("a", encoding="utf-8") as log:
            log.write(line)
            os.fsync(log.fileno())
        print(line, end="", flush=True)


def _usable(what: str, windows: Windows) -> Windows:
    if what == "count":
        return windows
    return windows.take(np.flatnonzero(np.isfinite(windows.keypoints).all(axis=(1, 2))))


def _learn(what: str, net: Variant, data: Data, steps: int) -> float:
    net.fit(data.csi[torch.randint(len(data.csi), (20_000,), device=data.csi.device)])
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(data.csi), (BATCH,), device=data.csi.device)
        outputs = net(data.csi[rows])
        if what == "count":
            loss = functional.cross_entropy(outputs[0], data.persons[rows])
        else:
            loss = _pose_loss(outputs, data.keypoints[rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    net.eval()
    return float(loss.detach())


def _pose_loss(outputs: list[Tensor], truth: Tensor) -> Tensor:
    """SmoothL1, or the likelihood of distances whose density falls exponentially in the plane."""
    keypoints = torch.sigmoid(outputs[0]).unflatten(1, (17, 2))
    if len(outputs) == 1:
        return functional.smooth_l1_loss(keypoints, truth, beta=0.1)
    log_scale = outputs[1].clamp(-6, 2)
    return ((keypoints - truth).norm(dim=2) / log_scale.exp() + 2 * log_scale).mean()


def _outputs(net: Variant, data: Data) -> list[NDArray[np.float64]]:
    with torch.no_grad():
        parts = [net(part) for part in torch.split(data.csi, 4096)]
    return [torch.cat(list(part)).double().cpu().numpy() for part in zip(*parts, strict=True)]


def _count_figures(net: Variant, train: Data, test: Data) -> dict[str, list[float]]:
    del train
    windows = test.windows
    probabilities = torch.from_numpy(_outputs(net, test)[0]).softmax(dim=1).numpy()
    moment = np.stack([windows.session, np.rint(windows.end_s / CELL_S).astype(np.int64)], axis=1)
    _, first, of = np.unique(moment, axis=0, return_index=True, return_inverse=True)
    logs = np.zeros((len(first), 8))
    np.add.at(logs, of, np.log(np.maximum(probabilities, 1e-6)))
    fused = np.exp(logs / np.bincount(of)[:, None])
    rooms, fused_rooms = Groups(windows.room, "rooms"), Groups(windows.room[first], "rooms")
    off = np.abs(_median(probabilities) - windows.persons)
    fused_off = np.abs(_median(fused / fused.sum(axis=1, keepdims=True)) - windows.persons[first])
    return {
        "accuracy": _with_interval(ratio(off == 0), rooms),
        "within 1": _with_interval(ratio(off <= 1), rooms),
        "MAE": _with_interval(ratio(off), rooms),
        "fused within 1": _with_interval(ratio(fused_off <= 1), fused_rooms),
        "fused MAE": _with_interval(ratio(fused_off), fused_rooms),
    }


def _median(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.asarray((np.cumsum(probabilities, axis=1) < 0.5).sum(axis=1))


def _pose_figures(net: Variant, train: Data, test: Data) -> dict[str, list[float]]:
    truth, rooms = test.windows.keypoints.astype(np.float64), Groups(test.windows.room, "rooms")
    predicted = 1 / (1 + np.exp(-_outputs(net, test)[0].reshape(-1, 17, 2)))
    torso = np.linalg.norm(truth[:, 6] - truth[:, 11], axis=1)
    figures: dict[str, list[float]] = {}
    mean_pose = np.broadcast_to(train.windows.keypoints.mean(axis=0, dtype=np.float64), truth.shape)
    for name, said in (("", predicted), ("mean pose: ", mean_pose)):
        error = np.linalg.norm(said - truth, axis=2)
        for share in (0.2, 0.5):
            hits = (error <= share * torso[:, None]).mean(axis=1)
            figures[f"{name}PCK@{share * 100:.0f}"] = _with_interval(ratio(hits), rooms)
        figures[f"{name}MPJPE"] = _with_interval(ratio(error.mean(axis=1)), rooms)
    return figures


FIGURES = {"count": _count_figures, "pose": _pose_figures}


def _with_interval(statistic: OfSums, groups: Groups) -> list[float]:
    found = interval(statistic, groups)
    values = [statistic.value()] + ([found.low, found.high] if found else [])
    return [round(value, 4) for value in values]


def render(lines: list[str]) -> str:
    """The tables: for each data set and each number of steps one, in the order of the log."""
    tables: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for entry in map(json.loads, lines):
        key = (entry["what"], entry["train"], entry["test"], f"{entry['steps']} steps, seed {entry['seed']}")
        tables.setdefault(key, []).append(entry)
    text = [
        "# What was tried",
        "",
        INTRODUCTION,
    ]
    for (what, train, test, steps), entries in tables.items():
        names = list(entries[0]["figures"])
        text += [
            "",
            f"## {what}: {steps}, {entries[0]['device']}",
            "",
            f"Trained on {train}.",
            "",
            f"Tested on {test}.",
            "",
        ]
        text += ["| variant | parameters | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
        for entry in entries:
            cells = [_cell(entry["figures"][name]) for name in names]
            text.append(f"| {entry['variant']} | {entry['parameters']:,} | " + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"


def _cell(figure: list[float]) -> str:
    value, *ends = figure
    return f"{value:.3f}" + (f" ({ends[0]:.3f} to {ends[1]:.3f})" if ends else "")


if __name__ == "__main__":
    main()
