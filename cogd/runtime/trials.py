"""What is installed takes the place of what runs: between two ticks, on trial, and back again if it fails."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import structlog

from cogd.bundle.load import RejectedApp
from cogd.csi.link import MAX_RATE_HZ
from cogd.errors import BundleError, CogdError
from cogd.events import AppRejected, AppRemoved, AppRolledBack, AppUpdated
from cogd.runtime.canary import Canary, Pace, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cogd.bundle.manifest import InputSpec
    from cogd.bundle.verify import VerifiedBundle
    from cogd.clock import Clock
    from cogd.events import Emitter
    from cogd.runtime.app import App
    from cogd.runtime.engine import Engine

_FILLS: Final = 2.0
"""So often the time that a window spans at its nominal rate may windows take to fill, where the canary is shorter."""


class AppOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload did to one app.

    Attributes:
        outcome: `pending` is not proven yet; `rolled_back` failed, and the version before serves; `rejected` is not
            run, and where an older version runs, that goes on.
        version: that this is said of, if it is known.
        reason: why it is pending, rejected, rolled back or removed.
        code: the error's, if there is one.
        kept: of `rolled_back`: whether the installed version went back too.
    """

    outcome: Literal["pending", "confirmed", "rolled_back", "added", "removed", "unchanged", "rejected"]
    version: str | None = None
    reason: str | None = None
    code: str | None = None
    kept: bool | None = None


@dataclass(frozen=True)
class Result:
    """The outcome of one app, known now or later."""

    version: str | None
    done: asyncio.Future[AppOutcome]


@dataclass(frozen=True)
class Failure:
    """A version that failed, and what serves instead.

    Attributes:
        bundle: of the version.
        digests: of the installed versions to take back, in this order: its own, and those of versions that it came on
            top of before they had proven themselves.
        to: what serves.
        tick: the first of which the failed version serves no frame.
        reason: what was wrong.
        code: the error's, where it could not be loaded.
    """

    bundle: VerifiedBundle
    digests: Sequence[str]
    to: App
    tick: int
    reason: str
    code: str | None = None


@dataclass
class Found:
    """What is installed.

    Attributes:
        bundles: that may run.
        rejected: that may not.
        loaded: what was loaded of them, by digest; of what can't be loaded the error.
        no_trial: digests of those that are taken without a canary.
        distrusted: by digest, why the signers of versions that are loaded already are not believed any more; of apps
            with a rejected bundle alone.
    """

    bundles: Sequence[VerifiedBundle] = ()
    rejected: Sequence[RejectedApp] = ()
    loaded: dict[str, App | CogdError] = field(default_factory=dict)
    no_trial: set[str] = field(default_factory=set)
    distrusted: dict[str, BundleError] = field(default_factory=dict)


@dataclass
class _Trial:
    """A new version that has not proven itself yet, or, without a canary, one that need not but whose windows fill."""

    app: App
    previous: App
    canary: Canary | None
    digests: Sequence[str]
    fill_until_s: float
    done: asyncio.Future[AppOutcome]
    serves: bool = False

    @property
    def version(self) -> str:
        return self.app.bundle.manifest.version


class Trials:
    """Changes the apps of an engine. Every method is called between two ticks and waits for nothing.

    Args:
        engine: whose apps are changed.
        emitter: receives `app.*`.
        clock: where times come from.
        canary_s: how long a new version is watched.
        tick_s: what there is time for to infer a batch.
        proven: told of every version that has proven itself.
        take_back: told of every version that failed and of the future that waits for its outcome.
        rejected: bundles of which was said already that they do not run.
    """

    def __init__(
        self,
        engine: Engine,
        emitter: Emitter,
        clock: Clock,
        canary_s: float,
        *,
        tick_s: float,
        proven: Callable[[App], None],
        take_back: Callable[[Failure, asyncio.Future[AppOutcome]], None],
        rejected: Iterable[RejectedApp],
    ) -> None:
        self._engine, self._emitter, self._clock = engine, emitter, clock
        self._canary_s, self._tick_s = canary_s, tick_s
        self._proven, self._take_back = proven, take_back
        self._told = {(item.path, str(item.error)) for item in rejected}
        self._trials: dict[str, _Trial] = {}
        self._log = structlog.get_logger()

    def state(self, app_id: str) -> Literal["filling", "serving"] | None:
        """How far the new version of an app is that has not proven itself yet, if there is one."""
        trial = self._trials.get(app_id)
        if trial is None:
            return None
        return "serving" if trial.serves else "filling"

    def versions(self, app_id: str) -> list[App]:
        """What is loaded of an app: what serves, and what is tried or stands by."""
        place, trial = self._engine.place(app_id), self._trials.get(app_id)
        loaded = [place.active.app] if place is not None else []
        return loaded + ([trial.app, trial.previous] if trial is not None else [])

    def in_memory(self) -> set[str]:
        """Digests of what is loaded: what runs, what is tried and what stands by."""
        tried = [app for trial in self._trials.values() for app in (trial.app, trial.previous)]
        return {app.bundle.digest for app in [*self._engine.apps, *tried]}

    def apply(self, found: Found) -> dict[str, Result] | None:
        """Let what is installed run; None where something that it needs has left the memory since it was read."""
        here = self.in_memory() | found.loaded.keys()
        if any(bundle.digest not in here for bundle in found.bundles):
            return None
        told, self._told = self._told, set()
        results = {bundle.manifest.id: self._install(bundle, found, told) for bundle in found.bundles}
        for item in found.rejected:
            self._emit_rejected(item, told)
            if item.id not in results:
                results[item.id or item.path] = self._refuse(item, found.distrusted)
        for app in self._engine.apps:
            if app.id not in results:
                results[app.id] = self._remove(app, "it is no longer installed")
        return results

    def watch(self) -> None:
        """See how the new versions do."""
        for trial in list(self._trials.values()):
            now_s = self._clock.monotonic_s()
            if not trial.serves and (
                self._engine.ready(trial.app.id) or (trial.canary is None and now_s >= trial.fill_until_s)
            ):
                self._serve(trial)
            elif trial.canary is not None:
                self._judge(trial, trial.canary, now_s)
            elif trial.serves:  # for one tick: what waited for the version before is inferred
                self._confirm(trial)

    def _serve(self, trial: _Trial) -> None:
        self._engine.replace(trial.app.id)
        trial.serves = True
        if trial.canary is not None:
            trial.canary.serves()
        self._emit_updated(trial.app, trial.previous, self._canary_s if trial.canary is not None else 0.0)

    def _judge(self, trial: _Trial, canary: Canary, now_s: float) -> None:
        place, seen = self._engine.place(trial.app.id), self._engine.progress(trial.app.id)
        pace = None
        if place is not None and place.standby is not None:
            pace = Pace(self._tick_s, place.active.median_s, place.standby.median_s)
        verdict = canary.observe(now_s, seen.windows, seen.events, seen.failure, pace)
        if verdict is Verdict.CONFIRMED:
            self._confirm(trial)
        elif verdict is Verdict.FAILED:
            self._take_back(self._revert(trial, canary.reason), trial.done)

    def _install(self, bundle: VerifiedBundle, found: Found, told: set[tuple[str, str]]) -> Result:
        app_id, version = bundle.manifest.id, bundle.manifest.version
        place, trial = self._engine.place(app_id), self._trials.get(app_id)
        if trial is not None and bundle.digest == trial.app.bundle.digest:
            return Result(version, trial.done)
        if trial is not None and bundle.digest == trial.previous.bundle.digest:
            self._abandon(trial, f"{version} was installed again", kept=True)
            return _now(AppOutcome(outcome="confirmed", version=version))
        if place is not None and bundle.digest == place.active.app.bundle.digest:
            return _now(AppOutcome(outcome="unchanged", version=version))
        app = found.loaded[bundle.digest]
        if isinstance(app, CogdError):
            if place is None:
                self._emit_rejected(RejectedApp(app_id, app), told)
                return _now(AppOutcome(outcome="rejected", version=version, reason=str(app), code=app.code))
            result = Result(version, _future())
            failure = Failure(bundle, [bundle.digest], place.active.app, self._next_tick, str(app), app.code)
            self._take_back(failure, result.done)
            return result
        if place is None:
            self._engine.add(app)
            self._emit_updated(app, None, 0.0)
            return _now(AppOutcome(outcome="added", version=version))
        digests = [bundle.digest]
        if trial is not None and trial.canary is None and trial.serves:  # it has served for a tick
            self._confirm(trial)
        elif trial is not None:
            digests += trial.digests
            self._abandon(trial, f"{version} came before it had proven itself", kept=False)
        return self._try(app, place.active.app, digests, watched=bundle.digest not in found.no_trial)

    def _try(self, app: App, previous: App, digests: Sequence[str], *, watched: bool) -> Result:
        old, new = previous.bundle.manifest.input, app.bundle.manifest.input
        fill_s = max(self._canary_s, _FILLS * new.frames / new.rate_hz)
        canary = Canary(self._canary_s, _rate_hz(old, new), new.rate_hz, fill_s) if watched else None
        until_s = self._clock.monotonic_s() + fill_s
        trial = _Trial(app, previous, canary, digests if watched else [], until_s, _future())
        self._trials[app.id] = trial
        self._engine.prepare(app)
        return Result(trial.version, trial.done)

    def _confirm(self, trial: _Trial) -> None:
        del self._trials[trial.app.id]
        self._engine.settle(trial.app.id)
        if trial.canary is not None:
            self._log.info("new version confirmed", app=trial.app.id, version=trial.version)
            self._proven(trial.app)
        trial.done.set_result(AppOutcome(outcome="confirmed", version=trial.version))

    def _abandon(self, trial: _Trial, reason: str, *, kept: bool) -> None:
        """Go back from a version in whose place another was installed before it had proven itself."""
        self.emit_rolled_back(self._revert(trial, reason), kept=kept)
        trial.done.set_result(AppOutcome(outcome="rolled_back", version=trial.version, reason=reason, kept=kept))

    def _revert(self, trial: _Trial, reason: str) -> Failure:
        del self._trials[trial.app.id]
        self._engine.revert(trial.app.id)
        return Failure(trial.app.bundle, trial.digests, trial.previous, self._next_tick, reason)

    def _refuse(self, item: RejectedApp, distrusted: Mapping[str, BundleError]) -> Result:
        """An installed version that may not run: what runs of the app goes on, unless its own signers are not believed.

        A version on trial of distrusted signers ends; whether the one before goes on is up to its own.
        """
        place = self._engine.place(item.id) if item.id is not None else None
        if place is not None:
            trial = self._trials.get(place.id)
            before = place.active.app if trial is None else trial.previous
            if trial is not None and before.bundle.digest not in distrusted:
                if (error := distrusted.get(trial.app.bundle.digest)) is not None:
                    self._abandon(trial, str(error), kept=False)
            elif (error := distrusted.get(place.active.app.bundle.digest)) is not None:
                self._remove(place.active.app, str(error))
        return _now(AppOutcome(outcome="rejected", reason=str(item.error), code=item.error.code))

    def _remove(self, app: App, reason: str) -> Result:
        version, digest = app.bundle.manifest.version, app.bundle.digest
        outcome = AppOutcome(outcome="removed", version=version, reason=reason)
        self._engine.remove(app.id)
        if (trial := self._trials.pop(app.id, None)) is not None:
            trial.done.set_result(outcome)
        self._emitter.emit(AppRemoved(app=app.id, version=version, digest=digest, reason=reason))
        return _now(outcome)

    def emit_rolled_back(self, failure: Failure, *, kept: bool) -> None:
        """Report that a version failed, and whether the installed version went back too."""
        manifest, to = failure.bundle.manifest, failure.to.bundle
        fields = AppRolledBack(
            app=manifest.id,
            version=manifest.version,
            digest=failure.bundle.digest,
            to_version=to.manifest.version,
            to_digest=to.digest,
            reason=failure.reason,
            code=failure.code,
            tick=failure.tick,
            kept=kept,
        )
        self._emitter.emit(fields)
        self._log.error(
            "went back to the version before", app=manifest.id, version=manifest.version, reason=failure.reason
        )

    def _emit_updated(self, app: App, previous: App | None, canary_s: float) -> None:
        fields = AppUpdated(
            app=app.id,
            version=app.bundle.manifest.version,
            digest=app.bundle.digest,
            backend=app.backend,
            previous_version=previous.bundle.manifest.version if previous is not None else None,
            previous_digest=previous.bundle.digest if previous is not None else None,
            tick=self._next_tick,
            canary_s=canary_s,
        )
        self._emitter.emit(fields)

    def _emit_rejected(self, item: RejectedApp, told: set[tuple[str, str]]) -> None:
        """Report why a bundle does not run, unless the last reload reported it."""
        what, error = (item.path, str(item.error)), item.error
        self._told.add(what)
        if what not in told:
            fields = AppRejected(path=item.path, code=error.code, message=str(error), hint=error.hint)
            self._emitter.emit(fields)
            self._log.error("app rejected", path=item.path, code=error.code, message=str(error), hint=error.hint)

    @property
    def _next_tick(self) -> int:
        return self._engine.ticks + 1


def _future() -> asyncio.Future[AppOutcome]:
    return asyncio.get_running_loop().create_future()


def _now(outcome: AppOutcome) -> Result:
    result = Result(outcome.version, _future())
    result.done.set_result(outcome)
    return result


def _rate_hz(old: InputSpec, new: InputSpec) -> float:
    """The rate of the old version's windows that the new one's is measured against.

    Cells give `rate_hz` windows a second and no more, frames as many as come: of them the most that may come count.
    """
    if (old.columns, new.columns) != ("frames", "cell_median"):
        return old.rate_hz
    return max(old.rate_hz, min(MAX_RATE_HZ, 1 / old.min_gap_s) if old.min_gap_s else MAX_RATE_HZ)
