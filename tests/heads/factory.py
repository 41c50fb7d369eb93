"""Contexts and outputs to feed heads with."""

from __future__ import annotations

import msgspec

from cogd.bundle.manifest import OutputSpec, Tensor
from cogd.events import Context, WindowInfo

POSE = OutputSpec(
    tensors=[Tensor(name="keypoints", shape=[34])],
    labels=[],
    trained_classes=None,
    confidence="none",
    calibration=None,
    confidence_note="",
)


def count_output(trained=(0, 1, 2), labels=("0", "1", "2", "3"), **changes) -> OutputSpec:
    output = OutputSpec(
        tensors=[Tensor(name="count_logits", shape=[len(labels)]), Tensor(name="conf_logits", shape=[1])],
        labels=list(labels),
        trained_classes=list(trained),
        confidence="none",
        calibration=None,
        confidence_note="",
    )
    return msgspec.structs.replace(output, **changes)


MOTION = OutputSpec(
    tensors=[Tensor(name="motion_logits", shape=[1])],
    labels=["quiet", "moving"],
    trained_classes=[0, 1],
    confidence="platt",
    calibration="calibration.safetensors",
    confidence_note="",
)


def contexts(count: int) -> list[Context]:
    """Contexts that all differ."""
    return [
        Context(
            tick=10 + n,
            app="an-app",
            version="1.0.0",
            digest=f"sha256:{n}",
            backend="ort",
            node=f"a/{n}",
            time=1000.5 + n,
            origin="live",
            window=WindowInfo(frames=20, span_s=0.95 + n, measured_tones=52),
        )
        for n in range(count)
    ]


def shared_fields(context: Context) -> dict[str, object]:
    """What an event must repeat of its context."""
    return context.fields()
