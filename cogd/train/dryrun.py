"""A dry run: everything is built, one step is done, what it takes is measured, and nothing is written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from cogd.train.device import choose_device
from cogd.train.heads.registry import trainer_of
from cogd.train.run import prepare
from cogd.train.tasks import outputs_of

if TYPE_CHECKING:
    from cogd.train.config import Config
    from cogd.train.data.windows import Windows
    from cogd.train.load import Loaded
    from cogd.train.run import Prepared

_MIB = 1 << 20


def dry_run(config: Config, loaded: Loaded) -> str:
    """Build what a run would train, do its first step and say in text what that took.

    Args:
        config: of the run.
        loaded: some of its data.

    Raises:
        ConfigError, TrainError: what `cogd.train.run.train` would end with before its first epoch is over.
    """
    device, windows = choose_device(config.train.device), loaded.windows
    prepared = prepare(config, windows, device, only_train=loaded.only_train, sampled=loaded.sampled)
    net, split = prepared.task.net, prepared.split
    parameters = sum(parameter.numel() for parameter in net.parameters())
    batch = min(config.train.batch_size or len(split.train), len(split.train))
    seconds, saved_bytes = _first_step(prepared)
    usable = len(trainer_of(config.model.head).usable_rows(windows))
    net.eval()
    with torch.no_grad():
        example = torch.zeros(1, *windows.csi.shape[1:], device=device)
        shapes = {name: list(output.shape[1:]) for name, output in outputs_of(net, example).items()}
    lines = {
        "head": f"{config.model.head}, network {config.model.net}, {parameters} parameters",
        "input": f"{windows.csi.shape[1]} subcarriers (rule {windows.tones}) x {windows.csi.shape[2]} frames",
        "outputs": ", ".join(f"{name} {shape}" for name, shape in shapes.items()),
        "data": f"{windows.origin.name}; licence {windows.origin.licence}",
        "windows": f"{len(windows)} of this part of the data, {usable} with a label"
        + (f"; {loaded.only_train} of them further data that only train" if loaded.only_train else ""),
        "held out": "nothing of another data set" if loaded.held_out is None else _told(config, loaded.held_out),
        "split": split.name,
        "parts": f"{len(split.train)} train, {len(split.calibration)} calibrate, {len(split.test)} test",
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"cpu, {torch.get_num_threads()} thread(s)",
        "first step": f"{batch} windows in {seconds:.3f} s"
        + (", the epoch's score included" if batch == len(split.train) else ""),
        "memory": _memory(config, prepared, windows, parameters, batch, saved_bytes),
        "config": f"digest {config.digest()}",
    }
    return "".join(f"{name + ':':12}{text}\n" for name, text in lines.items())


def _told(config: Config, held_out: Windows) -> str:
    usable = len(trainer_of(config.model.head).usable_rows(held_out))
    return f"{held_out.origin.name}; of this part of it {len(held_out)} windows, {usable} with a label"


def _first_step(prepared: Prepared) -> tuple[float, int]:
    """Seconds of the first step, and bytes of what it kept for the way back beside the weights."""
    weights = {parameter.data_ptr() for parameter in prepared.task.net.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    started_s = time.perf_counter()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        prepared.loop.run(stop=lambda: True)
    return time.perf_counter() - started_s, sum(kept.values())


def _memory(config: Config, prepared: Prepared, windows: Windows, parameters: int, batch: int, saved_bytes: int) -> str:
    copies = 4 + (1 if config.train.ema_decay else 0) + 1  # weights, gradients, AdamW's two moments, average, best
    window_bytes = windows.csi.nbytes // len(windows)
    text = (
        f"{windows.csi.nbytes / _MIB:.1f} MiB inputs of this part ({window_bytes} bytes a window), "
        f"{copies * 4 * parameters / _MIB:.1f} MiB weights, gradients and optimiser, "
        f"{saved_bytes / _MIB:.1f} MiB kept for the way back ({saved_bytes // batch} bytes a window of the batch)"
    )
    if prepared.device.type == "cuda":
        text += f"; {torch.cuda.max_memory_allocated(prepared.device) / _MIB:.1f} MiB were allocated at most"
    return text
