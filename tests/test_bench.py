"""The benchmark measures what it says, on the packaged bundles."""

import asyncio
import json

import pytest

from cogd import demo
from cogd.bench import bench, format_result
from cogd.bundle.load import load_archives
from cogd.bundle.trust import TrustStore
from cogd.cli import main
from cogd.runtime.app import load_app


@pytest.fixture(scope="module")
def result():
    apps, rejected = load_archives(demo.archives(), TrustStore.load(files=[demo.PUBLIC_KEY]))
    assert not rejected
    return asyncio.run(bench([load_app(app.bundle) for app in apps], 100))


def test_every_frame_becomes_an_event_of_every_app(result):
    assert [app.frames for app in result.apps] == [100, 100]
    assert {app.app for app in result.apps} == {"demo-count 0.2.0", "demo-pose 0.2.0"}


def test_percentiles_are_in_order_and_the_whole_way_takes_longer_than_inference(result):
    for app in result.apps:
        for latency in (app.event_us, app.inference_us):
            values = [latency.p50, latency.p90, latency.p99, latency.p99_9, latency.max]
            assert values == sorted(values)
            assert values[0] > 0
        assert app.event_us.p50 > app.inference_us.p50
        assert app.events_per_s <= 1e6 / app.event_us.p50 * 2


def test_the_table_names_method_machine_and_every_app(result):
    table = format_result(result)
    for part in (result.method, result.machine.python, "demo-pose 0.2.0", "demo-count 0.2.0", "p99.9", "MiB"):
        assert part in table


def test_the_command_prints_json_for_machines(capsys):
    assert main(["bench", "--demo", "--frames", "20", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [app["frames"] for app in printed["apps"]] == [20, 20]


@pytest.mark.parametrize("frames", ["0", "-1"])
def test_a_senseless_number_of_frames_is_refused(frames, capsys):
    assert main(["bench", "--demo", "--frames", frames]) == 2
    assert "--frames" in capsys.readouterr().err
