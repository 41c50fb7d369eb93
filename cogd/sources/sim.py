"""The source `sim:`: the simulator in real time, or as fast as it goes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from cogd.csi.frame import Origin
from cogd.errors import SourceError
from cogd.sim.domain import DOMAINS, KIT
from cogd.sim.simulator import Scene, Simulator
from cogd.sources.base import query_parameters
from cogd.wire import adr018

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from cogd.sim.simulator import Chunk
    from cogd.sources.base import Intake, SourceOptions

_CHUNK_S = 1.0
_Number = TypeVar("_Number", int, float)


class SimSource:
    """`sim:?nodes=2&persons=1&seed=7`, further `room=SEED`, `domain=NAME`, `rate=HZ`, `speed=1|max`, `seconds=S`."""

    def __init__(self, name: str, url: SplitResult, options: SourceOptions) -> None:
        given = query_parameters(name, url, ("nodes", "persons", "seed", "room", "domain", "rate", "speed", "seconds"))
        if url.netloc or url.path:
            raise SourceError(f"source {name}: `sim:` takes parameters behind a `?` only")
        self.name = name
        self._clock = options.clock
        domain = DOMAINS.get(given.get("domain", KIT.name))
        if domain is None:
            raise SourceError(f"source {name}: there is no domain {given['domain']!r}: {', '.join(DOMAINS)}")
        try:
            self._scene = Scene(
                nodes=_within(int(given.get("nodes", "2")), 1, 255),
                persons=_within(int(given.get("persons", "1")), 0, 7),
                seed=_within(int(given.get("seed", "7")), 0, 2**31),
                room=_within(int(given["room"]), 0, 2**31) if "room" in given else None,
                rate_hz=_within(float(given.get("rate", "20")), 1, 100),
                domain=domain,
            )
            self._seconds = _within(float(given["seconds"]), 0, 1e9) if "seconds" in given else None
        except ValueError as error:
            raise SourceError(f"source {name}: {url.geturl()}: {error}") from error
        if given.get("speed", "1") not in {"1", "max"}:
            raise SourceError(f"source {name}: speed is {given['speed']!r}, not 1 or max")
        self._live = given.get("speed", "1") == "1"

    async def run(self, intake: Intake) -> None:
        """Deliver simulated frames until cancelled, or for the seconds asked for."""
        simulator = Simulator(self._scene)
        started_s, unix_s = self._clock.monotonic_s(), self._clock.unix_s()
        frames = max(1, round(_CHUNK_S * self._scene.rate_hz))
        played = 0
        intake.up()
        while self._seconds is None or played / self._scene.rate_hz < self._seconds:
            chunk = await asyncio.to_thread(simulator.advance, frames)
            await self._deliver(chunk, intake, started_s, unix_s)
            played += frames

    async def _deliver(self, chunk: Chunk, intake: Intake, started_s: float, unix_s: float) -> None:
        for packet in chunk.packets:
            if self._seconds is not None and packet.time_s >= self._seconds:
                return
            if self._live:
                wait_s = started_s + packet.time_s - self._clock.monotonic_s()
                if wait_s > 0:
                    await self._clock.sleep(wait_s)
            datagram = adr018.decode(packet.datagram)
            if not isinstance(datagram, adr018.CsiDatagram):
                continue
            frame = adr018.to_frame(
                datagram,
                source=self.name,
                time_s=unix_s + packet.time_s,
                arrival_s=self._clock.monotonic_s(),
                origin=Origin.SIMULATED,
            )
            if self._live:
                intake.offer(frame)
            else:
                await intake.put(frame)


def _within(value: _Number, low: float, high: float) -> _Number:
    if not low <= value <= high:
        raise ValueError(f"{value} is not within {low:g}..{high:g}")
    return value
