"""The keys of the count head's loss, and its recipe: every key's default."""

from __future__ import annotations

from typing import Annotated, Final

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


class CountLoss(ClassLoss, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Terms of the count loss, each a weight."""

    cross_entropy: Annotated[Weight, Meta(description="of the number of persons")] = 1.0
    confidence: Annotated[Weight, Meta(description="cross-entropy of the confidence that the count is right")] = 0.3
    brier: Annotated[Weight, Meta(description="squared error of that confidence")] = 0.1

    def weights(self) -> dict[str, float]:
        """The weight of each term."""
        return {"cross_entropy": self.cross_entropy, "confidence": self.confidence, "brier": self.brier}


class CountConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run of the count head."""

    loss: CountLoss


RECIPE: Final = CountConfig(
    data=DataConfig(persons=(0, 1, 2, 3)),
    split=SplitConfig(),
    model=ModelConfig(head="count", net="count_v1"),
    train=TrainConfig(batch_size=64, keep="best"),
    loss=CountLoss(),
    output=OutputConfig(),
)
"""Cross-entropy with class weights + 0.3 BCE of the confidence + 0.1 Brier score, batches of 64, best epoch."""
