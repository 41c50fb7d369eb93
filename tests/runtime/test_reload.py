"""What a reload does to the running apps; the tick and the clock are beaten by hand."""

import asyncio
import itertools
import threading
import time

import pytest

from cogd.bundle.load import RejectedApp
from cogd.errors import (
    BundleError,
    ControlError,
    DigestError,
    KeyFileError,
    ModelError,
    PermissionDeniedError,
    RevokedKeyError,
    ThresholdError,
    UnknownKeyError,
)
from cogd.runtime import reload as reload_module
from cogd.runtime.loader import LoadLimits
from cogd.runtime.reload import Reloader, ReloadLimits

from .catalogue import FakeCatalogue
from .conftest import Bench
from .factory import CELLS, FRAMES, fake_app, frames_of
from .test_updates import new_version

CANARY_S = 2.0
TICK_S = 0.05
PATIENCE_S = 10.0
RATE_HZ = 20


class Rig(Bench):
    """A bench whose apps are reloaded from a catalogue."""

    def __init__(self, *apps, rejected=(), catalogue=None, tick_s=TICK_S, rate_hz=RATE_HZ, limits=None):
        super().__init__(*apps)
        self.catalogue = catalogue or FakeCatalogue(*apps)
        self.reloader = Reloader(
            self.engine, self.emitter, self.catalogue, self.clock, CANARY_S, tick_s, rejected, limits=limits
        )
        self._rate_hz = rate_hz
        firsts = itertools.count(step=100)
        self._frames = (frame for first in firsts for frame in frames_of("a/1", 100, first=first, rate_hz=rate_hz))

    async def run(self, seconds: float = 0.0) -> None:
        """Frames of one node, a tick for each, and what comes between two ticks."""
        for _ in range(round(seconds * self._rate_hz)):
            frame = next(self._frames)
            self.clock.now_s = frame.arrival_s
            self.engine.take(frame)
            await self.engine.tick()
            self.reloader.between_ticks()
            await asyncio.sleep(0)

    async def until(self, done) -> None:
        """Tick without a frame until something is so."""
        async with asyncio.timeout(PATIENCE_S):
            while not done():
                await self.engine.tick()
                self.reloader.between_ticks()
                await asyncio.sleep(0.001)

    async def changed(self) -> asyncio.Task:
        """Ask for a reload; it has been done between two ticks, but its canary goes on."""
        told = len(self.named("app.updated")) + len(self.named("app.rolled_back"))
        asked = asyncio.create_task(self.reloader.reload())
        await self.until(
            lambda: (
                asked.done()
                or len(self.named("app.updated")) + len(self.named("app.rolled_back")) > told
                or any(self.reloader.trial(app.id) for app in self.engine.apps)
            )
        )
        return asked

    async def answer(self, asked: asyncio.Task) -> dict:
        """What was answered, by app: outcome and version."""
        await self.until(asked.done)
        return {app_id: (outcome.outcome, outcome.version) for app_id, outcome in asked.result().items()}

    @property
    def versions(self) -> dict[str, str]:
        return {app.id: app.bundle.manifest.version for app in self.engine.apps}

    def assert_no_frame_lost(self) -> None:
        """One event for every frame since the first window was full."""
        times = [fields.time for fields in self.named("pose.frame")]
        first = 100 + (FRAMES - 1) / RATE_HZ
        assert times == pytest.approx([first + number / RATE_HZ for number in range(len(times))])
        assert self.engine.nodes.totals()["a/1"].frames == len(times) + FRAMES - 1


@pytest.fixture
async def rig():
    made = []

    async def make(*apps, **arguments) -> Rig:
        made.append(Rig(*(apps or (fake_app(),)), **arguments))
        await made[-1].run(1.0)
        return made[-1]

    yield make
    for each in made:
        await each.reloader.close()
        each.engine.close()


class TestANewVersion:
    async def test_serves_is_watched_and_confirmed(self, rig):
        r = await rig()
        r.catalogue.install(new_version())
        asked = await r.changed()
        assert r.versions == {"pose-app": "2.0.0"}
        await r.run(CANARY_S)
        assert r.reloader.trial("pose-app") == "serving"
        await r.run(0.1)
        assert await r.answer(asked) == {"pose-app": ("confirmed", "2.0.0")}
        assert r.engine.place("pose-app").standby is None
        r.assert_no_frame_lost()

    async def test_is_told_with_the_tick_that_it_serves_from(self, rig):
        old, new = fake_app(), new_version()
        r = await rig(old)
        r.catalogue.install(new)
        await r.changed()
        await r.run(1.0)
        (told,) = r.named("app.updated")
        first = next(fields for fields in r.named("pose.frame") if fields.version == "2.0.0")
        assert told.tick == first.tick
        assert (told.app, told.version, told.digest, told.backend) == ("pose-app", "2.0.0", new.bundle.digest, "fake")
        assert (told.previous_version, told.previous_digest) == ("1.2.3", old.bundle.digest)
        assert told.canary_s == CANARY_S

    async def test_of_another_window_serves_once_that_is_full(self, rig):
        r = await rig()
        r.catalogue.install(new_version(frames=10))
        asked = await r.changed()
        assert r.reloader.trial("pose-app") == "filling"
        await r.run(0.4)
        assert not r.named("app.updated")
        await r.run(0.2)
        assert r.reloader.trial("pose-app") == "serving"
        await r.run(CANARY_S + 0.1)
        assert await r.answer(asked) == {"pose-app": ("confirmed", "2.0.0")}
        r.assert_no_frame_lost()

    async def test_is_read_and_loaded_on_other_threads_while_the_tick_goes_on(self, rig):
        r = await rig()
        r.catalogue.install(new_version())
        r.catalogue.gate.clear()
        asked = asyncio.create_task(r.reloader.reload())
        await r.run(5.0)
        assert r.versions == {"pose-app": "1.2.3"}
        r.catalogue.gate.set()
        await r.until(lambda: r.named("app.updated"))
        await r.run(CANARY_S + 0.1)
        assert await r.answer(asked) == {"pose-app": ("confirmed", "2.0.0")}
        assert threading.get_ident() not in r.catalogue.threads
        r.assert_no_frame_lost()

    async def test_that_proves_nothing_is_pending_and_the_answer_does_not_wait_for_ever(self, rig, monkeypatch):
        monkeypatch.setattr(reload_module, "GRACE_S", 0.05 - CANARY_S)
        r = await rig()
        r.catalogue.install(new_version())
        asked = await r.changed()
        assert await r.answer(asked) == {"pose-app": ("pending", "2.0.0")}
        assert r.engine.place("pose-app").standby is not None

    async def test_goes_on_though_nobody_waits_for_the_answer(self, rig):
        r = await rig()
        r.catalogue.install(new_version())
        r.catalogue.gate.clear()
        asked = asyncio.create_task(r.reloader.reload())
        await r.run(0.5)
        asked.cancel()
        await r.run(0.5)
        r.catalogue.gate.set()
        await r.until(lambda: r.named("app.updated"))
        await r.run(CANARY_S + 0.1)
        assert r.versions == {"pose-app": "2.0.0"}
        assert r.reloader.trial("pose-app") is None

    async def test_is_taken_by_a_request_that_nobody_waits_for(self, rig):
        r = await rig()
        r.catalogue.install(new_version())
        for _ in range(50):
            r.reloader.request()
        assert len(r.reloader._tasks) == 2
        await r.until(lambda: r.named("app.updated"))
        await r.until(lambda: not r.reloader._tasks)
        assert r.catalogue.loads == ["2.0.0"]

    async def test_is_loaded_again_if_it_left_the_memory_meanwhile(self, rig):
        r = await rig()
        r.catalogue.install(new_version())
        await r.changed()
        r.catalogue.install(fake_app("count", "z-is-read-last"))
        r.catalogue.gate.clear()
        second = asyncio.create_task(r.reloader.reload())
        r.engine.place("pose-app").active.app.session.spoil = lambda outputs: {}
        r.catalogue.read_only = PermissionDeniedError("not your folder")
        await asyncio.sleep(0.05)  # the scan found the running version, and the other is loading
        await r.run(0.1)
        assert r.versions == {"pose-app": "1.2.3"}
        r.catalogue.gate.set()
        await r.until(lambda: len(r.named("app.updated")) == 3)
        assert r.catalogue.loads.count("2.0.0") == 2
        second.cancel()

    async def test_of_long_windows_has_the_time_that_they_need(self, rig):
        r = await rig()
        r.catalogue.install(new_version(frames=60))  # 3 s, where the canary is 2 s
        asked = await r.changed()
        await r.run(2.9)
        assert r.reloader.trial("pose-app") == "filling"
        await r.run(0.2)
        assert r.reloader.trial("pose-app") == "serving"
        await r.run(CANARY_S + 0.1)
        assert await r.answer(asked) == {"pose-app": ("confirmed", "2.0.0")}
        r.assert_no_frame_lost()

    async def test_whose_windows_move_on_cell_by_cell_is_not_measured_against_every_frame(self, rig):
        r = await rig(rate_hz=100)
        r.catalogue.install(new_version(**CELLS))  # 20 cells a second
        asked = await r.changed()
        await r.run(CANARY_S + 1.0)
        assert await r.answer(asked) == {"pose-app": ("confirmed", "2.0.0")}

    async def test_of_another_window_waits_for_input(self, rig):
        r = Rig(fake_app())
        r.catalogue.install(new_version(frames=8))
        asked = await r.changed()
        await r.until(lambda: r.engine.ticks > 20)
        assert r.reloader.trial("pose-app") == "filling"
        await r.run(1.0)
        assert r.reloader.trial("pose-app") == "serving"
        asked.cancel()
        await r.reloader.close()
        r.engine.close()


class TestAVersionThatNeedsNoTrial:
    @pytest.mark.parametrize("spec", [{}, {"frames": 6}], ids=["same window", "another window"])
    async def test_takes_the_place_of_the_one_before_without_a_gap_and_without_a_canary(self, rig, spec):
        r, new = await rig(), new_version(**spec)
        r.catalogue.install(new)
        r.catalogue.no_trial = {new.bundle.digest}
        asked = await r.changed()
        await r.run(0.5)
        assert await r.answer(asked) == {"pose-app": ("confirmed", "2.0.0")}
        assert r.engine.place("pose-app").standby is None
        assert [told.canary_s for told in r.named("app.updated")] == [0]
        r.assert_no_frame_lost()
        await r.reloader.close()
        assert r.catalogue.proven == []

    async def test_does_not_go_back_though_it_fails(self, rig):
        r, new = await rig(), new_version(behaviour="raises")
        r.catalogue.install(new)
        r.catalogue.no_trial = {new.bundle.digest}
        asked = await r.changed()
        await r.run(CANARY_S + 1.0)
        assert await r.answer(asked) == {"pose-app": ("confirmed", "2.0.0")}
        assert r.versions == {"pose-app": "2.0.0"}
        assert r.named("app.failed")
        assert not r.named("app.rolled_back")

    async def test_is_taken_though_its_windows_do_not_fill(self, rig):
        r, new = await rig(), new_version(frames=8, max_gap_s=0.04)
        r.catalogue.install(new)
        r.catalogue.no_trial = {new.bundle.digest}
        asked = await r.changed()
        await r.run(CANARY_S - 0.1)
        assert r.versions == {"pose-app": "1.2.3"}
        await r.run(0.3)
        assert await r.answer(asked) == {"pose-app": ("confirmed", "2.0.0")}
        assert r.versions == {"pose-app": "2.0.0"}

    async def test_that_can_not_be_loaded_leaves_what_runs_alone(self, rig):
        r, new = await rig(), new_version()
        r.catalogue.install(new, broken=ModelError("no weights"))
        r.catalogue.no_trial = {new.bundle.digest}
        assert await r.answer(await r.changed()) == {"pose-app": ("rolled_back", "2.0.0")}
        assert r.versions == {"pose-app": "1.2.3"}

    @pytest.mark.parametrize("seconds", [0.0, 0.1])
    async def test_is_not_taken_back_with_the_one_that_follows_it(self, rig, seconds):
        r, second, third = await rig(), new_version(frames=6), new_version("3.0.0", "raises")
        r.catalogue.install(second)
        r.catalogue.no_trial = {second.bundle.digest}
        await r.changed()
        await r.run(seconds)
        r.catalogue.install(third)
        asked = asyncio.create_task(r.reloader.reload())
        await r.until(lambda: r.versions == {"pose-app": "3.0.0"})
        await r.run(1.0)
        assert await r.answer(asked) == {"pose-app": ("rolled_back", "3.0.0")}
        assert r.catalogue.taken_back == ["3.0.0"]


class TestAVersionThatFails:
    async def test_to_keep_up_with_the_tick_goes_back(self, rig):
        r, new = await rig(tick_s=0.005), new_version()
        new.session.spoil = lambda outputs: time.sleep(0.01) or outputs
        r.catalogue.install(new)
        asked = await r.changed()
        await r.run(CANARY_S + 0.1)
        assert await r.answer(asked) == {"pose-app": ("rolled_back", "2.0.0")}
        assert "where the tick is 5 ms and the version before" in r.named("app.rolled_back")[0].reason

    @pytest.mark.parametrize("behaviour", ["raises", "not finite", "half"])
    async def test_goes_back_in_memory_and_on_the_disk_and_says_so(self, rig, behaviour):
        old, new = fake_app(), new_version(behaviour=behaviour)
        r = await rig(old)
        r.catalogue.install(new)
        asked = await r.changed()
        await r.run(1.0)
        assert await r.answer(asked) == {"pose-app": ("rolled_back", "2.0.0")}
        assert r.versions == {"pose-app": "1.2.3"}
        assert r.catalogue.installed("pose-app") == "1.2.3"
        (told,) = r.named("app.rolled_back")
        assert (told.version, told.digest) == ("2.0.0", new.bundle.digest)
        assert (told.to_version, told.to_digest) == ("1.2.3", old.bundle.digest)
        assert told.reason == {"raises": "RuntimeError: the device is gone"}.get(behaviour, "its output is not finite")
        assert (told.code, told.kept) == (None, True)
        assert all(fields.version == "1.2.3" for fields in r.named("pose.frame") if fields.tick >= told.tick)
        assert told.tick < r.engine.ticks
        await r.run(1.0)
        r.assert_no_frame_lost()

    async def test_to_give_events_at_the_rate_of_the_one_before_goes_back(self, rig):
        r = await rig()
        r.catalogue.install(new_version(min_gap_s=0.075))
        asked = await r.changed()
        await r.run(CANARY_S + 0.5)
        assert r.versions == {"pose-app": "1.2.3"}
        assert await r.answer(asked) == {"pose-app": ("rolled_back", "2.0.0")}
        (told,) = r.named("app.rolled_back")
        assert "events within 2 s, where the version before would have given 4" in told.reason

    async def test_to_fill_its_windows_goes_back_and_never_served(self, rig):
        r = await rig()
        r.catalogue.install(new_version(frames=8, max_gap_s=0.04))
        asked = await r.changed()
        await r.run(CANARY_S + 0.1)
        assert await r.answer(asked) == {"pose-app": ("rolled_back", "2.0.0")}
        assert asked.result()["pose-app"].reason.startswith("its windows did not fill within 2 s")
        assert not r.named("app.updated")
        r.assert_no_frame_lost()

    @pytest.mark.parametrize(
        ("error", "code", "reason"),
        [
            (ModelError("no weights"), "bad-model", "no weights"),
            (ZeroDivisionError("a bug"), "bad-model", "pose-app: loading failed: ZeroDivisionError: a bug"),
        ],
    )
    async def test_to_load_goes_back_on_the_disk_and_what_runs_goes_on(self, rig, error, code, reason):
        r = await rig()
        r.catalogue.install(fake_app(version="2.0.0"), broken=error)
        asked = await r.changed()
        assert await r.answer(asked) == {"pose-app": ("rolled_back", "2.0.0")}
        (told,) = r.named("app.rolled_back")
        assert (told.reason, told.code, told.kept, told.to_version) == (reason, code, True, "1.2.3")
        assert r.catalogue.installed("pose-app") == "1.2.3"
        assert not r.named("app.updated")
        await r.run(1.0)
        r.assert_no_frame_lost()

    async def test_to_load_in_time_goes_back(self, rig):
        r = await rig(limits=ReloadLimits(load=LoadLimits(wall_s=0.02)))
        r.catalogue.install(fake_app(version="2.0.0"))
        r.catalogue.gate.clear()
        asked = await r.changed()
        assert await r.answer(asked) == {"pose-app": ("rolled_back", "2.0.0")}
        assert asked.result()["pose-app"].reason == "pose-app: was not loaded within 0.02 s"
        r.catalogue.gate.set()

    async def test_where_the_disk_may_not_be_changed_goes_back_in_memory_alone_and_says_so(self, rig):
        r = await rig()
        r.catalogue.install(new_version(behaviour="raises"))
        r.catalogue.read_only = PermissionDeniedError("not your folder")
        asked = await r.changed()
        await r.run(1.0)
        assert await r.answer(asked) == {"pose-app": ("rolled_back", "2.0.0")}
        assert asked.result()["pose-app"].kept is False
        assert r.named("app.rolled_back")[0].kept is False
        assert r.versions == {"pose-app": "1.2.3"}
        assert r.catalogue.installed("pose-app") == "2.0.0"

    async def test_while_the_daemon_ends_is_still_told(self, rig):
        r = await rig()
        r.catalogue.install(new_version(behaviour="raises"))
        await r.changed()
        frame = next(r._frames)
        r.engine.take(frame)
        await r.engine.tick()
        r.reloader.between_ticks()
        await asyncio.sleep(0)
        await r.reloader.close()
        assert [told.version for told in r.named("app.rolled_back")] == ["2.0.0"]

    async def test_is_not_tried_again_while_it_is_taken_back(self, rig, monkeypatch):
        r, gate = await rig(), threading.Event()
        take_back = r.catalogue.take_back
        monkeypatch.setattr(r.catalogue, "take_back", lambda *what: gate.wait(PATIENCE_S) and take_back(*what))
        r.catalogue.install(new_version(behaviour="raises"))
        await r.changed()
        await r.run(0.5)
        again = asyncio.create_task(r.reloader.reload())
        await r.run(0.5)
        await asyncio.sleep(0.05)
        gate.set()
        assert await r.answer(again) == {"pose-app": ("unchanged", "1.2.3")}
        assert r.catalogue.loads == ["2.0.0"]


class TestAnotherUpdateDuringACanary:
    async def test_takes_the_place_of_the_one_that_is_tried_and_goes_back_to_the_proven_one(self, rig):
        r = await rig()
        r.catalogue.install(new_version("2.0.0"))
        first = await r.changed()
        await r.run(1.0)
        r.catalogue.install(new_version("3.0.0", "raises"))
        second = asyncio.create_task(r.reloader.reload())
        await r.until(lambda: r.versions == {"pose-app": "3.0.0"})
        assert await r.answer(first) == {"pose-app": ("rolled_back", "2.0.0")}
        assert [told.previous_version for told in r.named("app.updated")] == ["1.2.3", "1.2.3"]
        await r.run(1.0)
        assert await r.answer(second) == {"pose-app": ("rolled_back", "3.0.0")}
        assert r.versions == {"pose-app": "1.2.3"}
        assert r.catalogue.taken_back == ["3.0.0", "2.0.0"]
        assert [(told.version, told.to_version) for told in r.named("app.rolled_back")] == [
            ("2.0.0", "1.2.3"),
            ("3.0.0", "1.2.3"),
        ]
        r.assert_no_frame_lost()

    async def test_of_the_same_version_is_answered_with_its_canary(self, rig):
        r = await rig()
        r.catalogue.install(new_version())
        first = await r.changed()
        await r.run(1.0)
        second = await r.changed()
        await r.run(CANARY_S)
        assert await r.answer(first) == await r.answer(second) == {"pose-app": ("confirmed", "2.0.0")}
        assert r.catalogue.loads == ["2.0.0"]
        assert len(r.named("app.updated")) == 1

    async def test_back_to_the_version_before_ends_the_canary(self, rig):
        r = await rig()
        r.catalogue.install(new_version())
        first = await r.changed()
        await r.run(0.5)
        r.catalogue.take_back("pose-app", r.engine.apps[0].bundle.digest)
        second = asyncio.create_task(r.reloader.reload())
        assert await r.answer(second) == {"pose-app": ("confirmed", "1.2.3")}
        assert await r.answer(first) == {"pose-app": ("rolled_back", "2.0.0")}
        assert r.named("app.rolled_back")[0].kept is True
        assert r.catalogue.loads == ["2.0.0"]
        await r.run(0.5)
        r.assert_no_frame_lost()

    async def test_that_can_not_be_loaded_leaves_the_canary_alone(self, rig):
        r = await rig()
        r.catalogue.install(new_version())
        first = await r.changed()
        r.catalogue.install(fake_app(version="3.0.0"), broken=ModelError("no weights"))
        second = asyncio.create_task(r.reloader.reload())
        assert await r.answer(second) == {"pose-app": ("rolled_back", "3.0.0")}
        assert r.named("app.rolled_back")[0].to_version == "2.0.0"
        await r.run(CANARY_S + 0.1)
        assert await r.answer(first) == {"pose-app": ("confirmed", "2.0.0")}


class TestAReload:
    async def test_of_what_runs_already_changes_nothing(self, rig):
        r = await rig()
        assert await r.answer(await r.changed()) == {"pose-app": ("unchanged", "1.2.3")}
        assert not r.catalogue.loads

    async def test_adds_and_removes_apps(self, rig):
        r = await rig()
        r.catalogue.remove("pose-app")
        r.catalogue.install(fake_app("count"))
        asked = await r.changed()
        assert await r.answer(asked) == {"count-app": ("added", "1.2.3"), "pose-app": ("removed", "1.2.3")}
        (added,) = r.named("app.updated")
        assert (added.app, added.previous_version, added.previous_digest, added.canary_s) == (
            "count-app",
            None,
            None,
            0,
        )
        (removed,) = r.named("app.removed")
        assert (removed.app, removed.version, removed.reason) == ("pose-app", "1.2.3", "it is no longer installed")
        await r.run(1.0)
        assert len(r.named("count")) == RATE_HZ

    async def test_may_leave_no_app_at_all(self, rig):
        r = await rig()
        r.catalogue.remove("pose-app")
        assert await r.answer(await r.changed()) == {"pose-app": ("removed", "1.2.3")}
        await r.run(1.0)
        r.catalogue.install(fake_app())
        assert await r.answer(await r.changed()) == {"pose-app": ("added", "1.2.3")}
        await r.run(1.0)
        assert len(r.named("pose.frame")) == 2 * (RATE_HZ - FRAMES + 1)

    @pytest.mark.parametrize("kind", [UnknownKeyError, RevokedKeyError, ThresholdError])
    async def test_stops_an_app_whose_signers_are_not_trusted_any_more(self, rig, kind):
        r = await rig()
        r.catalogue.install(new_version())
        first = await r.changed()
        r.catalogue.rejected = [RejectedApp("/apps/pose-app", kind("not yours"), "pose-app")]
        r.catalogue.distrusted = {app.bundle.digest: kind("not yours") for app in r.catalogue._versions["pose-app"]}
        second = asyncio.create_task(r.reloader.reload())
        assert await r.answer(second) == {"pose-app": ("rejected", None)}
        assert await r.answer(first) == {"pose-app": ("removed", "2.0.0")}
        assert r.versions == {}
        assert [told.code for told in r.named("app.rejected")] == [kind.code]
        assert [told.reason for told in r.named("app.removed")] == ["not yours"]

    async def test_leaves_an_app_running_whose_own_signers_are_trusted_whoever_signed_the_installed_version(self, rig):
        r = await rig()
        r.catalogue.rejected = [RejectedApp("/apps/pose-app", UnknownKeyError("not yours"), "pose-app")]
        assert await r.answer(asyncio.create_task(r.reloader.reload())) == {"pose-app": ("rejected", None)}
        assert [told.message for told in r.named("app.rejected")] == ["not yours"]
        assert not r.named("app.removed")
        assert threading.get_ident() not in r.catalogue.threads
        await r.run(1.0)
        r.assert_no_frame_lost()

    async def test_stops_an_app_whose_signers_are_not_trusted_though_another_one_is_damaged(self, rig):
        old = fake_app()
        r = await rig(old)
        r.catalogue.rejected = [RejectedApp("/apps/pose-app", DigestError("a byte is wrong"), "pose-app")]
        r.catalogue.distrusted = {old.bundle.digest: RevokedKeyError("not yours")}
        assert await r.answer(asyncio.create_task(r.reloader.reload())) == {"pose-app": ("rejected", None)}
        assert [told.reason for told in r.named("app.removed")] == ["not yours"]

    @pytest.mark.parametrize("spec", [{}, {"frames": 60}], ids=["serving", "filling"])
    async def test_ends_a_trial_of_signers_that_are_not_trusted_any_more_and_the_version_before_goes_on(
        self, rig, spec
    ):
        r, new = await rig(), new_version(**spec)
        r.catalogue.install(new)
        first = await r.changed()
        await r.run(0.5)
        r.catalogue.rejected = [RejectedApp("/apps/pose-app", RevokedKeyError("not yours"), "pose-app")]
        r.catalogue.distrusted = {new.bundle.digest: RevokedKeyError("not yours")}
        second = asyncio.create_task(r.reloader.reload())
        assert await r.answer(second) == {"pose-app": ("rejected", None)}
        assert await r.answer(first) == {"pose-app": ("rolled_back", "2.0.0")}
        assert r.versions == {"pose-app": "1.2.3"}
        assert r.reloader.trial("pose-app") is None
        await r.run(0.5)
        r.assert_no_frame_lost()

    async def test_changes_nothing_where_the_keys_can_not_be_read(self, rig):
        old = fake_app()
        r = await rig(old)
        r.catalogue.rejected = [RejectedApp("/apps/pose-app", UnknownKeyError("not yours"), "pose-app")]
        r.catalogue.distrusted = {old.bundle.digest: KeyFileError("no such folder")}
        with pytest.raises(KeyFileError):
            await asyncio.wait_for(r.reloader.reload(), PATIENCE_S)
        assert r.versions == {"pose-app": "1.2.3"}

    async def test_leaves_an_app_running_whose_installed_version_is_broken(self, rig):
        r = await rig()
        r.catalogue.rejected = [RejectedApp("/apps/pose-app", DigestError("a byte is wrong"), "pose-app")]
        asked = asyncio.create_task(r.reloader.reload())
        assert await r.answer(asked) == {"pose-app": ("rejected", None)}
        assert asked.result()["pose-app"].code == "bad-digest"
        assert r.versions == {"pose-app": "1.2.3"}
        await r.run(1.0)
        r.assert_no_frame_lost()

    async def test_tells_what_it_rejects_once_until_it_changes(self, rig):
        known = RejectedApp("/apps/known", DigestError("a byte is wrong"), "known")
        r = await rig(rejected=[known])
        broken = fake_app("count")
        r.catalogue.install(broken, broken=ModelError("no weights"))
        r.catalogue.rejected = [known]
        for _ in range(3):
            answer = await r.answer(asyncio.create_task(r.reloader.reload()))
        assert answer == {
            "count-app": ("rejected", "1.2.3"),
            "known": ("rejected", None),
            "pose-app": ("unchanged", "1.2.3"),
        }
        assert [(told.path, told.message) for told in r.named("app.rejected")] == [("count-app", "no weights")]
        r.catalogue.rejected = [RejectedApp("/apps/known", DigestError("two bytes are wrong"), "known")]
        await r.answer(asyncio.create_task(r.reloader.reload()))
        assert [told.message for told in r.named("app.rejected")] == ["no weights", "two bytes are wrong"]

    async def test_of_what_can_not_be_read_changes_nothing_and_says_why(self, rig):
        r = await rig()
        r.catalogue.unreadable = BundleError("the folder is gone")
        with pytest.raises(BundleError, match="the folder is gone"):
            await asyncio.wait_for(r.reloader.reload(), PATIENCE_S)
        r.reloader.request()
        await r.until(lambda: not r.reloader._tasks)
        assert r.versions == {"pose-app": "1.2.3"}

    async def test_that_takes_too_long_to_read_is_an_error(self, rig, monkeypatch):
        r, gate = await rig(limits=ReloadLimits(scan_s=0.02)), threading.Event()
        monkeypatch.setattr(r.catalogue, "scan", lambda: gate.wait(PATIENCE_S))
        with pytest.raises(Exception, match="took longer than"):
            await asyncio.wait_for(r.reloader.reload(), PATIENCE_S)
        gate.set()

    @pytest.mark.parametrize("steps", range(6))
    async def test_ends_at_once_with_the_daemon_though_the_disk_answers_at_that_moment(self, rig, steps):
        r = await rig()
        asked = asyncio.create_task(r.reloader.reload())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(0.02)  # noqa: ASYNC251  # the thread is done, the loop does not know it yet
        for _ in range(steps):
            await asyncio.sleep(0)
        await asyncio.wait_for(r.reloader.close(), PATIENCE_S)
        await asyncio.gather(asked, return_exceptions=True)
        assert not r.reloader._tasks

    async def test_without_a_catalogue_is_refused(self, bench):
        b = bench(fake_app())
        reloader = Reloader(b.engine, b.emitter, None, b.clock, CANARY_S, TICK_S)
        with pytest.raises(ControlError, match="never change"):
            await reloader.reload()
        reloader.request()
        await asyncio.sleep(0)
        await reloader.close()


class TestWhatIsNoted:
    async def test_a_version_that_has_proven_itself(self, rig):
        r, new = await rig(), new_version()
        r.catalogue.install(new)
        asked = await r.changed()
        assert r.catalogue.proven == []
        await r.run(CANARY_S + 0.1)
        await r.answer(asked)
        await r.reloader.close()
        assert r.catalogue.proven == [new.bundle.digest]
        assert threading.get_ident() not in r.catalogue.threads

    async def test_what_can_not_be_noted_is_no_failure(self, rig):
        r = await rig()
        r.catalogue.install(new_version())
        asked = await r.changed()
        r.catalogue.read_only = PermissionDeniedError("the disk is read-only")
        await r.run(CANARY_S + 0.1)
        assert await r.answer(asked) == {"pose-app": ("confirmed", "2.0.0")}
        await r.reloader.close()
        assert r.catalogue.proven == []
