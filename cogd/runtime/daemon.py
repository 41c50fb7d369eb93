"""The daemon: sources, the tick, sinks and signals around the engine."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import structlog

import cogd
from cogd.clock import Beat, SystemClock
from cogd.control.server import ControlServer
from cogd.csi.link import LinkLimits
from cogd.events import AppRejected, Emitter, Event, RunStarted, RunStopped, RunTotals
from cogd.runtime.answers import Answers
from cogd.runtime.baselines import Baselines
from cogd.runtime.calibrator import Calibrator
from cogd.runtime.combining import Combining
from cogd.runtime.engine import TICK_S, Engine
from cogd.runtime.intake import SourceIntake
from cogd.runtime.reload import Reloader
from cogd.runtime.runner import Runner
from cogd.runtime.sinks import Sinks
from cogd.runtime.sources import run_sources
from cogd.runtime.state import LastEvents
from cogd.runtime.urls import make_sinks, make_sources
from cogd.sinks.base import DaemonState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cogd.bundle.load import RejectedApp
    from cogd.clock import Clock
    from cogd.errors import SourceError
    from cogd.runtime.app import App
    from cogd.runtime.catalogue import Catalogue
    from cogd.runtime.runner import FirstInference
    from cogd.settings import Settings
    from cogd.sinks.base import Sink

_LAST_TICK_S = 0.8
"""What inference gets to finish after the stop. The sources get 0.3 s after that, the sinks 0.8 s: together < 2 s."""


class Daemon:
    """Runs apps on sources until told to stop, until every source has ended, or for a given time.

    With a catalogue it takes what was installed meanwhile, when its control socket or SIGHUP tells it to; at once, if
    there is a version that has not proven itself, or an app that is still being loaded. Sinks that are given stand in
    the place of the settings'.

    Raises:
        ConfigError: a sink can't be made of its URL.
        SourceError, PluginError: a source can't be made of its URL.
    """

    def __init__(
        self,
        apps: Sequence[App],
        rejected: Sequence[RejectedApp],
        settings: Settings,
        clock: Clock | None = None,
        catalogue: Catalogue | None = None,
        first_inference: FirstInference | None = None,
        sinks: Sequence[Sink] | None = None,
    ) -> None:
        self._settings = settings
        self._rejected = rejected
        self._clock = clock or SystemClock()
        self._log = structlog.get_logger()
        self._last_events = LastEvents()
        made = make_sinks(settings, self._clock) if sinks is None else sinks
        self._sinks = Sinks(made, self._clock, self._state, self.stop)
        sources = make_sources(settings, self._clock)
        simulators = {source.name for source, url in sources if url.scheme == "sim"}
        limits = LinkLimits(settings.stale_after_s, settings.absent_after_s, settings.frozen_after)
        baselines = Baselines(settings.state_dir)
        self._emitter = Emitter(self._clock, self._emit)
        self._engine = Engine(
            apps,
            limits,
            self._clock,
            self._emitter,
            believe_simulated=lambda source: settings.believe_simulated or source in simulators,
            max_pending=settings.max_pending,
            max_wait_s=settings.max_wait_ms / 1000,
            run=partial(Runner, baselines=baselines.of, first=first_inference),
        )
        self._calibrator = Calibrator(self._engine, baselines, self._clock, self._emitter)
        if settings.fuse_counts:
            self._engine.observers.append(Combining(self._emitter).observe)
        self._begin_with_a_reload = catalogue is not None and (catalogue.on_trial or catalogue.unfinished)
        self._reloader = Reloader(
            self._engine, self._emitter, catalogue, self._clock, settings.canary_s, settings.tick_ms / 1000, rejected
        )
        now_s = self._clock.monotonic_s()
        self._sources = [
            (source, SourceIntake(source.name, self._engine, self._emitter, now_s, self._sinks.have_room))
            for source, _ in sources
        ]
        answers = Answers(
            self._engine,
            self._reloader,
            self._calibrator,
            [intake for _, intake in self._sources],
            self._clock,
            lambda: self._missed_ticks,
        )
        self._control = ControlServer(settings.control_socket, answers.answer, answers.health)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._reason = ""
        self._missed_ticks = 0
        self._started_s = now_s

    def stop(self, reason: str) -> None:
        """Ask it to end within 2 s; the first reason stands."""
        self._wind_down(reason)
        self._hurry.set()

    def _wind_down(self, reason: str) -> None:
        """Ask it to end once what has been heard is inferred."""
        if not self._stop.is_set():
            self._reason = reason
            self._stop.set()
            self._engine.news.set()

    async def run(self, duration_s: float | None = None) -> None:
        """Run until stopped; the first event is `run.started`, the last `run.stopped`.

        Raises:
            SourceError: no source is left, and one could not be opened.
            SinkError: no sink was left, for another reason than that the reader has gone; or one had failed at the
                end and lost events.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, signal.Signals(number).name)
        loop.add_signal_handler(signal.SIGHUP, self._reloader.request)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # `cogd run` holds it back until here
        if duration_s is not None:
            loop.call_later(duration_s, self.stop, f"the duration of {duration_s:g} s is over")
        self._started_s = self._clock.monotonic_s()
        self._sinks.open()
        self._emit_started()
        self._calibrator.load()
        self._calibrator.look()
        if self._begin_with_a_reload:
            self._reloader.request()
        await self._control.open()
        failure: SourceError | None = None
        hurrying = asyncio.create_task(self._hurry.wait(), name="hurry")
        ticking = asyncio.create_task(self._tick_until_stopped(), name="tick")
        listening = asyncio.create_task(run_sources(self._sources, self._clock), name="sources")
        try:
            await asyncio.wait({hurrying, ticking, listening}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                failure = listening.result()
                self._wind_down(f"a source failed: {failure}" if failure else "all sources have ended")
            listening.cancel()
            await asyncio.wait({hurrying, ticking}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({ticking}, timeout=_LAST_TICK_S)
            if ticking.done():
                ticking.result()
        finally:
            for task in (listening, ticking, hurrying):
                task.cancel()
            await asyncio.gather(listening, ticking, hurrying, return_exceptions=True)
            await self._control.close()
            await self._reloader.close()
            await self._emit_stopped()
        if failure is not None:
            raise failure
        if (lost := self._sinks.failure()) is not None:
            raise lost

    async def _tick_until_stopped(self) -> None:
        """Tick on the beat, and between two beats as soon as there is something to infer."""
        now_s = self._clock.monotonic_s()
        beat = Beat(now_s, self._settings.tick_ms / 1000)
        beat_s = now_s + beat.next(now_s)[0]
        begun_s = ended_s = -math.inf
        while not self._stop.is_set():
            now_s = self._clock.monotonic_s()
            next_s = self._next_tick_s(beat_s, begun_s, ended_s)
            if now_s < next_s:
                await self._news_for(next_s - now_s)
                continue
            on_beat, begun_s = now_s >= beat_s, now_s
            await self._engine.tick(beat=on_beat or self._engine.full.is_set())  # a replay's time passes faster
            self._reloader.between_ticks()
            ended_s = self._clock.monotonic_s()
            if on_beat:
                self._calibrator.look()
                self._check_outside()
                wait_s, missed = beat.next(ended_s)
                beat_s = ended_s + wait_s
                self._missed_ticks += missed
        await self._engine.tick()
        while self._engine.waiting:
            await asyncio.sleep(0)  # let the sinks take what was emitted
            await self._engine.tick()

    def _next_tick_s(self, beat_s: float, begun_s: float, ended_s: float) -> float:
        """When to tick again, after a tick that lasted from `begun_s` to `ended_s`.

        At once for a frame that waits for room, soon for a window that waits, else on the beat. Where frames were read
        so late that the kernel may be about to throw some away, the sources get as much time as the tick may take.
        """
        if self._engine.full.is_set():
            return -math.inf
        if not self._engine.waiting:
            return beat_s
        next_s = min(beat_s, begun_s + self._settings.batch_ms / 1000)
        return next_s if self._engine.behind_s < TICK_S else max(next_s, ended_s + min(TICK_S, ended_s - begun_s))

    async def _news_for(self, seconds: float) -> None:
        """Sleep for so long, or until there is something to infer or an end to come to."""
        news = self._engine.news
        timer = asyncio.get_running_loop().call_later(seconds, news.set)
        try:
            await news.wait()
        finally:
            timer.cancel()
            news.clear()

    def _check_outside(self) -> None:
        """See whether sources fell silent."""
        now_s = self._clock.monotonic_s()
        for _, intake in self._sources:
            intake.silent(now_s, self._settings.absent_after_s)

    def _emit(self, event: Event) -> None:
        self._last_events.keep(event)
        self._sinks.put(event)

    def _emit_started(self) -> None:
        self._emitter.emit(
            RunStarted(
                cogd=cogd.__version__,
                pid=os.getpid(),
                apps=[app.info() for app in self._engine.apps],
                sources=list(self._settings.sources),
                tick_ms=self._settings.tick_ms,
            ),
        )
        for rejected in self._rejected:
            error = rejected.error
            fields = AppRejected(path=rejected.path, code=error.code, message=str(error), hint=error.hint)
            self._emitter.emit(fields)
            self._log.error("app rejected", path=rejected.path, code=error.code, message=str(error), hint=error.hint)

    def _run_totals(self) -> RunTotals:
        return RunTotals(
            uptime_s=round(self._clock.monotonic_s() - self._started_s, 3),
            ticks=self._engine.ticks,
            missed_ticks=self._missed_ticks,
            inferences=dict(self._engine.inferences),
            dropped={**self._engine.dropped, **self._sinks.dropped},
            sources={intake.name: dict(intake.counts) for _, intake in self._sources},
            nodes=self._engine.nodes.totals(),
        )

    def _state(self) -> DaemonState:
        return DaemonState(
            **msgspec.structs.asdict(self._run_totals()),
            apps=[app.info() for app in self._engine.apps],
            links=self._engine.nodes.links(),
            last_events=self._last_events.copy(),
        )

    async def _emit_stopped(self) -> None:
        """Emit `run.stopped`, when the sinks have taken the rest: it counts what they did not take in time."""
        self._engine.close()
        await self._sinks.drain(self._hurry)
        totals = msgspec.structs.asdict(self._run_totals())
        self._emitter.emit(RunStopped(**totals, reason=self._reason or "an internal error"))
        await self._sinks.close(self._hurry)
