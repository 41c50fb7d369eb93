"""What the engine says of its nodes' links and windows."""

import msgspec
import pytest

from cogd.csi.frame import Origin

from .factory import FRAMES, fake_app, frames_of


def frozen(frames: list, from_: int) -> list:
    return [
        msgspec.structs.replace(frame, iq=frames[from_].iq) if number > from_ else frame
        for number, frame in enumerate(frames)
    ]


class TestALink:
    async def test_goes_live_stale_absent_and_live_again_and_says_each_once(self, bench):
        b = bench(fake_app())
        await b.play(frames_of("a/1", 3, start_s=100.0))
        for now_s in (101.0, 102.05, 102.2, 105.0, 110.2, 120.0):
            await b.at(now_s)
        await b.play(frames_of("a/1", 1, first=400, start_s=101.0))
        assert b.links("a/1") == ["live", "stale", "absent", "live"]
        assert [fields.previous for fields in b.named("link.state")] == ["absent", "live", "stale", "absent"]

    async def test_tells_the_time_of_its_last_frame(self, bench):
        b = bench(fake_app())
        frames = frames_of("a/1", 2)
        await b.play(frames)
        await b.at(103.0)
        assert b.named("link.state")[-1].time == frames[-1].time_s

    async def test_warns_of_every_state_but_live(self, bench):
        b = bench(fake_app())
        await b.play(frames_of("a/1", 2))
        await b.at(103.0)
        assert [event.level for event in b.events if event.event == "link.state"] == ["info", "warn"]

    async def test_of_a_silent_node_does_not_change_the_others(self, bench):
        b = bench(fake_app())
        await b.play(frames_of("a/1", 2))
        await b.play(frames_of("a/2", 60))
        assert b.links("a/1") == ["live", "stale"]
        assert b.links("a/2") == ["live"]

    async def test_that_freezes_says_so_and_gives_no_more_events(self, bench):
        b = bench(fake_app())
        await b.play(frozen(frames_of("a/1", 30), 9))
        assert b.links("a/1") == ["live", "frozen"]
        assert [f.reason for f in b.named("window.reset")] == ["frozen"]
        assert b.named("pose.frame")[-1].time == pytest.approx(100 + 12 / 20)

    async def test_that_thaws_gives_events_again_after_a_full_window(self, bench):
        b = bench(fake_app())
        frames = frozen(frames_of("a/1", 30), 9)[:20] + frames_of("a/1", FRAMES + 1, first=20)
        await b.play(frames)
        assert b.links("a/1") == ["live", "frozen", "live"]
        assert len([f for f in b.named("pose.frame") if f.time > 101]) == 2

    async def test_to_a_replayed_node_ages_on_the_recordings_time(self, bench):
        b = bench(fake_app())
        await b.play(frames_of("r/1", 2, origin=Origin.REPLAYED))
        await b.at(5000.0)
        assert b.links("r/1") == ["live"]
        b.clock.now_s = 100.0
        await b.play(frames_of("r/2", 60, origin=Origin.REPLAYED))
        assert b.links("r/1") == ["live", "stale"]

    async def test_to_a_replayed_node_does_not_age_with_another_recording(self, bench):
        b = bench(fake_app())
        await b.play(frames_of("r/1", 2, origin=Origin.REPLAYED))
        await b.play(frames_of("s/1", 2, start_s=9e8, origin=Origin.REPLAYED))
        assert b.links("r/1") == ["live"]

    async def test_is_not_kept_alive_by_frames_that_are_late_or_twice(self, bench):
        b = bench(fake_app())
        frames = frames_of("a/1", 3)
        await b.play(frames)
        for later in (101.0, 102.0, 103.0):
            b.clock.now_s = later
            b.engine.take(msgspec.structs.replace(frames[-1], arrival_s=later))
        await b.engine.tick()
        assert b.links("a/1") == ["live", "stale"]


class TestSimulatedFrames:
    async def test_give_no_events_unless_they_are_believed(self, bench):
        b = bench(fake_app())
        await b.play(frames_of("a/1", 10, origin=Origin.SIMULATED))
        assert b.links("a/1") == ["simulated"]
        assert not b.named("pose.frame")
        assert b.engine.nodes.totals()["a/1"].dropped == {"simulated": 10}

    async def test_give_events_that_say_so_where_their_source_is_believed(self, bench):
        b = bench(fake_app(), believe=lambda source: source == "sim")
        await b.play(frames_of("sim/1", 10, origin=Origin.SIMULATED))
        await b.play(frames_of("a/1", 10, origin=Origin.SIMULATED))
        assert {(f.node, f.origin) for f in b.named("pose.frame")} == {("sim/1", "simulated")}
        assert b.links("sim/1") == ["simulated"]


class TestAWindowThatIsEmptied:
    async def test_is_told_once_with_the_apps_that_it_silences(self, bench):
        b = bench(fake_app("pose"), fake_app("count"), fake_app("count", app_id="slow", frames=8, max_gap_s=50))
        await b.play([*frames_of("a/1", FRAMES), *frames_of("a/1", 2, first=30)])
        resets = b.named("window.reset")
        assert [(f.node, f.apps, f.reason) for f in resets] == [("a/1", ["pose-app", "count-app"], "gap")]
        assert resets[0].time == pytest.approx(101.5)

    async def test_again_and_again_is_told_once_until_it_is_full(self, bench):
        b = bench(fake_app())
        sparse = [frame for first in range(0, 200, 20) for frame in frames_of("a/1", 2, first=first)]
        await b.play(sparse)
        assert len(b.named("window.reset")) == 1

    async def test_after_it_was_full_is_told_anew(self, bench):
        b = bench(fake_app())
        bursts = [frame for first in (0, 40, 80) for frame in frames_of("a/1", FRAMES, first=first)]
        await b.play(bursts)
        assert len(b.named("window.reset")) == 2
        assert len(b.named("pose.frame")) == 3

    async def test_by_a_node_that_began_anew_says_so(self, bench):
        b = bench(fake_app())
        again = [
            msgspec.structs.replace(frame, sequence=frame.sequence - 1000) for frame in frames_of("a/1", 2, first=1004)
        ]
        await b.play([*frames_of("a/1", FRAMES, first=1000), *again])
        assert [f.reason for f in b.named("window.reset")] == ["restarted"]
        assert len(b.named("pose.frame")) == 1

    async def test_by_a_clock_that_was_set_back_says_so_and_recovers(self, bench):
        b = bench(fake_app())
        back = [
            msgspec.structs.replace(frame, time_s=frame.time_s - 3600, arrival_s=frame.arrival_s)
            for frame in frames_of("a/1", FRAMES + 1, first=FRAMES)
        ]
        await b.play([*frames_of("a/1", FRAMES), *back])
        assert [f.reason for f in b.named("window.reset")] == ["restarted"]
        assert len(b.named("pose.frame")) == 3
        assert all(0 <= f.window.span_s < 1 for f in b.named("pose.frame"))


async def test_a_window_never_spans_what_was_lost_for_longer_than_its_longest_gap(bench):
    b = bench(fake_app(max_gap_s=0.12))
    frames = frames_of("a/1", 40)
    kept = [frame for number, frame in enumerate(frames) if number not in {5, 6, 7, 20, 21}]
    await b.play(kept)
    assert len(b.named("window.reset")) == 2
    assert all(f.window.span_s <= 0.05 * (FRAMES - 1) + 0.1 for f in b.named("pose.frame"))
