import asyncio
import dataclasses
import threading

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogd.csi.frame import Origin
from cogd.csi.model_input import ModelInput
from cogd.csi.tones import select_tones
from cogd.events import encode
from cogd.heads.base import Head
from cogd.heads.pose.events import PoseFields
from cogd.runtime import engine as engine_module

from .conftest import Bench
from .factory import FRAMES, arriving, compute, fake_app, frames_of, interleaved

PATIENCE_S = 10.0


def said(events: list, name: str | None = None) -> list[dict]:
    """Inferred events without what depends on when a tick fell."""
    plain = [msgspec.json.decode(encode(event)) for event in events]
    inferred = [event for event in plain if event["event"] in {"pose.frame", "count"}]
    for event in inferred:
        del event["ts"], event["fields"]["tick"], event["fields"]["latency_ms"]
    return [event for event in inferred if name in {None, event["event"]}]


def by_stream(events: list) -> dict[tuple[str, str], list[dict]]:
    streams: dict[tuple[str, str], list[dict]] = {}
    for event in said(events):
        streams.setdefault((event["fields"]["app"], event["fields"]["node"]), []).append(event)
    return streams


class TestEvents:
    async def test_come_once_for_each_complete_window_of_each_app(self, bench):
        b = bench(fake_app("pose"), fake_app("count"))
        await b.play(frames_of("a/1", 10))
        assert len(b.named("pose.frame")) == len(b.named("count")) == 10 - FRAMES + 1
        assert b.engine.inferences == {"pose-app": 7, "count-app": 7}

    async def test_do_not_come_before_the_window_is_full(self, bench):
        b = bench(fake_app())
        await b.play(frames_of("a/1", FRAMES - 1))
        assert not b.named("pose.frame")

    async def test_do_not_come_again_without_a_new_frame(self, bench):
        b = bench(fake_app())
        await b.play(frames_of("a/1", FRAMES))
        for _ in range(5):
            await b.engine.tick()
        assert len(b.named("pose.frame")) == 1

    async def test_hold_what_the_model_makes_of_the_newest_frames(self, bench):
        b = bench(fake_app())
        frames = frames_of("a/1", FRAMES + 2)
        await b.play(frames)
        window = np.stack([select_tones(frame, "ht56").values for frame in frames[-FRAMES:]], axis=1)
        expected = compute("pose", ModelInput("subcarrier_major", "window_rms").prepare(window[None]))["keypoints"]
        last = b.named("pose.frame")[-1].persons[0].keypoints
        np.testing.assert_allclose(np.ravel(last), expected[0], atol=1e-6)

    async def test_name_app_version_digest_backend_node_time_and_origin(self, bench):
        app = fake_app()
        b = bench(app)
        frames = frames_of("a/1", FRAMES, origin=Origin.REPLAYED)
        await b.play(frames)
        fields = b.named("pose.frame")[0]
        assert (fields.app, fields.version, fields.digest) == ("pose-app", "1.2.3", app.bundle.digest)
        assert (fields.backend, fields.node, fields.origin) == ("fake", "a/1", "replayed")
        assert fields.time == frames[-1].time_s
        assert fields.tick == b.engine.ticks - 1
        assert (fields.window.frames, fields.window.measured_tones) == (FRAMES, 52)
        assert fields.window.span_s == pytest.approx(frames[-1].time_s - frames[0].time_s)

    async def test_tell_the_time_since_the_newest_frame_arrived(self, bench):
        b = bench(fake_app())
        for frame in frames_of("a/1", FRAMES):
            b.engine.take(frame)
        await b.at(frame.arrival_s + 0.0375)
        assert b.named("pose.frame")[0].latency_ms == pytest.approx(37.5, abs=1e-3)

    async def test_count_what_inference_takes_as_latency(self, bench):
        app = fake_app()
        b = bench(app)

        def slow(outputs):
            b.clock.now_s += 0.25
            return outputs

        app.session.spoil = slow
        await b.play(frames_of("a/1", FRAMES))
        assert b.named("pose.frame")[0].latency_ms == pytest.approx(250, abs=1e-3)

    async def test_are_stamped_by_the_clock(self, bench):
        b = bench(fake_app())
        await b.play(frames_of("a/1", FRAMES))
        assert b.events[-1].ts == b.clock.unix_s()


class TestNodes:
    async def test_that_are_interleaved_give_what_each_gives_alone(self, bench):
        one, two = frames_of("a/1", 12), frames_of("a/2", 12, start_s=100.02)
        together, alone_one, alone_two = (bench(fake_app("count")) for _ in range(3))
        await together.play(interleaved(one, two), every=3)
        await alone_one.play(one)
        await alone_two.play(two)
        assert by_stream(together.events) == by_stream(alone_one.events) | by_stream(alone_two.events)

    async def test_of_two_sources_with_the_same_id_are_two(self, bench):
        b = bench(fake_app())
        await b.play(interleaved(frames_of("a/1", FRAMES), frames_of("b/1", FRAMES)))
        assert sorted(fields.node for fields in b.named("pose.frame")) == ["a/1", "b/1"]

    async def test_beyond_the_limit_are_counted_and_dropped(self, bench, monkeypatch):
        monkeypatch.setattr("cogd.runtime.nodes.MAX_NODES", 2)
        b = bench(fake_app())
        await b.play(interleaved(*(frames_of(f"a/{n}", FRAMES) for n in range(3))))
        assert len(b.engine.nodes.totals()) == 2
        assert b.engine.dropped == {"too_many_nodes": FRAMES}
        assert len(b.named("pose.frame")) == 2

    async def test_are_told_of_in_the_totals(self, bench):
        b = bench(fake_app())
        frames = frames_of("a/1", 6)
        await b.play([*frames[:2], frames[1], frames[5]])
        totals = b.engine.nodes.totals()["a/1"]
        assert (totals.frames, totals.lost, totals.dropped) == (4, 3, {"duplicate": 1})


class TestApps:
    async def test_of_one_input_are_run_on_the_same_windows_in_one_batch_each(self, bench):
        first, second = fake_app("pose"), fake_app("count")
        b = bench(first, second)
        await b.play(interleaved(frames_of("a/1", FRAMES), frames_of("a/2", FRAMES)), every=100)
        assert first.session.batches == second.session.batches == [2]

    async def test_of_different_inputs_each_get_their_own_windows(self, bench):
        short, long = fake_app("pose"), fake_app("count", frames=6)
        b = bench(short, long)
        await b.play(frames_of("a/1", 8))
        assert len(b.named("pose.frame")) == 5
        assert len(b.named("count")) == 3
        assert {fields.window.frames for fields in b.named("count")} == {6}

    async def test_that_want_fewer_frames_a_second_thin_the_node(self, bench):
        b = bench(fake_app("pose"), fake_app("count", min_gap_s=0.075))
        await b.play(frames_of("a/1", 16))
        assert len(b.named("pose.frame")) == 13
        assert len(b.named("count")) == 5
        assert b.engine.nodes.totals()["a/1"].dropped == {"too_soon": 8}


class TestBatches:
    async def test_hold_at_most_64_windows(self, bench):
        app = fake_app()
        b = bench(app)
        await b.play(frames_of("a/1", FRAMES - 1 + 150), every=1000)
        assert app.session.batches == [64, 64, 22]
        assert [fields.time for fields in b.named("pose.frame")] == sorted(
            fields.time for fields in b.named("pose.frame")
        )

    async def test_give_what_single_windows_give(self, bench):
        frames = frames_of("a/1", 100)
        batched, single = bench(fake_app("count")), bench(fake_app("count"))
        await batched.play(frames, every=1000)
        await single.play(frames)
        assert said(batched.events) == said(single.events)

    @given(st.data())
    @settings(max_examples=25, deadline=None)
    def test_however_the_ticks_fall_the_events_are_the_same(self, data):
        frames = interleaved(
            frames_of("a/1", 14), frames_of("a/2", 10, start_s=100.013), frames_of("b/1", 9, rate_hz=9)
        )
        cuts = data.draw(st.lists(st.booleans(), min_size=len(frames), max_size=len(frames)))

        async def play(ticks) -> Bench:
            b = Bench(fake_app("pose"), fake_app("count", frames=6))
            for frame, tick in zip(frames, ticks, strict=True):
                b.clock.now_s = frame.arrival_s
                b.engine.take(frame)
                if tick:
                    await b.engine.tick()
            await b.engine.tick()
            b.engine.close()
            return b

        chosen, each = asyncio.run(play(cuts)), asyncio.run(play([True] * len(frames)))
        assert by_stream(chosen.events) == by_stream(each.events)
        assert len(said(each.events)) == (11 + 7 + 6) + (9 + 5 + 4)

    async def test_take_in_only_what_waited_when_the_tick_began(self, bench):
        app = fake_app()
        b = bench(app)
        frames = frames_of("a/1", FRAMES + 3)
        for frame in frames[:FRAMES]:
            b.engine.take(frame)
        late = iter(frames[FRAMES:])

        def more_arrives(outputs):
            for frame in late:
                loop.call_soon_threadsafe(b.engine.take, frame)
            return outputs

        loop = asyncio.get_running_loop()
        app.session.spoil = more_arrives
        await b.engine.tick()
        assert len(b.named("pose.frame")) == 1
        await b.engine.tick()
        assert len(b.named("pose.frame")) == 4


class TestOverload:
    async def test_sheds_the_oldest_windows_and_counts_them(self, bench):
        b = bench(fake_app(), max_pending=5)
        frames = frames_of("a/1", FRAMES - 1 + 8)
        await b.play(frames, every=1000)
        assert [fields.time for fields in b.named("pose.frame")] == [frame.time_s for frame in frames[-5:]]
        assert b.engine.dropped == {"overload": 3}

    async def test_of_one_input_does_not_shed_anothers_windows(self, bench):
        b = bench(fake_app("pose"), fake_app("count", frames=8), max_pending=4)
        await b.play(frames_of("a/1", 11), every=1000)
        assert len(b.named("pose.frame")) == len(b.named("count")) == 4
        assert b.engine.dropped == {"overload": 4}

    @pytest.mark.parametrize("max_pending", [1, 3, 64, 4096])
    async def test_never_loses_a_frame_that_must_not_be_lost(self, bench, max_pending):
        b = bench(fake_app(), max_pending=max_pending)
        frames = frames_of("a/1", FRAMES - 1 + 200)

        async def deliver():
            for frame in frames:
                await b.engine.put(frame)

        delivering = asyncio.create_task(deliver())
        async with asyncio.timeout(PATIENCE_S):
            while not delivering.done():
                full = asyncio.create_task(b.engine.full.wait())
                await asyncio.wait({full, delivering}, return_when=asyncio.FIRST_COMPLETED)
                full.cancel()
                await b.engine.tick()
        await b.engine.tick()
        assert len(b.named("pose.frame")) == 200
        assert not b.engine.dropped

    async def test_makes_put_wait_for_the_tick(self, bench):
        b = bench(fake_app(), max_pending=1)
        frames = frames_of("a/1", FRAMES + 1)
        for frame in frames[:-1]:
            await b.engine.put(frame)
        waiting = asyncio.create_task(b.engine.put(frames[-1]))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        assert b.engine.full.is_set()
        await b.engine.tick()
        await asyncio.wait_for(waiting, PATIENCE_S)

    async def test_lets_two_that_wait_in_without_loss(self, bench):
        b = bench(fake_app(), max_pending=1)

        async def deliver(node):
            for frame in frames_of(node, FRAMES + 5):
                await b.engine.put(frame)

        both = asyncio.gather(deliver("a/1"), deliver("b/1"))
        async with asyncio.timeout(PATIENCE_S):
            while not both.done():
                await b.engine.tick()
                await asyncio.sleep(0)
        await b.engine.tick()
        assert len(b.named("pose.frame")) == 12
        assert not b.engine.dropped

    async def test_what_waits_when_it_closes_is_counted(self, bench):
        b = bench(fake_app())
        for frame in frames_of("a/1", FRAMES + 2):
            b.engine.take(frame)
        b.engine.close()
        assert b.engine.dropped == {"stopping": 3}


class TestAnAppThatFails:
    @staticmethod
    def failing(message: str = "the device is gone"):
        def spoil(outputs):
            raise RuntimeError(message)

        return spoil

    async def test_says_so_once_and_counts_each_window(self, bench):
        app = fake_app()
        b = bench(app)
        app.session.spoil = self.failing()
        await b.play(frames_of("a/1", FRAMES + 4))
        failed = b.named("app.failed")
        assert [(f.app, f.backend, f.reason) for f in failed] == [
            ("pose-app", "fake", "RuntimeError: the device is gone")
        ]
        assert b.engine.dropped == {"inference_failed": 5}
        assert not b.named("pose.frame")

    async def test_does_not_stop_the_others(self, bench):
        bad, good = fake_app("pose"), fake_app("count")
        b = bench(bad, good)
        bad.session.spoil = self.failing()
        await b.play(frames_of("a/1", FRAMES + 4))
        assert len(b.named("count")) == 5

    async def test_goes_on_when_it_can_again_and_would_say_a_new_failure(self, bench):
        app = fake_app()
        b = bench(app)
        frames = frames_of("a/1", FRAMES + 2)
        app.session.spoil = self.failing()
        await b.play(frames[:FRAMES])
        app.session.spoil = lambda outputs: outputs
        await b.play(frames[FRAMES : FRAMES + 1])
        app.session.spoil = self.failing()
        await b.play(frames[FRAMES + 1 :])
        assert [event.event for event in b.events if event.event in {"pose.frame", "app.failed"}] == [
            "app.failed",
            "pose.frame",
            "app.failed",
        ]

    async def test_says_another_reason_too(self, bench):
        app = fake_app()
        b = bench(app)
        frames = frames_of("a/1", FRAMES + 1)
        app.session.spoil = self.failing("one")
        await b.play(frames[:FRAMES])
        app.session.spoil = self.failing("two")
        await b.play(frames[FRAMES:])
        assert [f.reason for f in b.named("app.failed")] == ["RuntimeError: one", "RuntimeError: two"]

    async def test_in_its_head_does_not_stop_the_others(self, bench):
        class BrokenHead(Head):
            name = "broken"
            events = (PoseFields,)

            def __init__(self):
                pass

            def read(self, outputs, contexts, baselines=()):
                raise IndexError("no such joint")

        bad = dataclasses.replace(fake_app("pose"), head=BrokenHead())
        b = bench(bad, fake_app("count"))
        await b.play(frames_of("a/1", FRAMES + 1))
        assert [f.reason for f in b.named("app.failed")] == ["IndexError: no such joint"]
        assert len(b.named("count")) == 2
        assert b.engine.inferences["pose-app"] == 0

    @pytest.mark.parametrize(
        "spoil",
        [lambda outputs: {}, lambda outputs: {"keypoints": outputs["keypoints"][:, :33]}, lambda outputs: None],
        ids=["no outputs", "too few values", "nothing"],
    )
    async def test_by_answering_in_another_shape_is_not_believed(self, bench, spoil):
        app = fake_app()
        b = bench(app)
        app.session.spoil = spoil
        await b.play(frames_of("a/1", FRAMES))
        assert len(b.named("app.failed")) == 1
        assert not b.named("pose.frame")


class TestAnAppThatHangs:
    """Invariant: a dead plugin never stops the others."""

    @pytest.fixture
    def gate(self, monkeypatch):
        monkeypatch.setattr("cogd.runtime.runner.INFERENCE_LIMIT_S", 0.05)
        gate = threading.Event()
        yield gate
        gate.set()

    async def test_does_not_stop_the_others_and_goes_on_when_it_answers(self, bench, gate):
        stuck, fine = fake_app("pose"), fake_app("count")
        stuck.session.spoil = lambda outputs: gate.wait() and outputs
        b = bench(stuck, fine)
        frames = frames_of("a/1", FRAMES + 3)
        await b.play(frames[:FRAMES])
        (failed,) = b.named("app.failed")
        assert (failed.app, failed.reason) == ("pose-app", "no answer within 0.05 s")
        assert len(b.named("count")) == 1
        await b.play(frames[FRAMES:-1])
        assert b.engine.dropped["inference_failed"] == 3
        assert b.engine.inferences == {"pose-app": 0, "count-app": 3}
        gate.set()
        while b.engine._places["pose-app"].active.worker.unfinished:  # noqa: ASYNC110  # a thread of its own
            await asyncio.sleep(0)
        await b.play(frames[-1:])
        assert b.engine.inferences == {"pose-app": 1, "count-app": 4}
        assert len(b.named("app.failed")) == 1


class TestOutputThatIsNotFinite:
    @staticmethod
    def spoil_rows(name: str, rows, value=np.nan):
        def spoil(outputs):
            values = outputs[name].copy()
            values[rows, -1] = value
            return outputs | {name: values}

        return spoil

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    async def test_is_never_emitted_and_the_other_rows_are(self, bench, value):
        app = fake_app()
        b = bench(app)
        frames = frames_of("a/1", FRAMES + 4)
        app.session.spoil = self.spoil_rows("keypoints", [0, 3], value)
        await b.play(frames, every=1000)
        assert [fields.time for fields in b.named("pose.frame")] == [frames[FRAMES - 1 + k].time_s for k in (1, 2, 4)]
        assert [f.reason for f in b.named("app.failed")] == ["its output is not finite"]
        assert b.engine.dropped == {"inference_failed": 2}

    async def test_in_any_output_counts(self, bench):
        app = fake_app("count")
        b = bench(app)
        app.session.spoil = self.spoil_rows("conf_logits", [0])
        await b.play(frames_of("a/1", FRAMES))
        assert not b.named("count")
        assert len(b.named("app.failed")) == 1

    async def test_leaves_the_other_rows_what_they_are_alone(self, bench):
        frames = frames_of("a/1", FRAMES + 2)
        spoilt, whole = fake_app(), fake_app()
        spoilt.session.spoil = self.spoil_rows("keypoints", [1])
        a, b = bench(spoilt), bench(whole)
        await a.play(frames, every=1000)
        await b.play(frames, every=1000)
        assert said(a.events) == [said(b.events)[0], said(b.events)[2]]

    async def test_is_said_once_while_it_goes_on(self, bench):
        app = fake_app()
        b = bench(app)
        app.session.spoil = self.spoil_rows("keypoints", [0])
        await b.play(frames_of("a/1", FRAMES + 9), every=2)
        assert len(b.named("app.failed")) == 1


async def test_frames_heard_late_tell_their_full_latency(bench):
    b = bench(fake_app())
    for frame in arriving(frames_of("a/1", FRAMES), 100.0):
        b.engine.take(frame)
    await b.at(101.5)
    assert b.named("pose.frame")[0].latency_ms == pytest.approx(1500)


class TestAge:
    """Where more comes than a tick has time for, the newest is worth more."""

    @staticmethod
    def late(b, frames) -> None:
        """Frames that wait for a tick in which a batch takes all the time there is."""

        def slow(outputs):
            b.clock.now_s += engine_module.TICK_S
            return outputs

        b.apps[0].session.spoil = slow
        for frame in frames:
            b.engine.take(frame)

    async def test_sheds_the_oldest_live_windows_that_a_tick_has_no_time_for(self, bench):
        b = bench(fake_app(), max_wait_s=1.0)
        frames = frames_of("a/1", FRAMES - 1 + 100)
        self.late(b, frames)
        await b.at(frames[-10].arrival_s + 1.0 - engine_module.TICK_S)
        oldest = [frame.time_s for frame in frames[FRAMES - 1 :][:64]]
        assert [fields.time for fields in b.named("pose.frame")] == oldest
        assert b.engine.dropped == {"overload": 100 - 64 - 10}
        await b.engine.tick()
        assert [fields.time for fields in b.named("pose.frame")][64:] == [frame.time_s for frame in frames[-10:]]

    async def test_alone_is_no_reason(self, bench):
        b = bench(fake_app(), max_wait_s=0.25)
        frames = frames_of("a/1", FRAMES - 1 + 150)
        for frame in frames:
            b.engine.take(frame)
        await b.at(frames[-1].arrival_s + 100)  # nobody could tick for so long, but now there is time
        assert len(b.named("pose.frame")) == 150
        assert not b.engine.dropped

    @pytest.mark.parametrize("origin", [Origin.REPLAYED, Origin.SIMULATED])
    async def test_does_not_matter_where_nothing_may_be_lost(self, bench, origin):
        b = bench(fake_app(), max_wait_s=0.25, believe=lambda source: True)
        frames = frames_of("a/1", FRAMES - 1 + 100, origin=origin)
        self.late(b, frames)
        await b.at(frames[-1].arrival_s + 100)
        await b.engine.tick()
        assert len(b.named("pose.frame")) == 100

    async def test_of_what_came_while_a_tick_took_its_time_waits_for_the_next(self, bench):
        b = bench(fake_app(), max_wait_s=0.01)
        frames = frames_of("a/1", FRAMES + 1)
        loop = asyncio.get_running_loop()

        def more_arrives(outputs):
            b.clock.now_s += 1.0
            loop.call_soon_threadsafe(b.engine.take, frames[-1])
            b.apps[0].session.spoil = lambda outputs: outputs
            return outputs

        b.apps[0].session.spoil = more_arrives
        for frame in frames[:-1]:
            b.engine.take(frame)
        await b.at(frames[-1].arrival_s)
        await b.engine.tick()
        assert len(b.named("pose.frame")) == 2
        assert not b.engine.dropped


class TestShortBatches:
    """Of an app that only computes: run where they are."""

    @staticmethod
    def threads_of(app):
        threads = []

        def note(outputs):
            threads.append(threading.get_ident())
            return outputs

        app.session.spoil = note
        return threads

    async def test_stay_on_the_loops_thread_once_they_are_known_to_be_short(self, bench):
        app = fake_app()
        app.session.only_computes = True
        threads = self.threads_of(app)
        b = bench(app)
        await b.play(frames_of("a/1", FRAMES + 30))
        assert threads[0] != threading.get_ident()  # nobody knew yet
        assert threads[-1] == threading.get_ident()
        assert len(b.named("pose.frame")) == 31

    async def test_that_may_hang_never_do(self, bench):
        app = fake_app()
        threads = self.threads_of(app)
        b = bench(app)
        await b.play(frames_of("a/1", FRAMES + 30))
        assert threading.get_ident() not in threads

    async def test_that_turn_long_go_to_the_thread(self, bench, monkeypatch):
        app = fake_app()
        app.session.only_computes = True
        b = bench(app)
        frames = frames_of("a/1", FRAMES + 30)
        await b.play(frames[:-10])
        monkeypatch.setattr("cogd.runtime.runner.SHORT_S", 0.0)
        threads = self.threads_of(app)
        await b.play(frames[-10:])
        assert threading.get_ident() not in threads

    async def test_that_fail_are_told_as_ever(self, bench):
        app = fake_app()
        app.session.only_computes = True
        b = bench(app)
        frames = frames_of("a/1", FRAMES + 30)
        await b.play(frames[:-1])
        app.session.spoil = TestAnAppThatFails.failing()
        await b.play(frames[-1:])
        assert [f.reason for f in b.named("app.failed")] == ["RuntimeError: the device is gone"]
        assert b.engine.dropped == {"inference_failed": 1}


class TestATick:
    async def test_begins_no_other_batch_after_its_time(self, bench):
        app = fake_app()
        b = bench(app)
        for frame in frames_of("a/1", FRAMES - 1 + 200):
            b.engine.take(frame)

        def slow(outputs):
            b.clock.now_s += engine_module.TICK_S / 2
            return outputs

        app.session.spoil = slow
        await b.engine.tick()
        assert app.session.batches == [64, 64]
        assert b.engine.waiting
        await b.engine.tick()
        assert app.session.batches == [64, 64, 64, 8]
        assert not b.engine.waiting
        assert len(b.named("pose.frame")) == 200

    async def test_between_beats_leaves_the_links_alone(self, bench):
        b = bench(fake_app())
        await b.play(frames_of("a/1", 2))
        b.clock.now_s += 3
        await b.engine.tick(beat=False)
        assert b.links("a/1") == ["live"]
        await b.engine.tick()
        assert b.links("a/1") == ["live", "stale"]

    async def test_is_asked_for_once_when_windows_begin_to_wait(self, bench):
        b = bench(fake_app())
        frames = frames_of("a/1", FRAMES + 2)
        for frame in frames[: FRAMES - 1]:
            b.engine.take(frame)
        assert not b.engine.news.is_set()
        b.engine.take(frames[FRAMES - 1])
        assert b.engine.news.is_set()
        b.engine.news.clear()
        b.engine.take(frames[FRAMES])
        assert not b.engine.news.is_set()  # whoever beats the tick knows
        await b.engine.tick()
        b.engine.take(frames[FRAMES + 1])
        assert b.engine.news.is_set()

    async def test_is_behind_by_the_age_of_what_was_read_last(self, bench):
        b = bench(fake_app())
        assert b.engine.behind_s == 0
        frames = frames_of("a/1", FRAMES + 1)
        for frame in frames:
            b.engine.take(frame)
        b.clock.now_s = frames[-1].arrival_s + 0.125
        assert b.engine.behind_s == pytest.approx(0.125)
        await b.engine.tick()
        assert b.engine.behind_s == 0
