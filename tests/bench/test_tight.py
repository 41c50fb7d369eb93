"""The tight loop measures what it says, on the packaged bundles."""

import pytest

from cogd.bench.staged import STAGES, staged
from cogd.bench.tight import bare_run, measure_tight


@pytest.fixture(scope="module")
def measured(apps):
    return [measure_tight(app, 100) for app in apps]


def test_every_frame_becomes_an_event_of_every_app(measured):
    assert [(tight.app, tight.frames) for tight, _ in measured] == [("demo-count 0.2.0", 100), ("demo-pose 0.2.0", 100)]


def test_percentiles_are_in_order_and_positive(measured):
    for tight, _ in measured:
        for latency in (tight.event_us, tight.bare_us):
            values = [latency.p50, latency.p90, latency.p99, latency.p99_9, latency.max]
            assert values == sorted(values)
            assert values[0] > 0
        assert tight.p50_ratio == pytest.approx(tight.event_us.p50 / tight.bare_us.p50, abs=1e-3)
        assert tight.p50_ratio > 1


def test_the_stages_are_all_there_and_take_time(measured):
    for tight, _ in measured:
        assert tuple(tight.stages_us) == STAGES
        assert all(value > 0 for value in tight.stages_us.values())


def test_what_is_compared_is_ratios_with_their_noise(measured):
    for tight, figures in measured:
        name = tight.app.split()[0]
        assert set(figures) == {f"tight.{name}.p50_ratio", f"tight.{name}.p99_ratio"}
        assert figures[f"tight.{name}.p50_ratio"].value == pytest.approx(tight.p50_ratio, rel=0.01)
        assert all(figure.noise >= 0 for figure in figures.values())


def test_the_bare_run_runs_the_apps_own_graph(apps):
    for app in apps:
        outputs = bare_run(app, batch=3)()
        shapes = sorted(tuple(tensor.shape) for tensor in app.bundle.manifest.output.tensors)
        assert sorted(output.shape[1:] for output in outputs) == shapes
        assert {len(output) for output in outputs} == {3}


def test_the_app_with_stamps_gives_what_the_app_gives(apps):
    import numpy as np

    for app in apps:
        timed, stamps = staged(app)
        windows = np.abs(np.random.default_rng(0).normal(20, 5, size=(1, 56, app.window.frames))).astype(np.float32)
        for name, values in app.infer(windows).items():
            np.testing.assert_array_equal(values, timed.infer(windows)[name])
        assert set(stamps) == {"prepare", "inference"}
