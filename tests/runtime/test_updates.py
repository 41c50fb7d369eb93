"""Apps that come, change and go while frames come: every frame is served once, by one version."""

import asyncio
import threading
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import Bench
from .factory import FRAMES, fake_app, frames_of, interleaved


def failing(outputs):
    raise RuntimeError("the device is gone")


def not_finite(outputs):
    return {name: np.full_like(values, np.nan) for name, values in outputs.items()}


def half_finite(outputs):
    """Spoils the rows of some windows, always the same ones."""
    values = outputs["keypoints"].copy()
    values[np.floor(values.sum(axis=1) * 1000) % 2 == 1] = np.nan
    return {"keypoints": values}


BEHAVIOURS = {"good": lambda outputs: outputs, "raises": failing, "not finite": not_finite, "half": half_finite}


def new_version(version="2.0.0", behaviour="good", **spec):
    app = fake_app(version=version, **spec)
    app.session.spoil = BEHAVIOURS[behaviour]
    return app


def update(b: Bench, app) -> None:
    """Change at once."""
    b.engine.prepare(app)
    assert b.engine.ready(app.id)
    b.engine.replace(app.id)


def threads(app_id: str) -> int:
    return sum(thread.name == f"infer {app_id}" for thread in threading.enumerate())


def served(b: Bench) -> list[tuple[str, float, str]]:
    return [(fields.node, fields.time, fields.version) for fields in b.named("pose.frame")]


class TestAnUpdate:
    async def test_changes_version_between_two_frames_and_misses_none(self, bench):
        b = bench(fake_app())
        frames = frames_of("a/1", 20)
        await b.play(frames[:10])
        update(b, new_version())
        await b.play(frames[10:])
        assert served(b) == [
            ("a/1", frame.time_s, "1.2.3" if number < 10 else "2.0.0")
            for number, frame in enumerate(frames)
            if number >= FRAMES - 1
        ]
        assert b.engine.inferences == {"pose-app": 17}

    async def test_leaves_frames_from_before_it_to_the_version_before_in_order(self, bench):
        b = bench(fake_app())
        frames = frames_of("a/1", 20)
        await b.play(frames[:6])
        for frame in frames[6:9]:
            b.engine.take(frame)
        update(b, new_version())
        for frame in frames[9:12]:
            b.engine.take(frame)
        await b.engine.tick()
        assert [(time, version) for _, time, version in served(b)[-6:]] == [
            (frame.time_s, "1.2.3" if number < 3 else "2.0.0") for number, frame in enumerate(frames[6:12])
        ]

    async def test_to_another_window_waits_until_it_is_full_and_loses_nothing(self, bench):
        b = bench(fake_app())
        frames = frames_of("a/1", 30)
        await b.play(frames[:10])
        b.engine.prepare(new_version(frames=8))
        for number, frame in enumerate(frames[10:]):
            await b.play([frame])
            assert b.engine.ready("pose-app") == (7 <= number <= 9)
            if number == 9:
                b.engine.replace("pose-app")
        assert [time for _, time, _ in served(b)] == [frame.time_s for frame in frames[FRAMES - 1 :]]
        assert [version for *_, version in served(b)].index("2.0.0") == 20 - FRAMES + 1

    async def test_to_another_window_waits_until_somebody_is_heard(self, bench):
        b = bench(fake_app())
        b.engine.prepare(new_version(frames=6))
        assert not b.engine.ready("pose-app")
        await b.play(frames_of("a/1", 5))
        assert not b.engine.ready("pose-app")
        await b.play(frames_of("a/1", 1, first=5))
        assert b.engine.ready("pose-app")

    async def test_serves_nodes_that_join_later_with_the_version_before_until_their_windows_are_full(self, bench):
        b = bench(fake_app())
        await b.play(frames_of("a/1", 10))
        b.engine.prepare(new_version(frames=8))
        await b.play(frames_of("a/1", 10, first=10))
        b.engine.replace("pose-app")
        late = frames_of("a/2", 20, start_s=102.0)
        await b.play(late)
        assert [(time, version) for _, time, version in served(b)[-17:]] == [
            (frame.time_s, "1.2.3" if number < 7 else "2.0.0") for number, frame in enumerate(late) if number >= 3
        ]
        assert (b.engine.progress("pose-app").windows, b.engine.progress("pose-app").events) == (13, 13)

    async def test_counts_windows_that_fill_no_more_of_nodes_that_were_served(self, bench):
        b = bench(fake_app())
        await b.play(frames_of("a/1", 10))
        b.engine.prepare(new_version(frames=8, max_gap_s=0.06))
        await b.play(frames_of("a/1", 10, first=10))
        b.engine.replace("pose-app")
        await b.play(frames_of("a/1", 10, first=20)[1::2])
        assert (b.engine.progress("pose-app").windows, b.engine.progress("pose-app").events) == (5, 0)

    async def test_does_not_wait_for_nodes_that_are_gone(self, bench):
        b = bench(fake_app())
        await b.play(frames_of("a/1", 10))
        await b.play(frames_of("a/2", 100))
        assert b.links("a/1")[-1] == "stale"
        b.engine.prepare(new_version(frames=6))
        await b.play(frames_of("a/2", 6, first=100))
        assert b.engine.ready("pose-app")

    async def test_says_nothing_of_windows_that_do_not_serve(self, bench):
        b = bench(fake_app(max_gap_s=1.0))
        await b.play(frames_of("a/1", 6))
        b.engine.prepare(new_version(frames=8, max_gap_s=0.1))
        await b.play(frames_of("a/1", 3, first=6))
        await b.play(frames_of("a/1", 3, first=12))
        assert not b.named("window.reset")

    @pytest.mark.parametrize("end", ["settle", "revert"])
    async def test_that_is_over_ends_the_thread_and_the_windows_of_the_version_that_goes(self, bench, end):
        old, new = fake_app(app_id=f"to-{end}"), fake_app(app_id=f"to-{end}", version="2.0.0", frames=5)
        b = bench(old)
        await b.play(frames_of("a/1", 10))
        b.engine.prepare(new)
        await b.play(frames_of("a/1", 5, first=10))
        b.engine.replace(new.id)
        await b.engine.tick()
        assert {len(node.windows) for node in b.engine.nodes.by_name.values()} == {2}
        assert threads(new.id) == 2
        getattr(b.engine, end)(new.id)
        kept = new if end == "settle" else old
        assert {tuple(node.windows) for node in b.engine.nodes.by_name.values()} == {(kept.window,)}
        assert list(b.engine._pending) == [kept.window]
        async with asyncio.timeout(10):
            while threads(new.id) > 1:  # noqa: ASYNC110  # a thread
                await asyncio.sleep(0)

    async def test_costs_nothing_once_it_is_over(self, bench):
        first, second = fake_app(), new_version()
        b = bench(first)
        await b.play(frames_of("a/1", 10))
        update(b, second)
        await b.engine.tick()
        b.engine.settle("pose-app")
        before = len(first.session.batches)
        await b.play(frames_of("a/1", 10, first=10))
        assert len(first.session.batches) == before
        assert b.engine.place("pose-app").standby is None


class TestANewVersionThatFails:
    @pytest.mark.parametrize("spec", [{}, {"frames": 6}], ids=["same window", "another window"])
    @pytest.mark.parametrize("behaviour", ["raises", "not finite", "half"])
    async def test_costs_no_event_for_the_version_before_infers_the_same_frames_in_the_same_tick(
        self, bench, behaviour, spec
    ):
        b = bench(fake_app())
        frames = frames_of("a/1", 40)
        await b.play(frames[:10])
        b.engine.prepare(new_version(behaviour=behaviour, **spec))
        await b.play(frames[10:20])
        b.engine.replace("pose-app")
        ticks = b.engine.ticks
        for frame in frames[20:]:
            b.engine.take(frame)
        await b.engine.tick()
        new = b.named("pose.frame")[-20:]
        assert [fields.time for fields in new] == [frame.time_s for frame in frames[20:]]
        assert {fields.tick for fields in new} == {ticks + 1}
        assert {fields.version for fields in new} == ({"1.2.3", "2.0.0"} if behaviour == "half" else {"1.2.3"})
        assert b.engine.progress("pose-app").failure
        assert not b.engine.dropped
        assert not b.named("app.failed")

    async def test_by_hanging_costs_no_event_either(self, bench, monkeypatch):
        monkeypatch.setattr("cogd.runtime.runner.INFERENCE_LIMIT_S", 0.05)
        gate = threading.Event()
        b, stuck = bench(fake_app()), fake_app(version="2.0.0")
        stuck.session.spoil = lambda outputs: gate.wait() and outputs
        try:
            frames = frames_of("a/1", 20)
            await b.play(frames[:10])
            update(b, stuck)
            await b.play(frames[10:15])
            assert b.engine.progress("pose-app").failure == "no answer within 0.05 s"
            b.engine.revert("pose-app")
            await b.play(frames[15:])
        finally:
            gate.set()
        assert [time for _, time, _ in served(b)] == [frame.time_s for frame in frames[FRAMES - 1 :]]
        assert {version for *_, version in served(b)} == {"1.2.3"}

    async def test_in_its_head_costs_no_event_either(self, bench):
        new = new_version()
        b = bench(fake_app())
        await b.play(frames_of("a/1", 10))
        update(b, new)
        new.head.read = lambda outputs, contexts: []
        await b.play(frames_of("a/1", 10, first=10))
        assert len(b.named("pose.frame")) == 17
        assert b.engine.progress("pose-app").failure.startswith("its head gave 0 readings")

    async def test_together_with_the_version_before_is_said_once_and_counted(self, bench):
        old = fake_app()
        b = bench(old)
        await b.play(frames_of("a/1", 10))
        update(b, new_version(behaviour="raises"))
        old.session.spoil = not_finite
        await b.play(frames_of("a/1", 5, first=10))
        assert [f.reason for f in b.named("app.failed")] == ["its output is not finite"]
        assert b.engine.dropped == {"inference_failed": 5}

    async def test_goes_back_and_the_version_before_serves_what_waits(self, bench):
        b = bench(fake_app())
        frames = frames_of("a/1", 20)
        await b.play(frames[:10])
        update(b, new_version(behaviour="raises"))
        await b.play(frames[10:12])
        for frame in frames[12:15]:
            b.engine.take(frame)
        b.engine.revert("pose-app")
        await b.play(frames[15:])
        assert [time for _, time, _ in served(b)] == [frame.time_s for frame in frames[FRAMES - 1 :]]

    async def test_goes_back_before_it_served_and_nothing_that_waits_is_lost(self, bench):
        b = bench(fake_app())
        frames = frames_of("a/1", 20)
        for frame in frames[:8]:
            b.engine.take(frame)
        update(b, new_version())
        for frame in frames[8:10]:
            b.engine.take(frame)
        b.engine.revert("pose-app")
        await b.play(frames[10:])
        assert [time for _, time, _ in served(b)] == [frame.time_s for frame in frames[FRAMES - 1 :]]
        assert {version for *_, version in served(b)} == {"1.2.3"}

    async def test_does_not_touch_the_other_apps(self, bench):
        b = bench(fake_app(), fake_app("count", frames=6))
        await b.play(frames_of("a/1", 10))
        b.engine.prepare(new_version(behaviour="raises", frames=6))
        await b.play(frames_of("a/1", 1, first=10))
        b.engine.replace("pose-app")
        await b.play(frames_of("a/1", 9, first=11))
        assert len(b.named("count")) == 15
        assert len(b.named("pose.frame")) == 17


class TestAnApp:
    async def test_that_is_added_serves_from_the_next_frame_on(self, bench):
        b = bench(fake_app())
        frames = frames_of("a/1", 12)
        await b.play(frames[:8])
        for frame in frames[8:10]:
            b.engine.take(frame)
        b.engine.add(fake_app("count"))
        await b.play(frames[10:])
        assert [fields.time for fields in b.named("count")] == [frame.time_s for frame in frames[10:]]
        assert len(b.named("pose.frame")) == 9

    async def test_that_is_removed_says_no_more_and_the_others_go_on(self, bench):
        b = bench(fake_app(), fake_app("count", frames=6))
        await b.play(frames_of("a/1", 10))
        b.engine.remove("count-app")
        await b.play(frames_of("a/1", 10, first=10))
        assert len(b.named("count")) == 5
        assert len(b.named("pose.frame")) == 17
        assert len(b.engine._pending) == 1

    async def test_that_was_the_last_leaves_a_daemon_that_waits_for_the_next(self, bench):
        b = bench(fake_app(), max_pending=1)
        for frame in frames_of("a/1", FRAMES):
            b.engine.take(frame)
        waiting = asyncio.create_task(b.engine.put(frames_of("a/1", 1, first=FRAMES)[0]))
        await asyncio.sleep(0)
        b.engine.remove("pose-app")
        await asyncio.wait_for(waiting, 10)  # nobody waits for room in a queue that is no more
        await b.play(frames_of("a/1", 10, first=5))
        assert not b.named("pose.frame")
        b.engine.add(fake_app())
        await b.play(frames_of("a/1", 10, first=15))
        assert len(b.named("pose.frame")) == 10 - FRAMES + 1


class Model:
    """What the engine must do, said without batches, queues or serials.

    A frame that was taken waits with the windows it completed, of the version that serves and of the one that stands
    by; the next tick infers it once.
    """

    def __init__(self, b: Bench, app):
        self.b, self.serving, self.standby, self.candidate, self.ticked = b, app, None, None, False
        self.behaviour = {app.bundle.digest: "good"}
        self.waiting, self.must, self.may = [], [], set()
        self.full = set()

    def take(self, frame):
        self.b.clock.now_s = frame.arrival_s
        self.b.engine.take(frame)
        self.waiting.append((frame, self.serving, self.standby, self._complete(frame)))

    def _complete(self, frame):
        """Digests of the versions for which this frame completed a window."""
        windows = self.b.engine.nodes.by_name[frame.node].windows
        arrived = {spec for spec, window in windows.items() if window.complete and window._times_s[-1] == frame.time_s}
        loaded = [app for app in (self.serving, self.standby) if app is not None]
        return {app.bundle.digest for app in loaded if app.window in arrived}

    async def tick(self):
        for frame, serving, standby, complete in self.waiting:
            if serving.bundle.digest in complete:
                self.full.add(frame.node)
            elif frame.node not in self.full and standby is not None and standby.bundle.digest in complete:
                self.must.append((frame.node, frame.time_s))
                continue
            else:
                continue
            behaviour = self.behaviour[serving.bundle.digest]
            spared = standby is not None and standby.bundle.digest in complete
            if behaviour == "good" or spared:
                self.must.append((frame.node, frame.time_s))
            elif behaviour == "half":
                self.may.add((frame.node, frame.time_s))
        self.waiting, self.ticked = [], True
        await self.b.engine.tick()

    def prepare(self, spec, behaviour):
        if self.candidate is None and self.standby is None:
            self.candidate = new_version(f"2.0.{len(self.behaviour)}", behaviour, **spec)
            self.behaviour[self.candidate.bundle.digest] = behaviour
            self.b.engine.prepare(self.candidate)

    def replace(self):
        if self.candidate is not None and self.b.engine.ready("pose-app"):
            self.b.engine.replace("pose-app")
            self.serving, self.standby, self.candidate, self.ticked = self.candidate, self.serving, None, False
            self.full = {
                name
                for name, node in self.b.engine.nodes.by_name.items()
                if node.link.state.value == "live" and node.windows[self.serving.window].complete
            }

    def settle(self):
        if self.standby is not None and self.ticked and self.behaviour[self.serving.bundle.digest] == "good":
            self.b.engine.settle("pose-app")
            self.standby = None
            self.waiting = [(frame, serving, None, complete) for frame, serving, _, complete in self.waiting]

    def revert(self):
        self.b.engine.revert("pose-app")
        if self.standby is not None:  # what waits is the old version's again
            self.serving = self.standby
            self.waiting = [(frame, self.serving, None, complete) for frame, _, _, complete in self.waiting]
        self.standby = self.candidate = None


async def follow(actions, frames, kinds) -> tuple[Bench, Model]:
    """Do what is asked for as far as it can be done now."""
    first = fake_app()
    b = Bench(first)
    model, coming, versions = Model(b, first), iter(frames), iter(kinds)
    for action in actions:
        if action == "take" and (frame := next(coming, None)) is not None:
            model.take(frame)
        elif action == "tick":
            await model.tick()
        elif action == "prepare" and (kind := next(versions, None)) is not None:
            model.prepare(*kind)
        elif action in {"replace", "settle", "revert"}:
            getattr(model, action)()
    await model.tick()
    b.engine.close()
    return b, model


SPECS = [{}, {"frames": 6}, {"frames": 3}, {"min_gap_s": 0.075}, {"frames": 8, "max_gap_s": 0.15}]
ACTIONS = st.sampled_from(["take"] * 12 + ["tick"] * 4 + ["prepare", "replace", "replace", "settle", "revert"])


@given(
    actions=st.lists(ACTIONS, min_size=20, max_size=160),
    kinds=st.lists(
        st.tuples(st.sampled_from(SPECS), st.sampled_from(["good", "good", *BEHAVIOURS])), min_size=1, max_size=5
    ),
    gaps=st.sets(st.integers(0, 120), max_size=8),
)
@settings(max_examples=150, deadline=None)
def test_every_complete_window_of_what_serves_gives_one_event_however_the_changes_fall(actions, kinds, gaps):
    frames = interleaved(frames_of("a/1", 80), frames_of("a/2", 60, start_s=100.013), frames_of("b/1", 40, rate_hz=9))
    frames = [frame for number, frame in enumerate(frames) if number // 6 not in gaps]

    b, model = asyncio.run(follow(actions, frames, kinds))
    got = Counter((fields.node, fields.time) for fields in b.named("pose.frame"))
    assert all(count == 1 for count in got.values())
    assert set(model.must) <= got.keys() <= set(model.must) | model.may
    by_node = {node: [fields.time for fields in b.named("pose.frame") if fields.node == node] for node, _ in got}
    assert all(times == sorted(times) for times in by_node.values())
    ticks = [fields.tick for fields in b.named("pose.frame")]
    assert ticks == sorted(ticks)
    assert b.engine.inferences["pose-app"] == len(b.named("pose.frame"))
    assert set(b.engine.dropped) <= {"inference_failed"}


@given(st.lists(st.sampled_from(["take", "take", "tick", "update"]), min_size=10, max_size=60))
@settings(max_examples=40, deadline=None)
def test_the_events_of_versions_that_compute_the_same_are_those_of_one_version(actions):
    """`Update` changes nothing that the model computes: then nobody can tell when it happened."""
    taken = actions.count("take")
    frames = frames_of("a/1", max(1, taken))[:taken]

    def plain(b: Bench):
        return [
            (fields.node, fields.time, fields.persons[0].keypoints, fields.window) for fields in b.named("pose.frame")
        ]

    async def play(*, updating: bool) -> Bench:
        b, coming, versions = Bench(fake_app()), iter(frames), 0
        for action in actions:
            if action == "take":
                b.engine.take(next(coming))
            elif action == "tick" or not updating:
                await b.engine.tick()
            elif updating:
                versions += 1
                await b.engine.tick()
                b.engine.settle("pose-app")
                update(b, new_version(f"2.0.{versions}"))
        await b.engine.tick()
        b.engine.close()
        return b

    assert plain(asyncio.run(play(updating=True))) == plain(asyncio.run(play(updating=False)))
