"""What a head is: the contract of the entry-point group `cogd.heads`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from cogd.events import InferenceFields, Level

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from cogd.bundle.manifest import OutputSpec
    from cogd.events import Context


class Reading(msgspec.Struct, frozen=True):
    """One event in the making: its level and fields, and the calibrated probability that it is right, if known.

    The engine adds the latency, and keeps back an event whose confidence is below the app's `min_confidence`.
    """

    level: Level
    fields: InferenceFields
    confidence: float | None = None


class Head(Protocol):
    """A plugin that turns a backend's outputs into one event's fields. Pure.

    A head is made by its class from the manifest's output and the calibration's tensors by name (empty if the
    bundle has none); the constructor raises `ManifestError` where they do not suit it.
    """

    event: str

    def __init__(self, output: OutputSpec, calibration: Mapping[str, NDArray[np.float32]]) -> None: ...

    def read(self, outputs: Mapping[str, NDArray[np.float32]], contexts: Sequence[Context]) -> list[Reading]:
        """One reading for each row of the batch; outputs are finite, `[batch, ...]`."""
