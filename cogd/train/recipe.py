"""The recipe of each head: every key's default. Pose and count are the published cogs'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cogd.train.config import (
    CountConfig,
    CountLoss,
    DataConfig,
    ModelConfig,
    MotionConfig,
    MotionLoss,
    OutputConfig,
    PoseConfig,
    PoseLoss,
    SplitConfig,
    TrainConfig,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cogd.train.config import Config

POSE: Final = PoseConfig(
    data=DataConfig(persons=(1,)),
    split=SplitConfig(),
    model=ModelConfig(head="pose", net="pose_v1"),
    train=TrainConfig(batch_size=0, subcarrier_dropout=0.1, dropout_epochs=50, keep="last"),
    loss=PoseLoss(),
    output=OutputConfig(),
)
"""SmoothL1 (beta 0.1) weighted by the label's confidence, full batch, dropout in the last 50 epochs."""

COUNT: Final = CountConfig(
    data=DataConfig(persons=(0, 1, 2, 3)),
    split=SplitConfig(),
    model=ModelConfig(head="count", net="count_v1"),
    train=TrainConfig(batch_size=64, keep="best"),
    loss=CountLoss(),
    output=OutputConfig(),
)
"""Cross-entropy with class weights + 0.3 BCE of the confidence + 0.1 Brier score, batches of 64, best epoch."""

MOTION: Final = MotionConfig(
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

RECIPES: Final[Mapping[str, Config]] = {"pose": POSE, "count": COUNT, "motion": MOTION}
