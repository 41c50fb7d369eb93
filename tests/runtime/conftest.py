import pytest

from cogd.csi.link import LinkLimits
from cogd.events import Emitter
from cogd.runtime.engine import Engine
from tests.events.validity import Checked
from tests.sources.conftest import FakeClock


class Bench:
    """An engine with its clock and everything that it said."""

    def __init__(self, *apps, believe=lambda source: False, max_pending=4096, limits=None, **more):
        self.clock = FakeClock()
        self.clock.now_s = 100.0
        self.events = []
        self.apps = apps
        self.emitter = Emitter(self.clock, Checked(self.events))
        self.engine = Engine(
            apps,
            limits or LinkLimits(stale_after_s=2.0, absent_after_s=10.0, frozen_after=5),
            self.clock,
            self.emitter,
            believe_simulated=believe,
            max_pending=max_pending,
            **more,
        )

    async def play(self, frames, *, every: int = 1) -> None:
        """Hand in frames, each at its time, with a tick after every so many, and one at the end."""
        for number, frame in enumerate(frames, 1):
            self.clock.now_s = frame.arrival_s
            self.engine.take(frame)
            if number % every == 0:
                await self.engine.tick()
        await self.engine.tick()

    async def at(self, now_s: float) -> None:
        """Let time pass, with a tick."""
        self.clock.now_s = now_s
        await self.engine.tick()

    def named(self, name: str) -> list:
        """The fields of every event of that name."""
        return [event.fields for event in self.events if event.event == name]

    def links(self, node: str) -> list[str]:
        """The states that a node's link went through."""
        return [fields.state for fields in self.named("link.state") if fields.node == node]


@pytest.fixture
def bench():
    made = []

    def make(*apps, **arguments) -> Bench:
        made.append(Bench(*apps, **arguments))
        return made[-1]

    yield make
    for each in made:
        each.engine.close()
