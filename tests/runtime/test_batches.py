"""Batches are as large as the device is fast: a slow one loses nothing."""

import time

import numpy as np

from cogd.csi.frame import Origin
from cogd.runtime import runner as runner_module
from cogd.runtime.app import MAX_BATCH
from cogd.runtime.runner import Runner

from .factory import fake_app, frames_of


def slow(app, window_s):
    """Let each window of the app take so long, and note the sizes of its batches."""
    sizes, run = [], app.session.run

    def slowly(batch):
        sizes.append(len(batch))
        time.sleep(window_s * len(batch))
        return run(batch)

    app.session.run = slowly
    return sizes


async def test_a_batch_has_as_many_windows_as_the_target_allows():
    app = fake_app()
    object.__setattr__(app, "golden_ms", 1e3 * runner_module.BATCH_TARGET_S / 5.5)
    runner = Runner(app)
    assert runner.batch_limit == 5
    runner._expected_s = runner_module.BATCH_TARGET_S / 3
    assert runner.batch_limit == 3
    runner._expected_s = 10.0
    assert runner.batch_limit == 1
    runner._expected_s = 1e-9
    assert runner.batch_limit == MAX_BATCH
    runner.close()


async def test_a_recording_on_a_slow_device_loses_nothing(bench, monkeypatch):
    """A batch of 64 would take 3.2 times the limit, and each would be thrown away whole."""
    monkeypatch.setattr(runner_module, "INFERENCE_LIMIT_S", 0.1)
    monkeypatch.setattr(runner_module, "BATCH_TARGET_S", 0.025)
    app = fake_app()
    object.__setattr__(app, "golden_ms", 20.0)
    sizes = slow(app, 0.005)
    b = bench(app)
    frames = frames_of("a/1", 200, origin=Origin.REPLAYED)
    for frame in frames:
        b.clock.now_s = frame.arrival_s
        b.engine.take(frame)
    while b.engine.waiting:
        await b.engine.tick()
    expected = 200 - app.window.frames + 1
    assert len(b.named("pose.frame")) == expected == sum(sizes)
    assert (b.engine.dropped["inference_failed"], b.named("app.failed")) == (0, [])
    assert sizes[0] == 1
    assert max(sizes) <= 5


async def test_a_batch_of_a_recording_has_the_time_of_each_of_its_windows(bench, monkeypatch):
    """Where the device becomes slower all at once, the batch that was too large is waited for."""
    monkeypatch.setattr(runner_module, "INFERENCE_LIMIT_S", 0.1)
    app = fake_app()
    sizes = slow(app, 0.03)
    b = bench(app)
    for place in b.engine.places:
        place.active._expected_s = 1e-6
    for frame in frames_of("a/1", app.window.frames + 9, origin=Origin.REPLAYED):
        b.clock.now_s = frame.arrival_s
        b.engine.take(frame)
    await b.engine.tick()
    assert sizes == [10]
    assert len(b.named("pose.frame")) == 10
    assert np.isclose(b.engine.dropped["inference_failed"], 0)
