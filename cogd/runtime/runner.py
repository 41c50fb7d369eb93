"""One loaded version of an app at work: a thread that infers, and what is made of its answers."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cogd.events import Context
from cogd.runtime.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cogd.csi.frame import Frame
    from cogd.events import WindowInfo
    from cogd.heads.base import Reading
    from cogd.runtime.app import App, Outputs, Reproduced

INFERENCE_LIMIT_S = 1.0
"""A backend that takes longer for one batch has failed; the other apps go on, and so does this one once it answers."""

_REMEMBERED = 64
"""Batches whose durations are kept."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A complete window on its way to the next tick; `serial` numbers the accepted frames, from 1."""

    serial: int
    frame: Frame
    info: WindowInfo
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Inferred:
    """What came of a batch: a reading a window, None where there is none, and why some are missing."""

    readings: Sequence[Reading | None]
    failure: str | None = None


class Runner:
    """Runs one app on a thread of its own."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.worker: Worker[Outputs] = Worker(f"infer {app.id}")
        self._took_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._proof: asyncio.Future[Reproduced] | None = None

    @property
    def median_s(self) -> float | None:
        """How long the model takes for a batch: the median of its last ones; None before the first."""
        took_s = self._took_s.copy()  # the thread goes on
        return statistics.median(took_s) if took_s else None

    def submit(self, windows: NDArray[np.float32]) -> asyncio.Future[Outputs] | None:
        """Begin with a batch; None where it still has not answered the one before."""
        return None if self.worker.busy else self.worker.submit(partial(self._infer, windows))

    def prove(self) -> asyncio.Future[Reproduced]:
        """Reproduce the golden pair behind what the thread has to do already; no batch is refused for it.

        Whoever asks while a proof is under way gets that one, so that nothing piles up behind a model that hangs.
        """
        if self._proof is None or self._proof.done():
            self._proof = self.worker.aside(self.app.reproduce)
            self._proof.add_done_callback(_retrieve)  # nobody may be waiting any more
        return self._proof

    def _infer(self, windows: NDArray[np.float32]) -> Outputs:
        """On the thread, so that a busy event loop does not count."""
        started_s = time.perf_counter()
        try:
            return self.app.infer(windows)
        finally:
            self._took_s.append(time.perf_counter() - started_s)

    async def inferred(self, future: asyncio.Future[Outputs] | None, batch: Sequence[Pending], tick: int) -> Inferred:
        """What came of a batch that was submitted. Whatever the backend or the head does, it raises nothing."""
        nothing: list[Reading | None] = [None] * len(batch)
        late = f"no answer within {INFERENCE_LIMIT_S:g} s"
        if future is None:
            return Inferred(nothing, late)
        try:
            async with asyncio.timeout(INFERENCE_LIMIT_S):  # `wait_for` may swallow being cancelled
                outputs = await future
        except TimeoutError:
            return Inferred(nothing, late)
        except Exception as error:  # noqa: BLE001  # the plugin border: a backend may fail in any way
            return Inferred(nothing, f"{type(error).__name__}: {error}")
        finite = np.all(
            [np.isfinite(values).reshape(len(batch), -1).all(axis=1) for values in outputs.values()], axis=0
        )
        if finite.all():
            return self._read(outputs, batch, tick)
        failure = "its output is not finite"
        good = [pending for pending, is_finite in zip(batch, finite, strict=True) if is_finite]
        if not good:
            return Inferred(nothing, failure)
        read = self._read({name: values[finite] for name, values in outputs.items()}, good, tick)
        rows = iter(read.readings)
        return Inferred([next(rows) if is_finite else None for is_finite in finite], read.failure or failure)

    def _read(self, outputs: Outputs, batch: Sequence[Pending], tick: int) -> Inferred:
        try:
            readings = self.app.head.read(outputs, [self._context(pending, tick) for pending in batch])
        except Exception as error:  # noqa: BLE001  # the plugin border: so may a head
            return Inferred([None] * len(batch), f"{type(error).__name__}: {error}")
        if len(readings) != len(batch):
            return Inferred([None] * len(batch), f"its head gave {len(readings)} readings of {len(batch)} windows")
        return Inferred(readings)

    def _context(self, pending: Pending, tick: int) -> Context:
        manifest = self.app.bundle.manifest
        return Context(
            tick=tick,
            app=manifest.id,
            version=manifest.version,
            digest=self.app.bundle.digest,
            backend=self.app.backend,
            node=pending.frame.node,
            time=pending.frame.time_s,
            origin=pending.frame.origin.value,
            window=pending.info,
        )

    def close(self) -> None:
        """End the thread after the batch that it has."""
        self.worker.close()


def _retrieve(proof: asyncio.Future[Reproduced]) -> None:
    if not proof.cancelled():
        proof.exception()
