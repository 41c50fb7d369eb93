"""Reload: read and load what is installed, on threads, and hand it over between two ticks.

What it then does to the running apps is in `trials.py`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeVar

import structlog

from cogd.errors import BundleError, CogdError, ControlError, StorageError
from cogd.runtime.loader import LIMITS, LoadLimits, load_aside
from cogd.runtime.trials import AppOutcome, Failure, Found, Result, Trials
from cogd.runtime.worker import on_a_thread

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    from cogd.bundle.load import RejectedApp
    from cogd.bundle.verify import VerifiedBundle
    from cogd.clock import Clock
    from cogd.events import Emitter
    from cogd.runtime.app import App
    from cogd.runtime.catalogue import Catalogue
    from cogd.runtime.engine import Engine

GRACE_S: Final = 5.0
"""How much longer than the canary a request waits for its answer."""

_LAST_NOTE_LIMIT_S: Final = 0.3
"""The same while the daemon ends, within 2 s in all."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class ReloadLimits:
    """What the parts of a reload may take.

    Attributes:
        scan_s: seconds for reading the installed apps, or the trusted keys.
        load: for loading one app.
        take_back_s: seconds for changing the installed version.
    """

    scan_s: float = 60.0
    load: LoadLimits = LIMITS
    take_back_s: float = 20.0


_Results = dict[str, Result]


class Reloader:
    """Keeps what runs in step with what is installed.

    Args:
        engine: whose apps are changed, by `between_ticks` alone.
        emitter: receives `app.*`.
        catalogue: what is installed; None: the apps of this daemon never change.
        clock: where times come from.
        canary_s: how long a new version is watched.
        tick_s: what there is time for to infer a batch.
        rejected: bundles of which was said already that they do not run.
        limits: of what may hang.
    """

    def __init__(
        self,
        engine: Engine,
        emitter: Emitter,
        catalogue: Catalogue | None,
        clock: Clock,
        canary_s: float,
        tick_s: float,
        rejected: Iterable[RejectedApp] = (),
        *,
        limits: ReloadLimits | None = None,
    ) -> None:
        self._limits = limits or ReloadLimits()
        self._engine, self._catalogue, self._canary_s = engine, catalogue, canary_s
        self._trials = Trials(
            engine,
            emitter,
            clock,
            canary_s,
            tick_s=tick_s,
            proven=self._note_proven,
            take_back=self._take_back,
            rejected=rejected,
        )
        self._log = structlog.get_logger()
        self._changes: deque[tuple[Found, asyncio.Future[_Results | None]]] = deque()
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[object]] = set()
        self._signalled: set[asyncio.Task[object]] = set()
        self._going_back: set[asyncio.Task[object]] = set()
        self._noting: set[asyncio.Task[object]] = set()

    def request(self) -> None:
        """Reload without an answer; what goes wrong is logged."""
        if len(self._signalled) < 2:  # one at work, and one that will see whatever was installed by now
            self._start(self._change_or_log(), self._signalled)

    async def reload(self) -> dict[str, AppOutcome]:
        """Reload and tell what came of every app, `GRACE_S` after its canary should be over at the latest.

        Whoever waits for it may go away: the reload goes on.

        Raises:
            ControlError: the apps of this daemon never change.
            CogdError: what is installed can't be read; nothing was changed.
        """
        return await asyncio.shield(self._start(self._change_and_wait(), set()))

    def trial(self, app_id: str) -> Literal["filling", "serving"] | None:
        """How far the new version of an app is that has not proven itself yet, if there is one."""
        return self._trials.state(app_id)

    def between_ticks(self) -> None:
        """Make the changes that are due, and see how new versions do. Waits for nothing."""
        while self._changes:
            found, made = self._changes.popleft()
            if not made.cancelled():
                made.set_result(self._trials.apply(found))
        self._trials.watch()

    async def close(self) -> None:
        """End what is under way; a change that was not made yet is not made."""
        if self._noting:
            await asyncio.wait(self._noting, timeout=_LAST_NOTE_LIMIT_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _change_or_log(self) -> None:
        try:
            await self._change()
        except CogdError as error:
            self._log.error("nothing reloaded", code=error.code, message=str(error), hint=error.hint)

    async def _change_and_wait(self) -> dict[str, AppOutcome]:
        results = await self._change()
        if later := [result.done for result in results.values() if not result.done.done()]:
            await asyncio.wait(later, timeout=self._canary_s + GRACE_S)
        return {
            app_id: result.done.result()
            if result.done.done()
            else AppOutcome(outcome="pending", version=result.version, reason="there was not enough input to prove it")
            for app_id, result in sorted(results.items())
        }

    async def _change(self) -> _Results:
        """Read what is installed, load what is new, and hand it over between two ticks."""
        if self._catalogue is None:
            raise ControlError("the apps of this daemon never change", hint="restart it with other ones")
        async with self._one_at_a_time:
            found = Found()
            while True:
                if self._going_back:  # else what is being taken back would be tried again
                    await asyncio.wait(self._going_back)
                found.bundles, found.rejected = await self._scan(self._catalogue)
                for bundle in found.bundles:
                    if bundle.digest not in self._trials.in_memory() | found.loaded.keys():
                        await self._add(self._catalogue, bundle, found)
                found.distrusted = await self._distrusted(self._catalogue, found.rejected)
                made: asyncio.Future[_Results | None] = asyncio.get_running_loop().create_future()
                self._changes.append((found, made))
                if (results := await made) is not None:
                    return results

    async def _scan(self, catalogue: Catalogue) -> tuple[list[VerifiedBundle], list[RejectedApp]]:
        try:
            return await on_a_thread("scan apps", catalogue.scan, self._limits.scan_s)
        except TimeoutError as error:
            raise StorageError(f"reading the apps took longer than {self._limits.scan_s:g} s") from error

    async def _distrusted(self, catalogue: Catalogue, rejected: Iterable[RejectedApp]) -> dict[str, BundleError]:
        """Of apps with a rejected bundle, the loaded versions that are not trusted any more, by digest."""
        found: dict[str, BundleError] = {}
        for item in rejected:
            for app in self._trials.versions(item.id) if item.id is not None else ():
                try:
                    await on_a_thread("check trust", partial(catalogue.check_trust, app.bundle), self._limits.scan_s)
                except BundleError as error:
                    found[app.bundle.digest] = error
                except TimeoutError as error:
                    raise StorageError(
                        f"reading the trusted keys took longer than {self._limits.scan_s:g} s"
                    ) from error
        return found

    async def _add(self, catalogue: Catalogue, bundle: VerifiedBundle, found: Found) -> None:
        """Load a version, and see whether it has to prove itself beside the one that runs, if one does."""
        place = self._engine.place(bundle.manifest.id)
        trying = place is not None and place.active.app.bundle.digest != bundle.digest
        app = found.loaded[bundle.digest] = await self._load(catalogue, bundle)
        if trying and not isinstance(app, CogdError) and not await self._needs_trial(catalogue, bundle):
            found.no_trial.add(bundle.digest)

    async def _needs_trial(self, catalogue: Catalogue, bundle: VerifiedBundle) -> bool:
        app_id = bundle.manifest.id
        try:
            return await on_a_thread(f"look at {app_id}", partial(catalogue.needs_trial, bundle), self._limits.scan_s)
        except (CogdError, TimeoutError) as error:
            self._log.warning("a version is tried for want of an answer", app=app_id, message=str(error))
            return True

    async def _load(self, catalogue: Catalogue, bundle: VerifiedBundle) -> App | CogdError:
        call = partial(catalogue.load, bundle)
        try:
            return await load_aside(bundle.manifest.id, call, self._limits.load)
        except CogdError as error:
            return error

    def _note_proven(self, app: App) -> None:
        if self._catalogue is not None:
            self._start(self._noting_proven(self._catalogue, app), self._noting)

    async def _noting_proven(self, catalogue: Catalogue, app: App) -> None:
        """Remember that a version has proven itself; without it the version is tried again after the next start."""
        try:
            call = partial(catalogue.note_proven, app.id, app.bundle.digest)
            await on_a_thread(f"note {app.id}", call, self._limits.take_back_s)
        except (CogdError, TimeoutError) as error:
            self._log.warning("how a new version does can't be noted", app=app.id, message=str(error))

    def _take_back(self, failure: Failure, done: asyncio.Future[AppOutcome]) -> None:
        self._start(self._taking_back(failure, done), self._going_back)

    async def _taking_back(self, failure: Failure, done: asyncio.Future[AppOutcome]) -> None:
        """Let the installed version go back too, then say so; in memory the version before serves already."""
        version, kept = failure.bundle.manifest.version, False
        try:
            kept = await self._installed_goes_back(failure.to.id, failure.digests)
        finally:  # it is said even if the daemon ends meanwhile
            self._trials.emit_rolled_back(failure, kept=kept)
            reason, code = failure.reason, failure.code
            done.set_result(AppOutcome(outcome="rolled_back", version=version, reason=reason, code=code, kept=kept))

    async def _installed_goes_back(self, app_id: str, digests: Sequence[str]) -> bool:
        if self._catalogue is None:
            return False
        try:
            for digest in digests:
                call = partial(self._catalogue.take_back, app_id, digest)
                await on_a_thread(f"take back {app_id}", call, self._limits.take_back_s)
        except TimeoutError:
            self._log.error("the failed version stays installed", app=app_id, message="the disk does not answer")
            return False
        except CogdError as error:
            self._log.error("the failed version stays installed", app=app_id, code=error.code, message=str(error))
            return False
        return True

    def _start(self, work: Coroutine[object, object, _T], group: set[asyncio.Task[object]]) -> asyncio.Task[_T]:
        """Run something that outlives whoever asked for it, until `close`."""
        task = asyncio.create_task(work)
        for tasks in (self._tasks, group):
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        return task
