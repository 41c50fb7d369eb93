"""The motion head's trainer: whether somebody moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cogd.train.heads.base import TrainerHead
from cogd.train.heads.motion.config import RECIPE
from cogd.train.heads.named import load_named

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.train.config import Config
    from cogd.train.data.windows import Windows

    Rows = NDArray[np.int64]


class MotionTrainer(TrainerHead):
    """Moving or quiet."""

    summary = "train the motion network, which tells moving from quiet"
    recipe = RECIPE
    nets: ClassVar = {"motion_v1": "cogd.train.heads.motion.net:MotionNet"}
    references: ClassVar = {"motion.weight": "cogd.train.heads.motion.reference:forward"}
    learning_class = "cogd.train.heads.motion.learning:MotionLearning"
    scoring_class = "cogd.train.heads.motion.scoring:MotionScoring"
    transitions = "leave_out"
    same_radios = True  # motion is judged beside the empty room as the same node receives it
    training_rows_note = "only motion that stands out of the empty room, and the empty room"

    def truth(self, windows: Windows) -> NDArray[np.bool_]:
        """Return whether somebody moves."""
        return np.asarray(windows.moving == 1)

    def usable_rows(self, windows: Windows) -> Rows:
        """Return the windows of which is known whether somebody moves in them."""
        return np.flatnonzero(windows.moving >= 0)

    def training_rows(self, windows: Windows, rows: Rows, config: Config) -> Rows:
        """Return the rows in which a node can receive what the label says."""
        found: Rows = load_named("cogd.train.heads.motion.training_rows:training_rows")(windows, rows, config)
        return found
