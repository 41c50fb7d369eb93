import asyncio

import numpy as np
import pytest

from cogd.csi.frame import Origin
from cogd.csi.tones import select_tones
from cogd.errors import SourceError
from cogd.sim.domain import KIT
from cogd.sim.simulator import Scene, Simulator
from cogd.sources.base import SourceOptions
from cogd.sources.sim import SimSource
from cogd.wire import adr018

from .conftest import running, url


def make(text: str, clock) -> SimSource:
    return SimSource("sim", url(text), SourceOptions(clock=clock))


async def frames_of(text: str, clock, heard):
    await make(text, clock).run(heard)
    return heard.frames


class TestASourceOfThePast:
    async def test_plays_so_many_seconds_and_ends(self, clock, heard):
        frames = await frames_of("sim:?nodes=2&seconds=3&speed=max", clock, heard)
        assert 2 * 60 * 0.9 < len(frames) <= 2 * 60
        assert max(frame.time_s for frame in frames) < clock.unix_s() + 3
        assert not clock.slept

    async def test_plays_a_part_of_a_second(self, clock, heard):
        frames = await frames_of("sim:?nodes=1&seconds=0.52&speed=max", clock, heard)
        assert 8 <= len(frames) <= 11

    async def test_plays_nothing_in_no_time(self, clock, heard):
        assert not await frames_of("sim:?seconds=0&speed=max", clock, heard)

    async def test_is_the_simulators_scene(self, clock, heard):
        frames = await frames_of("sim:?nodes=2&persons=2&seed=3&room=4&rate=25&seconds=2&speed=max", clock, heard)
        packets = Simulator(Scene(nodes=2, persons=2, seed=3, room=4, rate_hz=25)).advance(50).packets
        assert len(frames) == len(packets)
        for frame, packet in zip(frames, packets, strict=True):
            decoded = adr018.decode(packet.datagram)
            np.testing.assert_array_equal(frame.iq, decoded.iq)
            assert (frame.node, frame.sequence) == (f"sim/{decoded.node_id}", decoded.sequence)
            assert frame.time_s == clock.unix_s() + packet.time_s

    async def test_never_loses_a_frame(self, clock, heard):
        """It hands frames in where they may wait, not where they may be shed."""
        heard.offer = None
        put = []

        async def keep(frame):
            put.append(frame)

        heard.put = keep
        assert len(await frames_of("sim:?seconds=1&speed=max", clock, heard)) == 0
        assert put


class TestASourceInRealTime:
    async def test_hands_each_frame_in_at_its_time(self, clock, heard):
        start_s = clock.monotonic_s()
        frames = await frames_of("sim:?nodes=2&seconds=2", clock, heard)
        assert len(frames) > 70
        for frame in frames:
            assert frame.arrival_s - start_s == pytest.approx(frame.time_s - 1_000_050.0, abs=1e-6)
        assert clock.now_s - start_s == pytest.approx(2.0, abs=0.2)

    async def test_does_not_wait_for_what_is_overdue(self, clock, heard):
        source = make("sim:?nodes=1&seconds=1&seed=2", clock)
        real = clock.sleep

        async def oversleep(seconds):
            await real(seconds + (10 if len(clock.slept) == 1 else 0))

        clock.sleep = oversleep
        await source.run(heard)
        assert len(clock.slept) == 2
        assert len(heard.frames) > 15

    async def test_goes_on_until_it_is_cancelled(self, clock, heard):
        async with running(make("sim:?nodes=1", clock), heard):
            await heard.until(lambda: len(heard.frames) > 100)


async def test_frames_say_that_they_are_simulated_and_hold_56_measured_tones(clock, heard):
    for frame in await frames_of("sim:?seconds=1&speed=max", clock, heard):
        tones = select_tones(frame, "ht56")
        assert (frame.origin, tones.kind, tones.measured) == (Origin.SIMULATED, "ht-64", 56)


async def test_it_says_that_it_is_up(clock, heard):
    await frames_of("sim:?seconds=0", clock, heard)
    assert heard.told == ["up"]


async def test_a_domain_is_played_with_whatever_radios_it_draws(clock, heard):
    frames = await frames_of("sim:?nodes=6&domain=homes&seconds=2&speed=max&seed=3", clock, heard)
    assert len({select_tones(frame, "ht56").kind for frame in frames}) > 1


async def test_by_default_it_is_two_nodes_and_one_person(clock):
    scene = make("sim:", clock)._scene
    assert scene == Scene(nodes=2, persons=1, seed=7, room=None, rate_hz=20.0, domain=KIT)


@pytest.mark.parametrize(
    "text",
    [
        "sim:?nodes=0",
        "sim:?nodes=256",
        "sim:?nodes=two",
        "sim:?nodes=2.0",
        "sim:?persons=-1",
        "sim:?persons=8",
        "sim:?seed=-1",
        "sim:?room=x",
        "sim:?rate=0",
        "sim:?rate=101",
        "sim:?rate=nan",
        "sim:?seconds=-1",
        "sim:?seconds=inf",
        "sim:?speed=2",
        "sim:?speed=",
        "sim:?nodes=1&nodes=2",
        "sim:?bodies=1",
        "sim:?domain=castles",
        "sim://host",
        "sim:file",
    ],
)
def test_a_url_that_says_no_scene_is_refused(text):
    with pytest.raises(SourceError, match="source sim: "):
        SimSource("sim", url(text), SourceOptions())


def test_the_loop_is_not_held_up_while_it_simulates():
    """Simulating goes on in a thread: other tasks run meanwhile."""

    async def main():
        import threading

        seen = []

        class Intake:
            def up(self):
                pass

            async def put(self, frame):
                seen.append(threading.current_thread() is threading.main_thread())

        source = SimSource("sim", url("sim:?seconds=1&speed=max"), SourceOptions())
        advance, threads = Simulator.advance, []

        def spy(self, frames):
            threads.append(threading.current_thread())
            return advance(self, frames)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Simulator, "advance", spy)
            await source.run(Intake())
        assert threads
        assert threading.main_thread() not in threads
        assert all(seen)

    asyncio.run(main())
