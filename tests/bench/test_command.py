"""`cogd bench`, and the idle program."""

import json

import msgspec
import pytest

from cogd.bench.figures import Figure, Result
from cogd.bench.idle import measure_idle
from cogd.bench.log import LOG, append, read
from cogd.cli import main
from cogd.cli.bench import MOST_NODES
from cogd.errors import BenchError

from .conftest import result

QUICK = ["bench", "--demo", "--frames", "20", "--seconds", "1"]


def test_it_prints_json_and_adds_to_the_log(tmp_path, capsys):
    assert main([*QUICK, "--nodes", "3,1", "--json", "--append", str(tmp_path / "new")]) == 0
    printed = json.loads(capsys.readouterr().out)
    measured = msgspec.convert(printed["result"], Result)
    assert [app.frames for app in measured.tight] == [20, 20]
    assert [row.nodes for row in measured.nodes] == [1, 3]
    assert measured.paced.nodes == 1
    assert printed["comparison"] is None
    assert {"paced.cpu_ratio", "nodes.3.cpu_ratio", "tight.demo-pose.p50_ratio"} <= measured.compared.keys()
    assert read(tmp_path / "new" / LOG) == [measured]
    assert (tmp_path / "new" / "nodes.svg").exists()


@pytest.mark.parametrize(("factor", "status"), [(0.001, 1), (1000.0, 0)])
def test_against_an_earlier_run(tmp_path, capsys, factor, status):
    earlier = result(compared={"tight.demo-pose.p50_ratio": Figure(value=2.0 * factor, noise=0.0)})
    append(tmp_path, earlier)
    assert main([*QUICK, "--against", str(tmp_path / LOG)]) == status
    captured = capsys.readouterr()
    assert ("regression" if status else "better") in captured.out
    assert ("cogd: regression:" in captured.err) == bool(status)
    assert read(tmp_path / LOG) == [earlier]


def test_a_spoilt_log_is_told_before_anything_is_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("cogd.bench.suite.measure", lambda *_: pytest.fail("measured"))
    (tmp_path / LOG).write_text("no result\n")
    for arguments in (["--append", str(tmp_path)], ["--against", str(tmp_path / LOG)]):
        assert main([*QUICK, *arguments]) == 39
        assert "line 1 is no result" in capsys.readouterr().err
    assert main([*QUICK, "--against", str(tmp_path / "none")]) == 39


@pytest.mark.parametrize(
    "arguments", [["--frames", "0"], ["--frames", "-1"], ["--seconds", "0.5"], ["--seconds", "nan"]]
)
def test_senseless_numbers_are_refused(arguments, capsys):
    assert main(["bench", "--demo", *arguments]) == 2
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize("nodes", ["", "0", "a", "1,,2", str(MOST_NODES + 1)])
def test_senseless_numbers_of_nodes_are_refused(nodes, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["bench", "--demo", "--nodes", nodes])
    assert "--nodes" in capsys.readouterr().err


def test_the_idle_program_is_watched():
    found = measure_idle(1.5)
    assert found.command == "cogd run --demo --source udp://127.0.0.1:PORT --sink stdout: --sink metrics://127.0.0.1:0"
    assert found.events > 20
    assert found.cpu > 0
    assert found.rss_mib > 10
    assert found.growth_mib >= 0
    assert (found.seconds, found.settled_s) == (1.5, 0.5)


def test_a_program_that_says_nothing_is_told(tmp_path):
    with pytest.raises(BenchError, match="no event"):
        measure_idle(1.0, ["--apps-dir", str(tmp_path), "--trust-dir", str(tmp_path)])
