"""What a head is: the contract of the entry-point group `cogd.heads`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

import msgspec

from cogd.events import InferenceFields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from cogd.bundle.manifest import OutputSpec
    from cogd.events import Context, EventFields


class Reading(msgspec.Struct, frozen=True):
    """One event in the making. The engine adds the latency.

    Attributes:
        fields: of the event.
        confidence: calibrated probability that it is right, if known; below the app's `min_confidence` it is kept back.
        score: what the baseline of a quiet room is the median of; for heads that have one.
    """

    fields: InferenceFields
    confidence: float | None = None
    score: float | None = None


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """What a head says of a node's window while nothing happens there.

    Attributes:
        score: median of the scores.
        time: when it was measured, unix seconds.
    """

    score: float
    time: float


class Head(Protocol):
    """A plugin that turns a backend's outputs into events' fields. Pure.

    A head is made by its class from the manifest's output and the calibration's tensors by name (empty if the
    bundle has none); the constructor raises `ManifestError` where they do not suit it.

    Attributes:
        events: the types of all events that it emits.
    """

    events: ClassVar[Sequence[type[EventFields]]]

    def __init__(self, output: OutputSpec, calibration: Mapping[str, NDArray[np.float32]]) -> None: ...

    def read(self, outputs: Mapping[str, NDArray[np.float32]], contexts: Sequence[Context]) -> list[Reading]:
        """One reading for each row of the batch; outputs are finite, `[batch, ...]`."""


@runtime_checkable
class BaselineHead(Head, Protocol):
    """A head that knows better what a window means where it knows how the node's windows are while nothing happens."""

    def read_against(
        self,
        outputs: Mapping[str, NDArray[np.float32]],
        contexts: Sequence[Context],
        baselines: Sequence[Baseline | None],
    ) -> list[Reading]:
        """As `read`, with the baseline of each row's node, if there is one. Every reading has its `score`."""

    def why_not_quiet(self, scores: Sequence[float]) -> str | None:
        """Why the median of these scores, one at least, of one node is no baseline; None: it is one."""
