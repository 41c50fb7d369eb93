"""Recipes: every choice of a training run but the data. The defaults are those of the published cogs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        head: which network and loss.
        epochs: passes over the training part.
        batch_size: windows a step; 0 is the whole training part at once.
        learning_rate: AdamW's.
        weight_decay: AdamW's, decoupled.
        restart_epochs: length of one cosine cycle of the learning rate (warm restarts).
        subcarrier_dropout: share of subcarriers set to zero, per window.
        dropout_epochs: in how many of the last epochs that is done.
        keep: `last` takes the weights after the last epoch; `best` those of the epoch that did best on the
            calibration part (never on the test part).
        seed: of initial weights, order and dropout.
    """

    head: Literal["pose", "count"]
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    restart_epochs: int
    subcarrier_dropout: float
    dropout_epochs: int
    keep: Literal["last", "best"]
    seed: int = 0


POSE = Recipe("pose", 400, 0, 1e-3, 0.01, 50, 0.1, 50, "last")
"""SmoothL1 (beta 0.1) weighted by the label's confidence, full batch, dropout in the last 50 epochs."""

COUNT = Recipe("count", 400, 64, 1e-3, 0.01, 50, 0.0, 0, "best")
"""Cross-entropy with class weights + 0.3 BCE of the confidence + 0.1 Brier score, batches of 64, best epoch."""
