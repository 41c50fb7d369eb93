"""`make bench`: a bar that is missed fails, whatever the others do."""

import importlib.util
import re
from pathlib import Path

import msgspec
import pytest

from cogd.bench.figures import Bar
from cogd.bench.log import LOG, read

from .conftest import live, result

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bars():
    spec = importlib.util.spec_from_file_location("bars", ROOT / "bench" / "bars.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def failing(bars, **changed):
    return [bar.name for bar in bars.judge(result(**changed)) if bar.fails]


def test_all_met_fails_nothing_and_what_needs_an_h100_is_told_as_not_measured(bars):
    judged = bars.judge(result())
    assert not [bar.name for bar in judged if bar.fails]
    assert {bar.name[0] for bar in judged if bar.verdict == "met"} == set("12345")
    assert {bar.name[0] for bar in judged if bar.verdict == "not measured"} == {"7"}


@pytest.mark.parametrize(
    ("changed", "which"),
    [
        ({"p50_ratio": 1.61}, "way / session.run, p50"),
        ({"many": live(300, 60.0, missed=0.0011)}, "late or missing"),
        ({"nodes": [live(1, 50.0), live(3, 51.0)]}, "exponent"),
        ({"beside": {"cold": {"health_ratio": 7.6, "live_ratio": 2.5}, "export": {"ratio": 0.8}}}, "cold"),
        ({"beside": {"cold": {"health_ratio": 7.5, "live_ratio": 2.6}, "export": {"ratio": 0.8}}}, "--live"),
        ({"beside": {"cold": {"health_ratio": 7.5, "live_ratio": 2.5}, "export": {"ratio": 0.81}}}, "exported"),
        ({"sustained": msgspec.structs.replace(result().sustained, ratio=0.59)}, "highest rate"),
        ({"sustained": None}, "highest rate"),
        ({"overload": msgspec.structs.replace(result().overload, recovered_s=1.01)}, "recovered"),
        ({"overload": msgspec.structs.replace(result().overload, slowest_ms=500.0)}, "oldest"),
        ({"overload": msgspec.structs.replace(result().overload, uncounted=0.01)}, "uncounted"),
        ({"idle": msgspec.structs.replace(result().idle, cpu=0.061)}, "CPU"),
        ({"idle": msgspec.structs.replace(result().idle, rss_mib=96.1)}, "resident"),
        ({"idle": msgspec.structs.replace(result().idle, growth_mib=1.1)}, "growth"),
        ({"idle": msgspec.structs.replace(result().idle, first_event_s=1.6)}, "first event"),
    ],
)
def test_one_missed_bar_fails_alone(bars, changed, which):
    (failed,) = failing(bars, **changed)
    assert which in failed


def test_what_could_not_be_measured_is_not_met(bars):
    assert len(failing(bars, beside={"cold": {"not_measured": "there is no cold.py"}})) == 3
    judged = bars.judge(result(beside={"cold": {"not_measured": "there is no cold.py"}}))
    assert "there is no cold.py" in [bar.beside for bar in judged]


def test_training_is_judged_where_there_is_an_h100_and_only_there(bars):
    figures = {"device": "NVIDIA H100 80GB HBM3", "pose_s": 1.2, "count_s": 1.9}
    assert [(bar.verdict, bar.fails) for bar in bars._training(figures, there=True)] == [
        ("missed", True),
        ("met", False),
    ]
    too_slow = {"not_measured": "it took longer than 90 s"}
    assert [bar.fails for bar in bars._training(too_slow, there=True)] == [True, True]
    assert [bar.fails for bar in bars._training(too_slow, there=False)] == [False, False]
    assert not [bar.fails for bar in bars._training(figures, there=False) if bar.fails]


@pytest.mark.parametrize(("p50_ratio", "status"), [(1.5, 0), (1.7, 1)])
def test_the_exit_status_is_the_verdict_and_the_run_is_added(bars, monkeypatch, tmp_path, capsys, p50_ratio, status):
    def measure(idle_s, many_s):
        measured = result(p50_ratio)
        return msgspec.structs.replace(measured, bars=bars.judge(measured))

    monkeypatch.setattr(bars, "measure", measure)
    monkeypatch.setattr("sys.argv", ["bars.py", "--folder", str(tmp_path)])
    assert bars.main() == status
    out = capsys.readouterr().out
    last = out.rsplit("\n\n", 1)[1].splitlines()[1:]
    assert len(last) == len(bars.judge(result()))
    assert all(re.search(r"  (met|missed|not measured)\b", line) for line in last)
    assert ("missed" in out.rsplit("\n\n", 1)[1]) == bool(status)
    (added,) = read(tmp_path / LOG)
    assert added.bars == bars.judge(result(p50_ratio))
    assert "way / session.run" in (tmp_path / "RESULTS.md").read_text()


def test_another_benchmark_that_fails_is_told(bars, tmp_path):
    script = tmp_path / "x.py"
    assert "no x.py" in bars.other(script, [], 5.0)["not_measured"]
    script.write_text("raise SystemExit('no torch')")
    assert "no torch" in bars.other(script, [], 5.0)["not_measured"]
    script.write_text("import time; time.sleep(60)")
    assert "longer than 0.1 s" in bars.other(script, [], 0.1)["not_measured"]
    script.write_text('print(\'{"ratio": 0.5, "runs": [1, 2]}\')')
    assert bars.other(script, [], 5.0) == {"ratio": 0.5}


def test_bars_compare_in_their_direction():
    assert Bar(name="x", figure=0.6, bar=0.6, at_most=False).verdict == "met"
    assert Bar(name="x", figure=0.59, bar=0.6, at_most=False).verdict == "missed"
    assert not Bar(name="x", figure=None, bar=1.0, needed=False).fails


def test_make_bench_runs_it():
    assert "bench/bars.py" in (ROOT / "Makefile").read_text()


def test_the_page_is_the_logs(bars, tmp_path, monkeypatch):
    """After a change of the page: `python bench/bars.py --render`."""
    log = ROOT / "bench" / LOG
    (tmp_path / LOG).write_bytes(log.read_bytes())
    monkeypatch.setattr("sys.argv", ["bars.py", "--render", "--folder", str(tmp_path)])
    assert bars.main() == 0
    for written in tmp_path.iterdir():
        assert written.read_text() == (log.parent / written.name).read_text()
