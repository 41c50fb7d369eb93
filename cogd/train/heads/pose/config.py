"""The keys of the pose head's loss, and its recipe: every key's default."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from cogd.train.config import (
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OutputConfig,
    SplitConfig,
    TrainConfig,
    Weight,
)


class PoseLoss(LossConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Terms of the pose loss, each a weight."""

    keypoint: Annotated[Weight, Meta(description="SmoothL1 of the keypoints, by the label's confidence")] = 1.0
    beta: Annotated[float, Meta(gt=0, le=1, description="where that goes from square to straight")] = 0.1
    bone: Annotated[Weight, Meta(description="bone lengths as shares of the body's")] = 0.0
    temporal: Annotated[Weight, Meta(description="motion between successive windows that the truth hasn't")] = 0.0
    heatmap: Annotated[Weight, Meta(description="squared error of heatmaps, for networks that give them")] = 0.0
    oks: Annotated[Weight, Meta(description="1 - OKS, COCO's sigmas")] = 0.0
    nll: Annotated[Weight, Meta(description="negative log-likelihood, for networks that give a scale")] = 0.0
    nll_form: Annotated[
        Literal["laplace", "gaussian"], Meta(description="the distribution of errors that it assumes")
    ] = "laplace"

    def weights(self) -> dict[str, float]:
        """The weight of each term."""
        return {
            "keypoint": self.keypoint,
            "bone": self.bone,
            "temporal": self.temporal,
            "heatmap": self.heatmap,
            "oks": self.oks,
            "nll": self.nll,
        }


class PoseConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run of the pose head."""

    loss: PoseLoss


RECIPE: Final = PoseConfig(
    data=DataConfig(persons=(1,)),
    split=SplitConfig(),
    model=ModelConfig(head="pose", net="pose_v1"),
    train=TrainConfig(batch_size=0, subcarrier_dropout=0.1, dropout_epochs=50, keep="last"),
    loss=PoseLoss(),
    output=OutputConfig(),
)
"""SmoothL1 (beta 0.1) weighted by the label's confidence, full batch, dropout in the last 50 epochs."""
