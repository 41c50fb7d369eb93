"""Augmentation, all of it: what is drawn for a batch on the CPU, and how it is applied where the batch is.

Draws come from two generators whose states a checkpoint keeps, so they are the same on every device and in a resumed
run. Subcarrier dropout has one to itself: with everything else off it drops what it always did. A draw is of the whole
batch; where several processes share one, each takes its rows of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from cogd.train.config import TrainConfig

Draw = dict[str, Tensor]
"""Tensors with a row for each window of a batch; only of what is done.

kept     bool `[n, 56]`           subcarriers that are not set to zero
noise    float32 `[n, 56, frames]` what is added
gain     float32 `[n]`            what is multiplied by
heard    bool `[n, frames]`       frames that are not set to zero
shift    int64 `[n]`              how many frames later everything is
partner  int64 `[n]`              rows of the data that are mixed in
share    float32 `[n]`            of the window itself in the mixture, the same for all of a batch
tones    bool `[n]`               whether its last subcarrier becomes its first
time     bool `[n]`               whether its last frame becomes its first
change   bool `[n]`               whether each subcarrier's values are mirrored at their mean
"""


class Augmentation:
    """Draws for batches.

    Args:
        train: how much of what.
        shape: subcarriers and frames of a window.
    """

    def __init__(self, train: TrainConfig, shape: tuple[int, int]) -> None:
        self._train, (self._subcarriers, self._frames) = train, shape
        self._dropout = torch.Generator().manual_seed(train.seed + 1)
        self._others = torch.Generator().manual_seed(train.seed + 2)

    def draw(self, rows: Tensor, *, drop: bool, complete: bool = False) -> Draw:
        """For a batch of rows of the data.

        Args:
            rows: int64 `[n]`.
            drop: this is an epoch in which subcarriers are dropped.
            complete: every draw has the same tensors: in other epochs, one that drops none.
        """
        train, count, draw, rng = self._train, len(rows), Draw(), self._others
        if drop and train.subcarrier_dropout:
            chance = torch.rand((count, self._subcarriers), generator=self._dropout)
            draw["kept"] = chance >= train.subcarrier_dropout
        elif complete and train.subcarrier_dropout:
            draw["kept"] = torch.ones((count, self._subcarriers), dtype=torch.bool)
        if train.noise_std:
            draw["noise"] = train.noise_std * torch.randn((count, self._subcarriers, self._frames), generator=rng)
        if train.gain_range:
            draw["gain"] = 1 + train.gain_range * (2 * torch.rand(count, generator=rng) - 1)
        if train.mask_frames:
            length = torch.randint(0, min(train.mask_frames, self._frames) + 1, (count, 1), generator=rng)
            start = (torch.rand((count, 1), generator=rng) * (self._frames - length + 1)).long()
            frame = torch.arange(self._frames)
            draw["heard"] = (frame < start) | (frame >= start + length)
        if train.roll_frames:
            draw["shift"] = torch.randint(-train.roll_frames, train.roll_frames + 1, (count,), generator=rng)
        if train.mixup_alpha:
            draw["partner"] = rows[torch.randperm(count, generator=rng).to(rows.device)]
            seed = int(torch.randint(0, 2**62, (1,), generator=rng))  # torch's own Beta takes no generator
            share = np.random.default_rng(seed).beta(train.mixup_alpha, train.mixup_alpha)
            draw["share"] = torch.full((count,), share, dtype=torch.float32)
        for flip in train.flips:
            draw[flip] = torch.rand(count, generator=rng) < 0.5
        return draw

    def state(self) -> dict[str, Tensor]:
        """The generators' states."""
        return {"dropout": self._dropout.get_state(), "others": self._others.get_state()}

    def set_state(self, state: dict[str, Tensor]) -> None:
        """Go on from states."""
        self._dropout.set_state(state["dropout"].cpu())
        self._others.set_state(state["others"].cpu())


def part(draw: Draw, of: slice) -> Draw:
    """The draw of some of the batch's windows."""
    return {name: tensor[of] for name, tensor in draw.items()}


def apply(csi: Tensor, draw: Draw, partners: Tensor | None = None) -> Tensor:
    """Windows `[n, 56, frames]` as drawn; `partners` are those that are mixed in, where there is a share."""
    if partners is not None and "share" in draw:
        share = draw["share"][:, None, None]
        csi = share * csi + (1 - share) * partners
    for name, axis in (("tones", 1), ("time", 2)):
        if name in draw:
            csi = torch.where(draw[name][:, None, None], csi.flip(axis), csi)
    if "change" in draw:
        csi = torch.where(draw["change"][:, None, None], 2 * csi.mean(dim=2, keepdim=True) - csi, csi)
    if "shift" in draw:
        frames = csi.shape[2]
        source = (torch.arange(frames, device=csi.device) - draw["shift"][:, None]) % frames
        csi = csi.gather(2, source[:, None, :].expand_as(csi))
    if "gain" in draw:
        csi = csi * draw["gain"][:, None, None]
    if "noise" in draw:
        csi = csi + draw["noise"]
    if "heard" in draw:
        csi = csi * draw["heard"][:, None, :]
    if "kept" in draw:
        csi = csi * draw["kept"][:, :, None]
    return csi
