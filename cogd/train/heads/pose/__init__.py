"""The pose head's trainer: keypoints of one person."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cogd.train.heads.base import TrainerHead
from cogd.train.heads.pose.config import RECIPE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.train.data.windows import Windows


class PoseTrainer(TrainerHead):
    """Keypoints in picture coordinates, from windows with exactly one person."""

    summary = "train the pose network on simulation or on paired.jsonl"
    recipe = RECIPE
    nets: ClassVar = {"pose_v1": "cogd.train.heads.pose.net:PoseNet", "pose_v2": "cogd.train.heads.pose.net:PoseNetV2"}
    references: ClassVar = {
        "head.fc1.weight": "cogd.train.heads.pose.reference:forward_v1",
        "pose.fc1.weight": "cogd.train.heads.pose.reference:forward",
    }
    learning_class = "cogd.train.heads.pose.learning:PoseLearning"
    scoring_class = "cogd.train.heads.pose.scoring:PoseScoring"
    published_cog = "cogd.train.heads.pose.published:COG"
    reproducibility_runs: ClassVar = {
        "": {"train.batch_size": 50, "train.dropout_epochs": 3},
        " with everything": {"loss.bone": 0.2, "loss.temporal": 0.1, "loss.oks": 0.1},
    }

    def truth(self, windows: Windows) -> NDArray[np.float32]:
        """Return the keypoints."""
        return windows.keypoints

    def usable_rows(self, windows: Windows) -> NDArray[np.int64]:
        """Return the windows with exactly one person and a pose that is believed at all."""
        known = np.isfinite(windows.keypoints).all(axis=(1, 2))
        return np.flatnonzero(known & (windows.weight > 0) & (windows.persons == 1))
