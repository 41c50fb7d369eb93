"""An app whose parts say how long they took: the real engine runs it, and nothing of the engine is changed for it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from cogd.csi.model_input import ModelInput
from cogd.heads.base import Head
from cogd.runtime.app import fitting_variants, load_variant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from cogd.backends.base import Session
    from cogd.events import Context, EventFields
    from cogd.heads.base import Baseline, Reading
    from cogd.runtime.app import App

STAGES = ("decode", "window", "prepare", "inference", "head", "encode", "engine")
"""In the order of the way, but for `engine`: what lies between them."""


@dataclass(frozen=True, eq=False)
class _TimedInput(ModelInput):
    stamps: dict[str, float] = field(default_factory=dict)

    def prepare(
        self, windows: Sequence[NDArray[np.float32]] | NDArray[np.float32], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        started_s = time.perf_counter()
        prepared = super().prepare(windows, out)
        self.stamps["prepare"] = time.perf_counter() - started_s
        return prepared


class _TimedSession:
    def __init__(self, session: Session, stamps: dict[str, float]) -> None:
        self.only_computes = session.only_computes
        self._session, self._stamps = session, stamps

    def buffer(self, size: int) -> NDArray[np.float32]:
        return self._session.buffer(size)

    def run(self, batch: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        started_s = time.perf_counter()
        outputs = self._session.run(batch)
        self._stamps["inference"] = time.perf_counter() - started_s
        return outputs


class _TimedHead(Head):
    """Wraps a head without its combiner: events of single nodes are measured."""

    name: ClassVar[str] = "timed"
    events: ClassVar[Sequence[type[EventFields]]] = ()

    def __init__(self, head: Head, stamps: dict[str, float]) -> None:
        self._head, self._stamps = head, stamps
        self.quiet = head.quiet

    def read(
        self,
        outputs: Mapping[str, NDArray[np.float32]],
        contexts: Sequence[Context],
        baselines: Sequence[Baseline | None] = (),
    ) -> Sequence[Reading]:
        started_s = time.perf_counter()
        readings = self._head.read(outputs, contexts, baselines)
        self._stamps["head"] = time.perf_counter() - started_s
        return readings


def staged(app: App) -> tuple[App, dict[str, float]]:
    """The same app, loaded once more, and where its parts note the seconds that they took last."""
    stamps: dict[str, float] = {}
    variant = next(v for v in fitting_variants(app.bundle.manifest) if v.backend == app.backend)
    loaded = load_variant(app.bundle, variant)
    plain = loaded.model_input
    timed = replace(
        app,
        head=_TimedHead(app.head, stamps),
        model_input=_TimedInput(plain.layout, plain.gain, plain.mean, plain.std, stamps),
        session=_TimedSession(loaded.session, stamps),
    )
    return timed, stamps
