"""`cogd calibrate`: what it asks the daemon for, and what it makes of the answer."""

import json

import pytest

from tests.control.test_client import daemon  # noqa: F401

ONE = {
    "score": -3.25, "time": 1790000000.5, "app": "motion", "digest": "sha256:1", "node": "udp/1", "spread": 0.125,
    "n": 200, "seconds": 10.0, "origin": "live",
}  # fmt: skip


def answered(**fields) -> bytes:
    return json.dumps({"ok": True, **fields}).encode() + b"\n"


def refused(code: str) -> bytes:
    return json.dumps({"ok": False, "code": code, "message": "it moved", "hint": "sit still"}).encode() + b"\n"


def asked_for(asked) -> dict:
    (line,) = asked
    return json.loads(line)


class TestMeasuring:
    def test_is_asked_for_as_it_was_said(self, cogd, daemon):  # noqa: F811
        path, asked = daemon(answered(baselines=[ONE]))
        done = cogd("calibrate", "udp/1", "udp/2", "--app", "motion", "--seconds", "20", "--control-socket", path)
        assert asked_for(asked) == {
            "command": "calibrate", "nodes": ["udp/1", "udp/2"], "app": "motion", "seconds": 20.0,
        }  # fmt: skip
        assert done.status == 0
        (line,) = done.out.splitlines()
        assert line == "udp/1  motion  -3.250 +- 0.125  200 windows in 10 s, live, 2026-09-21T14:13:20Z  used"

    def test_watches_every_node_for_ten_seconds_unless_told_otherwise(self, cogd, daemon):  # noqa: F811
        path, asked = daemon(answered(baselines=[ONE]))
        done = cogd("calibrate", "--json", "--control-socket", path)
        assert asked_for(asked) == {"command": "calibrate", "nodes": [], "app": None, "seconds": 10.0}
        assert json.loads(done.out) == [ONE]

    @pytest.mark.parametrize(
        ("code", "status"),
        [("calibration", 43), ("no-app", 21), ("no-space", 31), ("no-permission", 33), ("storage", 34), ("other", 38)],
    )
    def test_that_is_refused_ends_with_the_daemons_error(self, cogd, daemon, code, status):  # noqa: F811
        path, _ = daemon(refused(code))
        done = cogd("calibrate", "--json", "--control-socket", path)
        assert done.status == status
        assert "it moved" in done.err
        assert "cogd: hint: sit still" in done.err
        assert json.loads(done.out)["error"]["code"] == (code if code != "other" else "control")

    def test_needs_a_daemon(self, cogd, tmp_path):
        done = cogd("calibrate", "--control-socket", tmp_path / "none")
        assert done.status == 38
        assert "no daemon listens" in done.err

    @pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1.9", "601"])
    def test_needs_a_time(self, cogd, tmp_path, seconds):
        done = cogd("calibrate", "--seconds", seconds, "--control-socket", tmp_path / "none")
        assert done.status == 2
        assert "--seconds" in done.err
        assert "give 2 to 600" in done.err


class TestWhatWasMeasured:
    def test_is_listed_with_whether_it_is_used(self, cogd, daemon):  # noqa: F811
        other = ONE | {"node": "udp/2", "used": False}
        path, asked = daemon(answered(baselines=[ONE | {"used": True}, other]))
        done = cogd("calibrate", "--list", "--control-socket", path)
        assert asked_for(asked) == {"command": "baselines"}
        assert [line.split("  ")[-1] for line in done.out.splitlines()] == ["used", "of a version that does not serve"]

    @pytest.mark.parametrize(
        ("words", "nodes"), [(["udp/2"], ["udp/2"]), (["--app", "x"], []), ([], ["udp/1", "udp/2"])]
    )
    def test_is_listed_for_nodes_and_apps_that_are_named(self, cogd, daemon, words, nodes):  # noqa: F811
        path, _ = daemon(answered(baselines=[ONE | {"used": True}, ONE | {"node": "udp/2", "used": True}]))
        done = cogd("calibrate", "--list", *words, "--json", "--control-socket", path)
        assert [one["node"] for one in json.loads(done.out)] == nodes

    def test_may_be_nothing(self, cogd, daemon):  # noqa: F811
        path, _ = daemon(answered(baselines=[]))
        done = cogd("calibrate", "--list", "--control-socket", path)
        assert (done.status, done.out) == (0, "no baseline was measured yet\n")

    def test_is_forgotten_by_name_alone(self, cogd, daemon, tmp_path):  # noqa: F811
        path, asked = daemon(answered(forgotten=[ONE]))
        done = cogd("calibrate", "--forget", "udp/1", "--control-socket", path)
        assert asked_for(asked) == {"command": "forget", "nodes": ["udp/1"], "app": None}
        assert done.out.endswith("  forgotten\n")
        assert cogd("calibrate", "--forget", "--control-socket", tmp_path / "none").status == 2

    @pytest.mark.parametrize("words", [("--list",), ("--forget", "udp/1")])
    def test_takes_no_time_to_tell(self, cogd, tmp_path, words):
        assert cogd("calibrate", *words, "--seconds", "5", "--control-socket", tmp_path / "none").status == 2
