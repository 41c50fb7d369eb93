"""The contract of heads: plugins of the entry-point group `cogd.heads`.

A head turns a model's outputs into events. Everything about it is in one package: its event types, the rules for the
bundles that it takes, the reading of outputs, and where it has them the combining of several nodes and the rule for a
quiet room. The runtime knows no head by name.

    my_head/head.py     the class that the entry point names: `my = "my_head.head:MyHead"`
    my_head/events.py   its event types, each derived from `cogd.events.InferenceFields` or `cogd.events.EventFields`
    my_head/rules.py    `check(output, calibration)`, without NumPy: see `cogd.heads.rules`; a head may do without
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Protocol

import msgspec

from cogd.events import InferenceFields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from cogd.bundle.manifest import OutputSpec
    from cogd.events import Context, EventFields


class Reading(msgspec.Struct, frozen=True):
    """The event of one window. The engine adds the latency.

    Attributes:
        fields: of the event.
        confidence: calibrated probability that it is right, if known; below the app's `min_confidence` the event is not
            emitted.
        score: the model's score of this window; the median of a quiet room's scores is its baseline. Only of heads
            with a `quiet` rule.
    """

    fields: InferenceFields
    confidence: float | None = None
    score: float | None = None


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """A node's score while nothing happens.

    Attributes:
        score: median of the scores of a quiet room.
        time: when it was measured, unix seconds.
    """

    score: float
    time: float


class QuietRule(Protocol):
    """Decides whether a node's scores are those of a quiet room: the capability behind `cogd calibrate`."""

    def why_not(self, scores: Sequence[float]) -> str | None:
        """Why the median of these scores of one node, one at least, is no baseline; None: it is one."""


class Combiner(Protocol):
    """Makes one event of the readings of several nodes of a source.

    The runtime (`cogd.runtime.combining`) decides which readings belong together, from the frames' times alone; the
    setting `fuse_counts` turns all combining off.

    Attributes:
        fresh_s: readings whose frames are further apart than this, in seconds, are never combined.
    """

    fresh_s: float

    def combine(self, source: str, readings: Sequence[InferenceFields], newest: InferenceFields) -> EventFields | None:
        """The event of these readings; None: there is none.

        Args:
            source: name of the source.
            readings: the fields that `Head.read` made of two nodes or more, one reading a node, ordered by node.
            newest: the one among them whose frame was taken last.
        """


class Head(ABC):
    """A plugin that turns a model's outputs into events. Pure: no clock, no files, no state from one batch to the next.

    Every head derives from this class, and what it does not declare is None.

    Attributes:
        name: its name in the entry-point group `cogd.heads` and in a manifest's `head`.
        events: the types of all events that it emits, those of its combiner included.
        quiet: the rule for baselines; None: the head has no use for baselines.
        combiner: combines several nodes; None: every event is of one node.

    Args:
        output: the manifest's `output`.
        calibration: the tensors of the bundle's calibration file by name, finite float32; empty if there is none.

    Raises:
        ManifestError: output or calibration do not suit the head; the same that `check` of its rules raises.
    """

    name: ClassVar[str]
    events: ClassVar[Sequence[type[EventFields]]]
    quiet: QuietRule | None = None
    combiner: Combiner | None = None

    @abstractmethod
    def __init__(self, output: OutputSpec, calibration: Mapping[str, NDArray[np.float32]]) -> None: ...

    @abstractmethod
    def read(
        self,
        outputs: Mapping[str, NDArray[np.float32]],
        contexts: Sequence[Context],
        baselines: Sequence[Baseline | None] = (),
    ) -> Sequence[Reading]:
        """One reading for each row of a batch.

        Args:
            outputs: by name as in the manifest, float32 `[batch, ...]`, finite. The head must not change or keep them.
            contexts: the origin of each row; an event holds all of these fields (`Context.fields`).
            baselines: that of each row's node, None where it has none; empty: no node has one. Heads without a `quiet`
                rule are always given an empty one.
        """
