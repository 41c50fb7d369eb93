"""The proof of training: what is trained here is, to the bit, what was trained when the expectation was made.

Fixed numbers, which need no simulator and no file, are trained on by the trainer's own loop with everything on that it
has: recipes of all heads' kinds, schedule, averaging, augmentation. Then the loss must have fallen, and the digest of
all weights must be the one that is committed for this platform. Sums of floats depend on the processor, the number of
threads and torch's version; on a platform without an expectation nothing is proven, and that is said.
"""

from __future__ import annotations

import hashlib
import platform
import struct
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import torch

from cogd.errors import ProofError, UnknownPlatformError
from cogd.train.configfile import changed
from cogd.train.data.split import rows_split
from cogd.train.data.windows import DataOrigin, Windows
from cogd.train.heads.registry import trainer_names, trainer_of
from cogd.train.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from cogd.train.config import Config

LEAST_FALL: Final = 0.5
"""By this share the loss of every run must fall."""

EXPECTED: Final = "expected_proof.json"
_WINDOWS, _FRAMES, _TRAIN, _CALIBRATION = 240, 20, 200, 40

_QUICK = {"train.epochs": 12, "train.device": "cpu", "train.restart_epochs": 12, "train.learning_rate": 2e-3}
_EVERYTHING = {
    "train.schedule": "steps", "train.milestones": [9], "train.warmup_epochs": 2, "train.clip_norm": 1.0,
    "train.ema_decay": 0.9, "train.batch_size": 32, "train.noise_std": 0.05, "train.gain_range": 0.1,
    "train.mask_frames": 3, "train.roll_frames": 1,
}  # fmt: skip


def reproducibility_runs() -> dict[str, Config]:
    """Return the recipes of each head, cut short, and ones with all that the trainer can do."""
    runs: dict[str, Config] = {}
    for name in trainer_names():
        head = trainer_of(name)
        for added, changes in head.reproducibility_runs.items():
            options = _QUICK | (_EVERYTHING if added else {})
            runs[name + added] = changed(head.recipe, {**options, **changes})
    return runs


class Platform(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the bits of a training depend on.

    Attributes:
        torch: its version, with the build.
        machine: the instruction set.
        processor: vendor, family and model, which oneDNN and MKL choose their kernels by.
        capability: what torch's own kernels use of it.
        threads: how many share the sums.
    """

    torch: str
    machine: str
    processor: str
    capability: str
    threads: int


class Expectation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The digest of each run's weights on a platform, and of the data that it was trained on."""

    platform: Platform
    data: str
    weights: dict[str, str]


class Fall(msgspec.Struct, frozen=True, kw_only=True):
    """The loss of the first epoch and of the last."""

    first: float
    last: float

    @property
    def share(self) -> float:
        """By what share of the first it fell."""
        return (self.first - self.last) / abs(self.first)


def this_platform() -> Platform:
    """The platform that this process runs on."""
    return Platform(
        torch=str(torch.__version__),
        machine=platform.machine(),
        processor=_processor(),
        capability=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
    )


def prove() -> tuple[Expectation, dict[str, Fall]]:
    """Train everything; returns what came out here, and how the losses fell.

    Raises:
        ProofError: a loss did not fall by `LEAST_FALL`.
    """
    windows = proof_windows()
    weights: dict[str, str] = {}
    falls: dict[str, Fall] = {}
    for name, config in reproducibility_runs().items():
        losses: list[float] = []
        loop_weights = _train(windows, config, losses)
        weights[name] = digest_of(loop_weights)
        falls[name] = Fall(first=losses[0], last=losses[-1])
        if falls[name].share < LEAST_FALL:
            raise ProofError(
                f"{name}: the loss went from {losses[0]:.4f} to {losses[-1]:.4f}, and must fall by {LEAST_FALL:.0%}",
                hint="this torch does not train as it must",
            )
    return Expectation(platform=this_platform(), data=_digest_of_data(windows), weights=weights), falls


def judge(found: Expectation, expected: Iterable[Expectation]) -> None:
    """See that what came out is what is expected on this platform.

    Raises:
        ProofError: it is something else.
        UnknownPlatformError: nothing is expected on this platform.
    """
    entry = next((entry for entry in expected if entry.platform == found.platform), None)
    if entry is None:
        raise UnknownPlatformError(
            "the losses fell, but no digest was ever committed for this platform: "
            + ", ".join(f"{name} {value}" for name, value in msgspec.structs.asdict(found.platform).items()),
            hint="cogd-train proof --generate prints the entry that a trusted machine of this kind would add",
        )
    if entry.data != found.data:
        raise ProofError("the data are not those that the expectation was made of", hint="is numpy another one?")
    wrong = [name for name, digest in found.weights.items() if entry.weights.get(name) != digest]
    if wrong:
        raise ProofError(
            f"other weights than expected on this platform: {', '.join(wrong)}",
            hint="something that computes is not what it was: torch, its libraries, or this trainer",
        )


def read_expected(path: Path | None = None) -> list[Expectation]:
    """The committed expectations, or those of a file; none where there is no such file.

    Raises:
        ProofError: it is not a file of expectations.
    """
    try:
        if path is not None:
            raw = path.read_bytes() if path.exists() else b"[]"
        else:
            raw = (resources.files("cogd.train") / EXPECTED).read_bytes()
        return msgspec.json.decode(raw, type=list[Expectation])
    except (OSError, msgspec.DecodeError) as error:
        raise ProofError(f"{path or EXPECTED} holds no expectations: {error}") from error


def with_entry(expected: Iterable[Expectation], found: Expectation) -> bytes:
    """A file of expectations in which this platform's is what came out here."""
    others = [entry for entry in expected if entry.platform != found.platform]
    return msgspec.json.format(msgspec.json.encode([*others, found]), indent=2) + b"\n"


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over all tensors by name: the name's length (u32), the name, the values (float32); all little-endian."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        encoded = name.encode()
        digest.update(struct.pack("<I", len(encoded)) + encoded)
        digest.update(weights[name].detach().cpu().contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def proof_windows() -> Windows:
    """240 windows of one session, made of whole numbers: the same bits everywhere.

    A number from 0 to 3 hides in each: it is how many persons there are, moves the pose, and makes so many groups of
    subcarriers louder.
    """
    noise = _random_bits(_WINDOWS * 56 * _FRAMES).reshape(_WINDOWS, 56, _FRAMES)
    hidden = np.arange(_WINDOWS, dtype=np.int64) * 7 % 11 % 4
    louder = (np.arange(56) // 14)[None, :] < hidden[:, None]
    csi = 4.0 + 2.0 * louder[:, :, None] + noise
    joints = np.stack([np.arange(17) % 5, np.arange(17) // 5], axis=1) / 8
    keypoints = joints[None] + hidden[:, None, None] / 16
    end_s = np.arange(1, _WINDOWS + 1, dtype=np.float64)
    unknown = np.full(_WINDOWS, -1, dtype=np.int64)
    return Windows(
        csi=csi.astype(np.float32),
        keypoints=keypoints.astype(np.float32),
        weight=((np.arange(_WINDOWS) % 3 + 1) / 4).astype(np.float32),
        persons=hidden,
        moving=(hidden > 0).astype(np.int8),
        start_s=end_s - 1.0,
        end_s=end_s,
        session=np.zeros(_WINDOWS, dtype=np.int64),
        room=unknown,
        subject=unknown,
        node=np.zeros(_WINDOWS, dtype=np.int64),
        names={"session": ("proof",), "room": (), "subject": ()},
        tones="ht56",
        rate_hz=20.0,
        min_gap_s=0.02,
        max_gap_s=0.25,
        origin=DataOrigin("numbers of the proof of training", None, "Apache-2.0"),
    )


def _train(windows: Windows, config: Config, losses: list[float]) -> dict[str, Tensor]:
    torch.use_deterministic_algorithms(mode=True)
    torch.manual_seed(config.train.seed)
    rows = np.arange(_WINDOWS)
    split = rows_split("proof", rows[:_TRAIN], rows[_TRAIN : _TRAIN + _CALIBRATION], rows[:0])
    task = trainer_of(config.model.head).learning.make_task(windows, split.train, config)
    centred = (windows.csi - np.float32(5.0)).astype(np.float32)
    Loop(task, centred, split, config).run(lambda epoch: losses.append(epoch.loss))
    return task.net.state_dict()


def _random_bits(count: int) -> NDArray[np.float64]:
    """Multiples of 1/256 in 0..1 of a xorshift (Marsaglia 2003), which no library can change."""
    values = np.empty(count, dtype=np.float64)
    state = 0x9E3779B97F4A7C15
    for index in range(count):
        state ^= state << 13 & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 7
        state ^= state << 17 & 0xFFFFFFFFFFFFFFFF
        values[index] = (state >> 56) / 256
    return values


def _digest_of_data(windows: Windows) -> str:
    digest = hashlib.sha256()
    for array in (windows.csi, windows.keypoints, windows.weight, windows.persons):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _processor() -> str:
    """Vendor, family and model as Linux tells them; `unknown` where it doesn't."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", 1)[0].splitlines()
    except OSError:
        return "unknown"
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    told = [fields[key] for key in ("vendor_id", "cpu family", "model") if key in fields]  # of x86
    told = told or [fields[key] for key in ("CPU implementer", "CPU part") if key in fields]  # of ARM
    return " ".join(told) or "unknown"
