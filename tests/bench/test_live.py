"""The daemon under load: what is counted, and that nothing is lost silently."""

import numpy as np
import pytest

from cogd.bench.figures import DEADLINE_S
from cogd.bench.live import Recorded, live_of, measure_live, record
from cogd.bench.nodes import cost_noise, growth, latency_noise, sweep, sweep_figures
from cogd.bench.saturation import highest, overload_of, raw_per_s
from cogd.bench.sender import Group, Sent
from cogd.errors import BenchError
from cogd.events import NodeTotals, RunStopped

from .conftest import live


def test_a_sweep_gives_every_expected_event_of_every_app(apps, settings):
    rows = [row for row, _ in sweep(apps, settings, (1, 3), 1.2, None)]
    for row, nodes in zip(rows, (1, 3), strict=True):
        assert (row.nodes, row.apps) == (nodes, ["demo-count", "demo-pose"])
        assert row.events == row.expected == 2 * nodes * (31 - 19)  # one frame more than 25 Hz gives
        assert row.cpu > 0
        assert (row.cpu_us_per_frame, row.rss_mib) > (0, 0)
        values = [row.event_us.p50, row.event_us.p90, row.event_us.p99, row.event_us.p99_9, row.event_us.max]
        assert values == sorted(values)
        assert row.lost == {}
    assert set(sweep_figures(rows, [0.1, 0.2], 50.0)) == {"nodes.1.cpu_ratio", "nodes.3.cpu_ratio"}
    assert sweep_figures(rows, [0.1, 0.2], None) == {}


def test_what_is_shed_is_counted_by_reason_and_the_rest_are_events(apps, settings):
    few = settings.model_copy(update={"max_pending": 1})
    groups = [Group(20, 25.0, 0.0, 2.0), Group(40, 25.0, 0.0, 1.6)]
    found = overload_of(record(apps[1:], few, groups), 20, 40, few.max_wait_ms)
    assert found.shed["overload"] > 0
    assert found.uncounted == 0
    assert 0 < found.kept < 1


def test_a_sender_that_dies_is_told(apps, settings, monkeypatch):
    monkeypatch.setattr("cogd.bench.sender.datagrams", None)  # here; the sender is another process
    monkeypatch.setattr("cogd.bench.sender.start", lambda ports, groups, cores: _dying())
    with pytest.raises(BenchError, match="the sender failed"):
        measure_live(apps, settings, 1, 1.0)


def _dying():
    import subprocess
    import sys

    return subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"], stdout=subprocess.PIPE)


def recorded(arrived_s, late_s, datagrams, buckets, ended_s, dropped=None, sources=None) -> Recorded:
    stopped = RunStopped(
        reason="measured",
        uptime_s=1,
        ticks=1,
        missed_ticks=0,
        inferences={},
        dropped=dropped or {},
        sources=sources or {},
        nodes={"udp/1": NodeTotals(frames=len(arrived_s), lost=0, dropped={})},
    )
    sent = Sent(datagrams, 0, 1000.0, max(ended_s), 0.0, ended_s, buckets)
    arrived = 1000.0 + np.asarray(arrived_s)
    times = {"demo-pose": arrived}, {"demo-pose": arrived + np.asarray(late_s)}
    return Recorded(["demo-pose"], 20, sent, stopped, *times, [0.1] * 5, [1.0] * 5, 0.0, 50.0)


def test_late_and_missing_events_both_miss_the_deadline():
    found = live_of(recorded([1, 1.1, 1.2], [0.001, DEADLINE_S + 0.001, 0.002], [24], [24], [1.2]), 1, 25.0, 1.2)
    assert (found.expected, found.events) == (5, 3)
    assert found.missed == pytest.approx(3 / 5)
    assert found.cpu == pytest.approx(0.1)


def test_an_overload_is_told_from_its_records():
    # 10 a second before and after, 100 more from 1.0 to 3.0 s, of which the newest half become events, at 3.4 s late.
    buckets = [1] * 10 + [11] * 20 + [1] * 20
    normal = np.arange(50) / 10 + 0.05
    extra = np.linspace(2.0, 3.0, 100, endpoint=False) + 0.005
    arrived_s = np.sort(np.concatenate([normal, extra]))
    late_s = np.where((arrived_s >= 2.9) & (arrived_s < 3.0), 0.4, 0.001)
    records = recorded(
        arrived_s, late_s, [50, 200], buckets, [5.0, 3.0], {"overload": 62}, {"udp": {"overload": 90, "malformed": 5}}
    )
    found = overload_of(records, 1, 1, 300)
    assert found.shed == {"overload": 152, "malformed": 5}
    assert found.kept == pytest.approx(120 / 220, abs=0.01)
    assert found.newest_kept == pytest.approx(1.0)
    assert found.recovered_s == pytest.approx(0.39, abs=0.02)
    assert found.slowest_ms == pytest.approx(400)
    assert found.missed_after == 0
    assert found.uncounted == pytest.approx((250 - 150 - 95) / 250)


@pytest.mark.parametrize("limit", [1, 7, 100, 523, 900, 3999])
def test_the_search_finds_the_limit_within_six_percent(limit):
    passed, failed = highest(lambda nodes: 0.0 if nodes <= limit else 0.5, 200, float("inf"))
    assert passed <= limit < failed
    assert failed <= max(passed * 1.06, passed + 1)


def test_one_stall_does_not_fail_a_rate():
    answers = {}

    def missed(nodes):
        answers[nodes] = answers.get(nodes, 0) + 1
        return 0.5 if nodes > 300 or answers[nodes] == 1 else 0.0

    passed, failed = highest(missed, 200, float("inf"))
    assert passed <= 300 < failed


def test_a_search_without_time_finds_nothing():
    assert highest(lambda _: 0.0, 200, 0.0) == (0, None)


def test_raw_onnx_runtime_infers(apps):
    assert raw_per_s(apps[1], 1, 0.05) > 0


def test_growth_is_the_exponent_of_all_or_of_the_end():
    def rows(*cpu_us):
        return [live(nodes, us) for nodes, us in zip((1, 3, 10, 30, 100), cpu_us, strict=True)]

    assert growth(rows(100, 100, 100, 100, 100)) == pytest.approx(1.0)
    assert growth(rows(1000, 1000 / 3**0.5, 1000 / 10**0.5, 1000 / 30**0.5, 100)) == pytest.approx(0.5, abs=1e-3)
    assert growth(rows(100, 300, 1000, 3000, 10000)) == pytest.approx(2.0)
    assert growth(rows(1000, 500, 100, 173, 316)) == pytest.approx(1.5, abs=1e-2)  # it begins dear


def test_noise_is_what_the_parts_differ_by():
    one = recorded(np.arange(10), [0.001] * 10, [29], [29], [10])
    assert (cost_noise(one), latency_noise(one)) == (0, pytest.approx(0, abs=1e-3))
