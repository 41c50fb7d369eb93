"""Small data sets, recipes, runs and bundles for tests of the trainer."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cogd.bundle.archive import read_archive
from cogd.bundle.keys import PrivateKey
from cogd.bundle.trust import TrustStore
from cogd.bundle.verify import VerifiedBundle, verify_bundle
from cogd.csi.window import WindowSpec
from cogd.train.configfile import changed
from cogd.train.data.cut import cut_windows
from cogd.train.data.simulated import SimulatedRooms, simulated_rooms
from cogd.train.data.split import Split, rows_split
from cogd.train.data.windows import GROUPS, DataOrigin, Windows, unknown
from cogd.train.heads.registry import trainer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cogd.train.config import Config
    from cogd.train.tasks import Task

KEY = PrivateKey(bytes(range(32)))
FRAMES = 20
TINY = ("--rooms", "2", "--held-out-rooms", "1", "--minutes", "0.4", "--nodes", "1", "--stride", "10", "--epochs", "2")
"""Arguments of a run that takes seconds."""


def simulate_windows(plan: SimulatedRooms, progress: Callable[[int, int], None] | None = None) -> Windows:
    """Simulate all scenes of a plan; session `s` is one scene, in the order rooms x persons.

    Windows in which somebody begins or ceases to move are kept: their `moving` is -1.
    """
    dataset = simulated_rooms(plan)
    spec = WindowSpec("ht56", FRAMES, 0.02, 0.25)

    def scenes(recordings: int, of: int) -> None:
        if progress is not None and recordings % plan.nodes == 0:
            progress(recordings // plan.nodes, of // plan.nodes)

    windows = cut_windows(dataset, spec, plan.stride, transitions="unknown", progress=scenes)
    origin = replace(windows.origin, name=f"{windows.origin.name}, stride {plan.stride}")
    return replace(windows, rate_hz=plan.rates_hz[0], origin=origin)


def make_windows(count: int = 40, *, seed: int = 0, **columns: object) -> Windows:
    """Random windows of one session, a second apart and 0.95 s long, each with one person; with columns replaced."""
    rng = np.random.default_rng(seed)
    end_s = np.arange(count) + 0.95
    filled = {
        "csi": rng.normal(size=(count, 56, FRAMES)).astype(np.float32),
        "keypoints": rng.uniform(0.2, 0.8, size=(count, 17, 2)).astype(np.float32),
        "weight": rng.uniform(0.3, 1.0, size=count).astype(np.float32),
        "persons": np.ones(count, dtype=np.int64),
        "start_s": end_s - 0.95,
        "end_s": end_s,
        "moving": unknown(count).astype(np.int8),
        "session": np.zeros(count, dtype=np.int64),
        "room": unknown(count),
        "subject": unknown(count),
        "node": np.zeros(count, dtype=np.int64),
        "tones": "ht56",
        "rate_hz": 20.0,
        "min_gap_s": 0.02,
        "max_gap_s": 0.25,
        "origin": DataOrigin("random numbers", None, "CC0-1.0"),
    }
    filled |= columns
    names = {
        group: tuple(f"{group} {number}" for number in range(int(filled[group].max(initial=-1)) + 1))
        for group in GROUPS
    }
    return Windows(**{"names": names} | filled)


def make_split(train: int = 24, calibration: int = 8, test: int = 8) -> Split:
    """Rows one after the other."""
    rows = np.arange(train + calibration + test)
    return rows_split("in order", *np.split(rows, [train, train + calibration]))


def make_config(head: str = "pose", **changes: object) -> Config:
    """A run in which everything happens within six epochs: restarts, dropout, batches, checkpoints.

    Changes are keys of the section `train`, or dotted.
    """
    given = {
        "epochs": 6,
        "batch_size": 0 if head == "pose" else 7,
        "learning_rate": 1e-2,
        "weight_decay": 0.01,
        "restart_epochs": 2,
        "subcarrier_dropout": 0.1 if head == "pose" else 0.0,
        "dropout_epochs": 4 if head == "pose" else 0,
        "keep": "last" if head == "pose" else "best",
        "device": "cpu",
        "output.checkpoint_epochs": 1,
        **changes,
    }
    return changed(
        trainer_of(head).recipe, {key if "." in key else f"train.{key}": value for key, value in given.items()}
    )


def make_task(head: str, windows: Windows, train_rows: np.ndarray, config: Config | None = None) -> Task:
    """The head's task; its network's weights are drawn from torch's generator as it stands."""
    from cogd.train.heads.registry import trainer_of

    return trainer_of(head).learning.make_task(windows, train_rows, config or make_config(head))


@dataclass(frozen=True)
class Ran:
    """What a command gave back."""

    status: int
    out: str
    err: str


def run_cli(*arguments: object) -> Ran:
    """Run `cogd-train` in this process."""
    from cogd.train.cli import main

    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:  # argparse ends so
            status = int(ended.code or 0)
    return Ran(status, out.getvalue(), err.getvalue())


def train(verb: str, out: Path, *arguments: object) -> Path:
    """A tiny run into the folder `out`."""
    ran = run_cli(verb, "--out", out, *TINY, *arguments)
    assert ran.status == 0, ran.err
    return out


def bundle(run: Path, key_file: Path, out: Path, app_id: str = "tiny", version: str = "1.2.3") -> Ran:
    """`cogd-train bundle` of a run directory."""
    arguments = ("--model", run / "model.onnx", "--id", app_id, "--version", version, "--key", key_file, "--out", out)
    return run_cli("bundle", *arguments)


def verified(archive: Path) -> VerifiedBundle:
    """A bundle as a device that trusts `KEY` sees it."""
    trust = TrustStore([(KEY.public, Path("/etc/cogd/trust.d/publisher.pub"))])
    return verify_bundle(read_archive(archive.read_bytes()), trust)


def pair(
    window: np.ndarray, number: int = 0, *, frame_after_frame: bool = True, **changes: object
) -> dict[str, object]:
    """One line of a paired.jsonl from a window `[56, frames]`, as the recorders write it, with keys replaced."""
    subcarriers, frames = window.shape
    start_s = 1_779_210_883 + number * 1.0

    def iso(time_s: float) -> str:
        return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    return {
        "csi": np.round((window.T if frame_after_frame else window).astype(np.float64), 4).ravel().tolist(),
        "csi_shape": [frames, subcarriers] if frame_after_frame else [subcarriers, frames],
        "kp": [[round(0.3 + joint / 100 + number % 5 / 50, 5), 0.5] for joint in range(17)],
        "conf": 0.75,
        "n_camera_frames": 6,
        "n_persons_mode": 1,
        "n_persons_max": 1,
        "ts_start": iso(start_s),
        "ts_end": iso(start_s + 0.95),
        **changes,
    }


def write_pairs(path: Path, pairs: list[dict[str, object]]) -> Path:
    """Write a paired.jsonl."""
    path.write_text("".join(json.dumps(line) + "\n" for line in pairs), encoding="utf-8")
    return path


def rippled_windows(count: int, *, frames: int = FRAMES, subcarriers: int = 56, seed: int = 0) -> np.ndarray:
    """Windows `[n, subcarriers, frames]` as of a room: differing over the tones, nearly still over time."""
    rng = np.random.default_rng(seed)
    tones = 20 + 8 * np.sin(np.arange(subcarriers) / 4) + rng.normal(0, 1, subcarriers)
    return (tones[None, :, None] + rng.normal(0, 0.7, (count, subcarriers, frames))).astype(np.float32)


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Until something holds; fails where the process that is to make it so ends before."""
    while not condition():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
            raise AssertionError(f"it ended with {process.returncode}: {process.communicate()}")
