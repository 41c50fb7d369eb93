"""Watching a quiet room: what is measured, when it is refused, and that events change with it."""

import asyncio
import json
from functools import partial
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from cogd.csi.frame import Origin
from cogd.errors import CalibrationError, CogdError, NoAppError, PermissionDeniedError, StorageError
from cogd.runtime.baselines import FILE_NAME, Baselines
from cogd.runtime.calibrator import COVERED, MIN_WINDOWS, Calibrator
from cogd.runtime.runner import Runner

from .conftest import Bench
from .factory import CELLS, fake_app, frames_of, interleaved

SECONDS = 10.0
RATE_HZ = 20


class Room(Bench):
    """Nodes that send, and a daemon's calibrator whose time passes by their frames."""

    def __init__(self, folder, *apps, nodes=("a/1",), **arguments):
        self.baselines = Baselines(folder)
        super().__init__(*apps, run=partial(Runner, baselines=self.baselines.of), **arguments)
        self.calibrator = Calibrator(self.engine, self.baselines, self.clock, self.emitter)
        self.clock.sleep = self.pass_by
        self.nodes = nodes
        self.origin = Origin.LIVE
        self.sent = 0
        self.meanwhile = lambda: None

    async def pass_by(self, seconds: float) -> None:
        count = round(seconds * RATE_HZ)
        times = {"first": self.sent, "start_s": 100.02, "origin": self.origin}  # each in the middle of a cell
        await self.play(interleaved(*(frames_of(node, count, **times) for node in self.nodes)))
        self.sent += count
        self.meanwhile()

    def events_of(self, node: str) -> list:
        return [fields for fields in self.named("motion") if fields.node == node]


def motion_app(scores=None, app_id="motion-app", version="1.0.0"):
    """An app whose score is what `scores` makes of how many windows came before."""
    app, windows = fake_app("motion", app_id, version, **CELLS), iter(range(1_000_000))
    if scores is not None:
        app.session.spoil = lambda outputs: {
            "motion_logits": np.float32([[scores(next(windows))] for _ in outputs["motion_logits"]])
        }
    return app


def noise(level: float):
    return lambda number: level + 0.1 * (number % 5 - 2)


@pytest.fixture
async def room(tmp_path):
    made = []

    async def make(*apps, nodes=("a/1",), heard_s=1.0, **arguments) -> Room:
        made.append(Room(tmp_path / "state", *(apps or (motion_app(noise(-3.0)),)), nodes=nodes, **arguments))
        if heard_s:
            await made[-1].pass_by(heard_s)
        return made[-1]

    yield make
    for each in made:
        each.engine.close()


class TestAQuietRoom:
    async def test_is_measured_by_the_median_and_its_spread(self, room):
        r = await room()
        (one,) = await r.calibrator.calibrate(None, [], SECONDS)
        assert (one.node, one.app, one.digest) == ("a/1", "motion-app", r.apps[0].bundle.digest)
        assert (one.score, one.spread) == (pytest.approx(-3.0), pytest.approx(0.1))
        assert one.n == SECONDS * RATE_HZ
        assert (one.seconds, one.origin, one.time) == (SECONDS, "live", r.clock.unix_s())

    async def test_changes_the_events_of_its_node_alone_and_at_once(self, room):
        r = await room(nodes=("a/1", "a/2"))
        before = r.events_of("a/1")[-1]
        assert (before.baseline, before.baseline_time) == (None, None)
        (one,) = await r.calibrator.calibrate("motion-app", ["a/1"], SECONDS)
        await r.pass_by(1.0)
        after = r.events_of("a/1")[-1]
        assert (after.baseline, after.baseline_time) == (one.score, one.time)
        expected = 1 / (1 + np.exp(-(4.0 * (after.score - one.score) - 4.0)))
        assert after.probability == pytest.approx(expected, abs=1e-5)
        assert r.events_of("a/2")[-1].baseline is None

    async def test_is_told_and_outlasts_a_restart(self, room):
        r = await room()
        (one,) = await r.calibrator.calibrate(None, [], SECONDS)
        (told,) = r.named("calibration.done")
        assert msgspec.structs.asdict(told) == msgspec.structs.asdict(one)
        again = Baselines(r.baselines.path.parent)
        again.load()
        assert list(again) == [one]

    async def test_is_measured_for_every_node_that_is_heard_and_every_app_that_wants_it(self, room):
        r = await room(
            motion_app(noise(-3.0)), motion_app(noise(-1.0), "motion-2"), fake_app(), nodes=("a/1", "a/2", "b/1")
        )
        measured = await r.calibrator.calibrate(None, [], SECONDS)
        assert [(one.node, one.app) for one in measured] == [
            (node, app) for node in ("a/1", "a/2", "b/1") for app in ("motion-app", "motion-2")
        ]
        assert len(r.named("calibration.done")) == 6

    async def test_is_measured_by_scores_that_are_not_sure_enough_for_an_event(self, room, tmp_path):
        app = motion_app(noise(1.9))
        object.__setattr__(app, "min_confidence", 0.9)
        r = await room(app)
        assert not r.named("motion")
        (one,) = await r.calibrator.calibrate(None, [], SECONDS)
        assert one.score == pytest.approx(1.9)

    async def test_is_measured_again_in_place_of_the_measurement_before(self, room):
        level = [-3.0]
        r = await room(motion_app(lambda number: level[0]))
        await r.calibrator.calibrate(None, [], SECONDS)
        level[0] = -2.0
        (one,) = await r.calibrator.calibrate(None, [], SECONDS)
        assert (one.score, list(r.baselines)) == (-2.0, [one])

    async def test_can_be_simulated_where_that_is_believed(self, room):
        r = await room(heard_s=0, believe=lambda source: True)
        r.origin = Origin.SIMULATED
        await r.pass_by(1.0)
        (one,) = await r.calibrator.calibrate(None, [], SECONDS)
        assert one.origin == "simulated"


class TestItIsRefused:
    async def refused(self, r: Room, *asked, kind=CalibrationError, seconds=SECONDS) -> CogdError:
        app_id, nodes = asked or (None, [])
        with pytest.raises(kind) as caught:
            await r.calibrator.calibrate(app_id, nodes, seconds)
        assert not list(r.baselines)
        assert not (r.baselines.path).exists()
        (told,) = r.named("calibration.failed")
        assert (told.app, told.nodes, told.code) == (app_id, list(nodes), caught.value.code)
        assert told.reason == str(caught.value)
        assert not r.engine.observers
        return caught.value

    async def test_where_there_is_no_such_app(self, room):
        await self.refused(await room(), "other", [], kind=NoAppError)

    async def test_where_the_app_has_no_use_for_it(self, room):
        r = await room(fake_app(), motion_app())
        assert "pose-app has no use" in str(await self.refused(r, "pose-app", []))

    async def test_where_no_app_has_a_use_for_it(self, room):
        assert "no app that runs has a use" in str(await self.refused(await room(fake_app())))

    async def test_where_there_is_no_such_node(self, room):
        error = await self.refused(await room(), None, ["a/1", "a/9"])
        assert "no node a/9 was heard" in str(error)
        assert error.hint == "heard are a/1"

    async def test_where_nobody_was_heard(self, room):
        assert "no node is live" in str(await self.refused(await room(heard_s=0)))

    async def test_where_the_node_is_not_live(self, room):
        r = await room()
        await r.at(r.clock.now_s + 5)
        assert "a/1 is stale" in str(await self.refused(r, None, ["a/1"]))

    async def test_where_it_is_simulated_and_not_believed(self, room):
        r = await room(heard_s=0)
        r.origin = Origin.SIMULATED
        await r.pass_by(1.0)
        assert "a/1 is simulated and not believed" in str(await self.refused(r, None, ["a/1"]))

    @pytest.mark.parametrize("seconds", [1.9, 601.0, float("nan"), -1.0])
    async def test_where_the_time_is_none(self, room, seconds):
        await self.refused(await room(), seconds=seconds)

    async def test_where_too_few_windows_came(self, room):
        r = await room()
        whole = r.pass_by
        r.clock.sleep = lambda seconds: whole(COVERED * seconds - 0.5)
        assert "only 150 windows came, over 7.5" in str(await self.refused(r))

    async def test_where_the_node_is_slow(self, room):
        r = await room(heard_s=0)
        await r.play(frames_of("a/1", 20, rate_hz=2.5))

        async def slowly(seconds):
            await r.play(frames_of("a/1", 24, first=20, rate_hz=2.5)[: MIN_WINDOWS - 1])

        r.clock.sleep = slowly
        assert f"only {MIN_WINDOWS - 1} windows came" in str(await self.refused(r))

    async def test_where_something_moved(self, room):
        r = await room(motion_app(lambda number: 2.0 if 100 <= number < 130 else -3.0))
        error = await self.refused(r)
        assert "a/1: something moved: 30 of 200 windows" in str(error)
        assert "leave the room" in error.hint

    async def test_where_the_heads_own_rule_fails(self, room):
        app = motion_app(noise(1.0))
        app.head.quiet = SimpleNamespace(why_not=lambda scores: scores[10_000])
        why = str(await self.refused(await room(app)))
        assert why.endswith("a/1: its head failed: IndexError: list index out of range")

    async def test_where_something_moved_at_one_node_nothing_of_the_others_is_kept(self, room):
        def score(number):
            return 2.0 if number % 2 and number > 300 else -3.0  # of the second node, at the end

        r = await room(motion_app(score), nodes=("a/1", "a/2"))
        assert str(await self.refused(r)).startswith("motion-app, a/2: something moved")

    async def test_where_another_version_came(self, room):
        r = await room()

        def update():
            r.engine.prepare(motion_app(version="2.0.0"))
            r.engine.replace("motion-app")

        r.meanwhile = update
        assert "another version of motion-app serves" in str(await self.refused(r))

    async def test_while_another_one_is_under_way(self, room):
        r = await room()
        begun, end = asyncio.Event(), asyncio.Event()

        async def wait(seconds):
            begun.set()
            await end.wait()
            await r.pass_by(seconds)

        r.clock.sleep = wait
        first = asyncio.create_task(r.calibrator.calibrate(None, [], SECONDS))
        await begun.wait()
        for second in (r.calibrator.calibrate(None, [], SECONDS), r.calibrator.forget(None, ["a/1"])):
            with pytest.raises(CalibrationError, match="under way"):
                await second
        end.set()
        assert len(await first) == 1

    async def test_where_it_could_not_be_stored_nobody_has_to_wait_for_that(self, room, tmp_path):
        r = await room()
        r.baselines.path = tmp_path / "none" / "state" / FILE_NAME
        r.clock.sleep = lambda seconds: pytest.fail("it was watched")
        error = await self.refused(r, kind=PermissionDeniedError)
        assert "state_dir" in error.hint

    async def test_where_it_can_not_be_stored_after_all(self, room):
        r = await room()
        r.meanwhile = r.baselines.path.parent.touch
        await self.refused(r, kind=StorageError)


async def test_whoever_gives_up_leaves_nothing_behind(room):
    r = await room()
    r.clock.sleep = asyncio.sleep
    watching = asyncio.create_task(r.calibrator.calibrate(None, [], SECONDS))
    await asyncio.sleep(0)
    assert r.engine.observers
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert not r.engine.observers
    r.clock.sleep = r.pass_by
    assert await r.calibrator.calibrate(None, [], SECONDS)


class TestForgetting:
    async def test_takes_the_baseline_out_of_use_and_off_the_disk(self, room):
        r = await room(nodes=("a/1", "a/2"))
        await r.calibrator.calibrate(None, [], SECONDS)
        (gone,) = await r.calibrator.forget(None, ["a/1"])
        assert (gone.node, r.named("calibration.forgotten")[0].node) == ("a/1", "a/1")
        await r.pass_by(0.5)
        assert r.events_of("a/1")[-1].baseline is None
        assert r.events_of("a/2")[-1].baseline is not None
        assert [one["node"] for one in json.loads(r.baselines.path.read_text())["baselines"]] == ["a/2"]

    async def test_what_was_never_measured_is_refused_and_nothing_is_forgotten(self, room):
        r = await room()
        await r.calibrator.calibrate(None, [], SECONDS)
        for app_id, nodes in ((None, ["a/1", "a/7"]), ("other", ["a/1"])):
            with pytest.raises(CalibrationError, match="no baseline of"):
                await r.calibrator.forget(app_id, nodes)
        assert len(list(r.baselines)) == 1


class TestAnotherVersion:
    async def test_does_not_use_the_baseline_and_says_so_once(self, room):
        r = await room()
        await r.calibrator.calibrate(None, [], SECONDS)
        r.calibrator.look()
        assert not r.named("calibration.unused")
        new = motion_app(noise(-3.0), version="2.0.0")
        r.engine.prepare(new)
        r.engine.replace("motion-app")
        for _ in range(3):
            r.calibrator.look()
        (told,) = r.named("calibration.unused")
        assert (told.app, told.node, told.serving_digest) == ("motion-app", "a/1", new.bundle.digest)
        await r.pass_by(0.5)
        assert r.events_of("a/1")[-1].baseline is None
        assert [one["used"] for one in r.calibrator.listed()] == [False]

    async def test_that_is_given_up_leaves_the_baseline_in_use(self, room):
        r = await room()
        (one,) = await r.calibrator.calibrate(None, [], SECONDS)
        r.engine.prepare(motion_app(noise(-3.0), version="2.0.0"))
        r.engine.replace("motion-app")
        await r.pass_by(0.5)
        r.engine.revert("motion-app")
        await r.pass_by(0.5)
        assert r.events_of("a/1")[-1].baseline == one.score
        assert [one["used"] for one in r.calibrator.listed()] == [True]

    async def test_has_a_baseline_of_its_own_and_the_one_before_is_kept(self, room):
        r = await room()
        await r.calibrator.calibrate(None, [], SECONDS)
        r.engine.prepare(motion_app(noise(-1.0), version="2.0.0"))
        r.engine.replace("motion-app")
        await r.pass_by(0.5)
        await r.calibrator.calibrate(None, [], SECONDS)
        r.calibrator.look()
        assert not r.named("calibration.unused")
        assert [(one["score"], one["used"]) for one in r.calibrator.listed()] == [(-3.0, False), (-1.0, True)]


class TestAStart:
    async def test_uses_what_is_stored(self, room, tmp_path):
        r = await room()
        (one,) = await r.calibrator.calibrate(None, [], SECONDS)
        again = await room(heard_s=0)
        again.calibrator.load()
        again.calibrator.look()
        assert not again.events
        await again.pass_by(1.0)
        assert again.events_of("a/1")[-1].baseline == one.score

    async def test_says_what_can_not_be_read_and_goes_on_without(self, room, tmp_path):
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / FILE_NAME).write_text("{")
        r = await room(heard_s=0)
        r.calibrator.load()
        (told,) = r.named("calibration.failed")
        assert (told.app, told.nodes, told.code) == (None, [], StorageError.code)
        await r.pass_by(1.0)
        assert r.events_of("a/1")[-1].baseline is None
