"""The published pose cog: what is known of it."""

from __future__ import annotations

from cogd.bundle.manifest import OutputSpec, Tensor
from cogd.sim.bodies import JOINTS
from cogd.train.published_cog import Cog

COG = Cog(
    app_id="pose-estimation",
    version="0.0.1",
    title="Published pose cog",
    head="pose",
    net="pose_v1",
    needs_normaliser=False,
    output=OutputSpec(
        tensors=[Tensor(name="keypoints", shape=[34])],
        labels=list(JOINTS),
        trained_classes=None,
        confidence="none",
        calibration=None,
        confidence_note="the model has none",
    ),
    limits=(
        "Its publisher states PCK@20 3.0 % and PCK@50 18.5 % with an unstated normaliser; a constant pose does better.",
        "Its output hardly depends on its input. It assumes exactly one person.",
        "It has no confidence; the constant 0.185 that its own runtime emits is not one.",
        "Trained on mislabelled windows of one person in one room; whether they were normalised is not known.",
    ),
)
