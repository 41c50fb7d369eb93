"""The keys of the motion head's loss, and its recipe: every key's default."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from cogd.train.config import (
    ClassLoss,
    Config,
    DataConfig,
    ModelConfig,
    OutputConfig,
    SplitConfig,
    TrainConfig,
    Weight,
)


class MotionLoss(ClassLoss, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Terms of the motion loss, each a weight, and what is learnt from."""

    cross_entropy: Annotated[Weight, Meta(description="of moving against quiet")] = 1.0
    learn_from: Annotated[
        Literal["heard", "all"],
        Meta(description="heard: where a data set has the empty room, only that and motion that stands out of it"),
    ] = "heard"

    def weights(self) -> dict[str, float]:
        """The weight of each term."""
        return {"cross_entropy": self.cross_entropy}


class MotionConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run of the motion head."""

    loss: MotionLoss


RECIPE: Final = MotionConfig(
    data=DataConfig(
        domain="homes", persons=(0, 1, 2), rooms=200, minutes=0.25, rates_hz=(12.0, 140.0), cell_s=0.05, stride=10
    ),
    split=SplitConfig(kind="room"),
    model=ModelConfig(head="motion", net="motion_v1"),
    train=TrainConfig(epochs=12, batch_size=512, learning_rate=0.01, restart_epochs=12, weight_decay=1.0),
    loss=MotionLoss(),
    output=OutputConfig(),
)
"""Columns of 50 ms; many rooms for a short time each, at all rates; cross-entropy with class weights."""
