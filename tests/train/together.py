"""Trains every run of `test_distributed` and saves the weights and losses; started by `torchrun`, or imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch

from cogd.train.distributed import join_world, leave_world
from cogd.train.loop import Loop
from cogd.train.tasks import outputs_of
from tests.train.factory import make_config, make_split, make_task, make_windows

BATCHES = {"batch_size": 7, "dropout_epochs": 3, "learning_rate": 1e-3, "epochs": 3}
"""Of 24 windows: the last batch has three, and none divides evenly."""

RUNS = {
    "pose": ("pose", {"epochs": 3, "learning_rate": 1e-3}),
    "pose in batches": ("pose", {**BATCHES, "loss.temporal": 0.5, "loss.bone": 0.3, "loss.oks": 0.2}),
    "count": ("count", BATCHES),
    "one window a batch": ("count", {**BATCHES, "batch_size": 1, "epochs": 1}),  # nothing is left for the other process
    "count with everything": (
        "count",
        {
            **BATCHES,
            "ema_decay": 0.9,
            "clip_norm": 0.5,
            "noise_std": 0.05,
            "gain_range": 0.1,
            "mask_frames": 3,
            "roll_frames": 2,
            "subcarrier_dropout": 0.1,
            "loss.label_smoothing": 0.1,
            "mixup_alpha": 0.3,
        },
    ),
}


def train_all() -> dict[str, dict[str, dict[str, torch.Tensor]]]:
    """Of each run: `weights`, `losses`, `outputs` for all windows, and `gradients` of the first step."""
    torch.use_deterministic_algorithms(mode=True)
    world = join_world(torch.device("cpu"))
    trained = {}
    for name, (head, changes) in RUNS.items():
        torch.manual_seed(0)
        config, split = make_config(head, **changes), make_split()
        windows = make_windows(persons=np.asarray([0, 0, 1, 0, 3] * 8))  # classes of unequal weight
        task = make_task(head, windows, split.train, config)
        first: dict[str, torch.Tensor] = {}
        losses: list[float] = []

        def stop(net=task.net, first=first) -> bool:
            first or first.update({name: weight.grad.clone() for name, weight in net.named_parameters()})
            return False

        task.net.double()
        csi = windows.csi.astype(np.float64)
        loop = Loop(task, csi, split, config, world=world)
        loop.run(lambda epoch, losses=losses: losses.append(epoch.loss), stop)
        with torch.no_grad():
            outputs = outputs_of(task.net, torch.from_numpy(csi))
        trained[name] = {
            "weights": task.net.state_dict(),
            "losses": {"loss": torch.tensor(losses)},
            "outputs": outputs,
            "gradients": first,
        }
    leave_world()
    return trained


if __name__ == "__main__":
    torch.set_num_threads(1)
    result = train_all()
    torch.save(result, Path(sys.argv[1]) / f"{os.environ['RANK']}.pt")
