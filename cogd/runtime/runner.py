"""One loaded version of an app at work: where it infers, and what is made of its answers."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from cogd.csi.frame import Frame, Origin
from cogd.events import Context, WindowInfo
from cogd.heads.base import Baseline, Reading
from cogd.runtime.app import MAX_BATCH
from cogd.runtime.worker import Worker

if TYPE_CHECKING:
    from cogd.runtime.app import App, Outputs, Reproduced

INFERENCE_LIMIT_S = 1.0
"""A backend that takes longer for one batch has failed; the other apps go on, and so does this one once it answers."""

SHORT_S = 5e-3
"""A batch that is expected to take no longer is run on the event loop's own thread, if it can't hang: the way to
another thread and back costs more than a small network, and most where there is most to do, because a thread that has
its answer waits for the interpreter until the busy loop lets go of it. What arrives meanwhile has its time from the
kernel."""

BATCH_TARGET_S = INFERENCE_LIMIT_S / 4
"""Batches are made so small that the windows of one take no longer than this, by what windows took lately: a slow
device loses nothing, and one batch may take four times as long as expected before it is late."""

_REMEMBERED = 64
"""Batches whose durations are kept."""


class Pending(msgspec.Struct, frozen=True, eq=False):
    """A complete window on its way to the next tick; `serial` numbers the accepted frames, from 1."""

    serial: int
    frame: Frame
    info: WindowInfo
    window: NDArray[np.float32]


class Inferred(msgspec.Struct, frozen=True, eq=False):
    """What came of a batch: a reading a window, None where there is none, and why some are missing."""

    readings: Sequence[Reading | None]
    failure: str | None = None


Answered: TypeAlias = "Outputs | str"
"""What a backend gave for a batch, or why it gave nothing."""


BaselinesOf: TypeAlias = Callable[[str, str], Mapping[str, Baseline]]
"""The baselines of an app's bundle, by the ids of app and bundle: by node, and always as they are now."""


FirstInference: TypeAlias = Callable[[str], AbstractContextManager[None]]
"""Makes, of a bundle's digest, what its first inference is run within."""


class Runner:
    """Runs one app: short batches where they are, if the app can't hang, the others on a thread of its own.

    Args:
        app: the app.
        baselines: what is known of the nodes while nothing happens, for heads that want it.
        first: what the first inference of a bundle, by its digest, is run within.
    """

    def __init__(
        self, app: App, baselines: BaselinesOf = lambda _app, _digest: {}, first: FirstInference | None = None
    ) -> None:
        self.app = app
        self._first = first
        self._uses_baselines = app.head.quiet is not None
        self._baselines = baselines(app.id, app.bundle.digest)
        self.worker: Worker[Outputs] = Worker(f"infer {app.id}")
        self._took_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._window_s = math.inf if app.only_computes else math.nan
        """What one window takes, lately; infinite before the first batch, not a number where a batch may hang."""
        manifest = app.bundle.manifest
        self._constants = manifest.id, manifest.version, app.bundle.digest, app.backend
        self._proof: asyncio.Future[Reproduced] | None = None
        self._expected_s = (app.golden_ms or 0.0) / 1e3
        """What a window of the next batch may take: that of the last batch, or half of what was expected of it. Before
        the first batch, what the golden input took, which is one window or more."""

    @property
    def batch_limit(self) -> int:
        """How many windows the next batch may have."""
        return max(1, min(MAX_BATCH, int(BATCH_TARGET_S / max(self._expected_s, 1e-9))))

    @property
    def median_s(self) -> float | None:
        """How long the model takes for a batch: the median of its last ones; None before the first."""
        took_s = self._took_s.copy()  # the thread goes on
        return statistics.median(took_s) if took_s else None

    def submit(self, batch: Sequence[Pending]) -> Answered | asyncio.Future[Outputs]:
        """Begin with a batch, or do it at once; where it still has not answered the one before, it is late."""
        if self.worker.unfinished:
            return _late()
        windows = [pending.window for pending in batch]
        proving = self._proof is not None and not self._proof.done()  # a session is used by one thread at a time
        if proving or not self._window_s * len(windows) <= SHORT_S:
            return self.worker.submit(partial(self._infer, windows))
        try:
            return self._infer(windows)
        except Exception as error:  # noqa: BLE001  # the plugin border: a backend may fail in any way
            return f"{type(error).__name__}: {error}"

    def prove(self) -> asyncio.Future[Reproduced]:
        """Reproduce the golden pair behind what the thread has to do already; no batch is refused for it.

        Whoever asks while a proof is under way gets that one, so that nothing piles up behind a model that hangs.
        """
        if self._proof is None or self._proof.done():
            self._proof = self.worker.aside(self.app.reproduce)
            self._proof.add_done_callback(_retrieve)  # nobody may be waiting any more
        return self._proof

    def _infer(self, windows: Sequence[NDArray[np.float32]]) -> Outputs:
        """Where it runs, so that a busy event loop does not count."""
        if self._first is not None:
            first, self._first = self._first, None
            with first(self.app.bundle.digest):
                return self._infer(windows)
        started_s = time.perf_counter()
        try:
            return self.app.infer(windows)
        finally:
            took_s = time.perf_counter() - started_s
            self._took_s.append(took_s)
            self._expected_s = max(took_s / len(windows), self._expected_s / 2)
            self._window_s = min(2 * self._window_s, took_s / len(windows))

    async def answered(self, future: asyncio.Future[Outputs], batch: Sequence[Pending]) -> Answered:
        """The answer to a batch that was submitted. Whatever the backend does, it raises nothing.

        A batch with a live window has the time of one window: others must not wait longer. A batch of a recording, of
        which nothing may be lost, has that time for each of its windows.

        Raises:
            CancelledError: the daemon ends.
        """
        recorded = all(pending.frame.origin is Origin.REPLAYED for pending in batch)
        limit_s = INFERENCE_LIMIT_S * (len(batch) if recorded else 1)
        try:
            async with asyncio.timeout(limit_s):  # `wait_for` may swallow being cancelled
                return await future
        except TimeoutError:
            return _late()
        except Exception as error:  # noqa: BLE001  # the plugin border: a backend may fail in any way
            return f"{type(error).__name__}: {error}"

    def read(self, outputs: Answered, batch: Sequence[Pending], tick: int) -> Inferred:
        """What the answer means for each window of the batch. Whatever the head does, it raises nothing."""
        if isinstance(outputs, str):
            return Inferred([None] * len(batch), outputs)
        for values in outputs.values():
            # One pass sees every NaN and infinity; values whose squares overflow are looked at again.
            flat = values.ravel()
            if not math.isfinite(flat.dot(flat)):
                break
        else:
            return self._read(outputs, batch, tick)
        finite = np.all(
            [np.isfinite(values).reshape(len(batch), -1).all(axis=1) for values in outputs.values()], axis=0
        )
        if finite.all():
            return self._read(outputs, batch, tick)
        failure = "its output is not finite"
        good = [pending for pending, is_finite in zip(batch, finite, strict=True) if is_finite]
        if not good:
            return Inferred([None] * len(batch), failure)
        read = self._read({name: values[finite] for name, values in outputs.items()}, good, tick)
        rows = iter(read.readings)
        return Inferred([next(rows) if is_finite else None for is_finite in finite], read.failure or failure)

    def _read(self, outputs: Outputs, batch: Sequence[Pending], tick: int) -> Inferred:
        app, version, digest, backend = self._constants
        contexts = [
            Context(
                tick=tick,
                app=app,
                version=version,
                digest=digest,
                backend=backend,
                node=pending.frame.node,
                time=pending.frame.time_s,
                origin=pending.frame.origin,
                window=pending.info,
            )
            for pending in batch
        ]
        try:
            if self._uses_baselines:
                known = [self._baselines.get(context.node) for context in contexts]
                readings = self.app.head.read(outputs, contexts, known)
            else:
                readings = self.app.head.read(outputs, contexts)
        except Exception as error:  # noqa: BLE001  # the plugin border: so may a head
            return Inferred([None] * len(batch), f"{type(error).__name__}: {error}")
        if len(readings) != len(batch):
            return Inferred([None] * len(batch), f"its head gave {len(readings)} readings of {len(batch)} windows")
        return Inferred(readings)

    def close(self) -> None:
        """End the thread after the batch that it has."""
        self.worker.close()


def _late() -> str:
    return f"no answer within {INFERENCE_LIMIT_S:g} s"


def _retrieve(proof: asyncio.Future[Reproduced]) -> None:
    if not proof.cancelled():
        proof.exception()
