"""The count head's trainer: how many persons there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cogd.train.heads.base import TrainerHead
from cogd.train.heads.count.config import RECIPE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.train.data.windows import Windows


class CountTrainer(TrainerHead):
    """Number of persons, and a confidence that it is right."""

    summary = "train the person-count network on simulation or on paired.jsonl"
    recipe = RECIPE
    nets: ClassVar = {
        "count_v1": "cogd.train.heads.count.net:CountNet",
        "count_v2": "cogd.train.heads.count.net:StridedCountNet",
    }
    references: ClassVar = {
        "strided.c1.weight": "cogd.train.heads.count.reference:forward",
        "count_head.fc1.weight": "cogd.train.heads.count.reference:forward_v1",
    }
    learning_class = "cogd.train.heads.count.learning:CountLearning"
    scoring_class = "cogd.train.heads.count.scoring:CountScoring"
    published_cog = "cogd.train.heads.count.published:COG"
    reproducibility_runs: ClassVar = {
        "": {"train.batch_size": 50},
        " with everything": {"train.mixup_alpha": 0.2, "loss.label_smoothing": 0.1},
    }
    can_fold = True

    def truth(self, windows: Windows) -> NDArray[np.int64]:
        """Return the numbers of persons."""
        return windows.persons

    def usable_rows(self, windows: Windows) -> NDArray[np.int64]:
        """Return the windows whose number of persons is known."""
        return np.flatnonzero(windows.persons >= 0)
