"""What the daemon says of its own health, on engines with fake models."""

from __future__ import annotations

import asyncio
import json
import threading

import msgspec
import numpy as np
import pytest

from cogd.csi.frame import Origin
from cogd.events import WindowInfo
from cogd.runtime import health as health_module
from cogd.runtime.health import live_health
from cogd.runtime.intake import SourceIntake
from cogd.runtime.runner import Pending

from .factory import FRAMES, fake_app, frames_of


async def ask(bench, app_id=None, intakes=()):
    healthy, lines = await live_health(bench.engine, intakes, bench.clock, app_id)
    *results, live = [json.loads(line) for line in lines.splitlines()]
    assert live["event"] == "health.live"
    assert live["fields"]["healthy"] is healthy
    assert live["level"] == ("info" if healthy else "error")
    return healthy, results, live["fields"]


async def test_of_apps_that_work_on_live_frames_is_good(bench):
    b = bench(fake_app("pose"), fake_app("count"))
    await b.play(frames_of("a/1", FRAMES))
    healthy, results, live = await ask(b)
    assert healthy
    assert [(r["event"], r["fields"]["app"], r["fields"]["way"]) for r in results] == [
        ("health.ok", "pose-app", "live"),
        ("health.ok", "count-app", "live"),
    ]
    assert all(r["fields"]["golden_error"] <= 1e-4 and r["fields"]["golden_ms"] >= 0 for r in results)
    assert live["nodes"]["a/1"]["full"] == ["pose-app", "count-app"]
    assert (live["nodes"]["a/1"]["link"], live["nodes"]["a/1"]["filling"], live["reasons"]) == ("live", [], [])


async def test_of_one_app_says_nothing_of_the_others(bench):
    b = bench(fake_app("pose"), fake_app("count"))
    b.engine.place("count-app").active.app.session.spoil = lambda outputs: {}
    await b.play(frames_of("a/1", FRAMES))
    healthy, results, _ = await ask(b, "pose-app")
    assert (healthy, [r["fields"]["app"] for r in results]) == (True, ["pose-app"])


def off(outputs):
    return {name: values + np.float32(0.01) for name, values in outputs.items()}


def no_number(outputs):
    return {name: values * np.float32("nan") for name, values in outputs.items()}


def broken(outputs):
    raise RuntimeError("the device is gone")


@pytest.mark.parametrize(
    ("spoil", "code", "message"),
    [
        (off, "golden-mismatch", "pose-app: fake is off its golden output by 0.01, more than 0.0001"),
        (no_number, "golden-mismatch", "pose-app: fake is off its golden output by nan, more than 0.0001"),
        (broken, "bad-model", "pose-app: RuntimeError: the device is gone"),
    ],
)
async def test_of_an_app_that_does_not_reproduce_its_golden_pair_is_bad(bench, spoil, code, message):
    b = bench(fake_app("pose"), fake_app("count"))
    await b.play(frames_of("a/1", FRAMES))
    b.engine.place("pose-app").active.app.session.spoil = spoil
    healthy, results, _ = await ask(b)
    assert not healthy
    assert [r["event"] for r in results] == ["health.failed", "health.ok"]
    assert (results[0]["fields"]["code"], results[0]["fields"]["message"]) == (code, message)


async def test_of_a_model_that_hangs_is_bad_in_time_and_asking_again_piles_nothing_up(bench, monkeypatch):
    monkeypatch.setattr(health_module, "INFERENCE_LIMIT_S", 0.05)
    b, gate = bench(fake_app()), threading.Event()
    session = b.engine.place("pose-app").active.app.session
    session.spoil = lambda outputs: [gate.wait(), outputs][1]
    for _ in range(3):
        healthy, results, _ = await ask(b)
        assert not healthy
        assert "no answer within 0.05 s: the model did not come back" in results[0]["fields"]["message"]
    gate.set()
    monkeypatch.setattr(health_module, "INFERENCE_LIMIT_S", 5.0)
    _, results, _ = await ask(b)
    assert results[0]["event"] == "health.ok"
    assert len(session.batches) <= 2


async def test_of_a_busy_worker_says_that_it_is_busy(bench, monkeypatch):
    monkeypatch.setattr(health_module, "INFERENCE_LIMIT_S", 0.05)
    b, gate = bench(fake_app()), threading.Event()
    runner = b.engine.place("pose-app").active
    batch = runner.worker.submit(gate.wait)
    _, results, _ = await ask(b)
    assert results[0]["fields"]["message"].endswith("its worker is busy with a batch")
    gate.set()
    await batch


async def test_no_batch_is_refused_for_a_proof(bench):
    b, gate = bench(fake_app()), threading.Event()
    runner = b.engine.place("pose-app").active
    runner.worker.aside(gate.wait)
    assert runner.worker.unfinished == 0
    future = runner.submit([pending()])
    assert isinstance(future, asyncio.Future)
    gate.set()
    assert (await future)["keypoints"].shape == (1, 34)


async def test_a_session_is_used_by_one_thread_at_a_time(bench):
    app, gate = fake_app(), threading.Event()
    app.session.only_computes = True
    b = bench(app)
    await b.play(frames_of("a/1", FRAMES + 20))
    runner = b.engine.place("pose-app").active
    assert not isinstance(runner.submit([pending()]), asyncio.Future)  # batches are short, and run here
    app.session.spoil = lambda outputs: gate.wait() and outputs
    proof = runner.prove()
    behind = runner.submit([pending()])
    assert isinstance(behind, asyncio.Future)
    gate.set()
    await proof
    assert (await behind)["keypoints"].shape == (1, 34)


def pending() -> Pending:
    (frame,) = frames_of("a/1", 1)
    info = WindowInfo(frames=FRAMES, span_s=0.15, measured_tones=52)
    return Pending(1, frame, info, np.ones((56, FRAMES), np.float32))


async def test_where_no_frames_are_inferred_from_is_bad_and_says_why(bench):
    b = bench(fake_app())
    loud, shy, gone = (SourceIntake(name, b.engine, b.emitter, 0.0) for name in ("loud", "shy", "gone"))
    gone.down("connection refused")
    healthy, results, live = await ask(b, intakes=[loud, shy, gone])
    assert (healthy, results[0]["event"]) == (False, "health.ok")
    assert live["reasons"] == [
        "source loud: no frame yet",
        "source shy: no frame yet",
        "source gone is down: connection refused",
    ]
    assert live["sources"]["gone"] == {"state": "down", "reason": "connection refused"}
    shy.silent(100.0, 10.0)
    _, _, live = await ask(b, intakes=[shy])
    assert live["reasons"] == ["source shy is silent: no frame for 10 s"]


async def test_of_simulated_frames_depends_on_whether_they_are_believed(bench):
    for name, expected in (("sim/1", True), ("server/1", False)):
        b = bench(fake_app(), believe=lambda source: source == "sim")
        await b.play(frames_of(name, FRAMES, origin=Origin.SIMULATED))
        healthy, _, live = await ask(b)
        assert healthy is expected
        if not expected:
            assert live["reasons"] == [
                f"node {name} is simulated and not believed, last frame {live['nodes'][name]['age_s']:.1f} s ago"
            ]


async def test_while_windows_fill_says_so(bench):
    b = bench(fake_app())
    await b.play(frames_of("a/1", 2))
    healthy, _, live = await ask(b)
    assert not healthy  # no event is made yet
    assert live["reasons"] == ["node a/1: windows are filling for pose-app"]


async def test_of_frames_that_fill_no_window_is_bad_and_says_what_became_of_them(bench):
    b = bench(fake_app())
    unknown = [msgspec.structs.replace(frame, bins=64, iq=np.ones((64, 2), np.int8)) for frame in frames_of("a/1", 6)]
    await b.play([msgspec.structs.replace(f, iq=f.iq * (n + 1)) for n, f in enumerate(unknown)])
    healthy, results, live = await ask(b)
    assert (healthy, results[0]["event"]) == (False, "health.ok")
    (reason,) = live["reasons"]
    assert reason.endswith("of its 6 frames these reached no window: 6 unknown_layout")


async def test_without_the_app_or_any_is_bad(bench):
    for apps, wanted, message in (((), None, "no app runs"), ((fake_app(),), "x", "no app x runs")):
        b = bench(*apps)
        healthy, results, _ = await ask(b, wanted)
        assert (healthy, results[0]["fields"]["code"], results[0]["fields"]["message"]) == (False, "no-app", message)
