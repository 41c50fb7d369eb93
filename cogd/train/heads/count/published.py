"""The published count cog: what is known of it."""

from __future__ import annotations

from cogd.bundle.manifest import OutputSpec, Tensor
from cogd.train.nets.base import CLASS_COUNT
from cogd.train.published_cog import Cog

COG = Cog(
    app_id="person-count",
    version="0.0.2",
    title="Published person-count cog",
    head="count",
    net="count_v1",
    needs_normaliser=True,
    output=OutputSpec(
        tensors=[Tensor(name="count_logits", shape=[CLASS_COUNT]), Tensor(name="conf_logits", shape=[1])],
        labels=[str(number) for number in range(CLASS_COUNT)],
        trained_classes=[0, 1],
        confidence="none",
        calibration=None,
        confidence_note="the model's own is not calibrated",
    ),
    limits=(
        "Only the classes 0 and 1 were trained: it can tell presence at best, and never two persons.",
        "Its publisher states accuracy 62.3 % on windows drawn at random from the recording that trained it.",
        (
            "Its confidence is not calibrated: its temperature was fitted on its evaluation set (rank correlation with "
            "being right 0.013). It is not emitted."
        ),
        (
            "The statistics that normalised its training were never published; those in this bundle are of another "
            "recording, so its figures do not carry over."
        ),
    ),
)
