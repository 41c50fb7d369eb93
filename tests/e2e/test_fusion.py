"""The installed daemon makes one count of those of several simulated nodes."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from .device import BIN, PATIENCE_S


def run(source: str, **settings: str) -> list[dict]:
    done = subprocess.run(
        [BIN / "cogd", "run", "--demo", "--source", source],
        env={**os.environ, **settings},
        capture_output=True,
        check=True,
        timeout=PATIENCE_S,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def events() -> list[dict]:
    return run("sim:?nodes=3&persons=1&seed=7&seconds=9&speed=max")


def of(events: list[dict], name: str) -> list[dict]:
    return [event["fields"] for event in events if event["event"] == name]


def test_every_fused_count_is_of_several_nodes_of_the_same_moment(events):
    latest: dict[str, dict] = {}
    fused = 0
    for event in events:
        fields = event["fields"]
        if event["event"] == "count":
            latest[fields["node"]] = fields
        elif event["event"] == "count.fused":
            fused += 1
            of_nodes = [latest[node] for node in fields["nodes"]]
            assert 2 <= fields["n_nodes"] == len(of_nodes)
            assert fields["time"] == max(each["time"] for each in of_nodes)
            assert fields["time"] - min(each["time"] for each in of_nodes) <= 1.0
            assert sum(fields["probs"]) == pytest.approx(1, abs=1e-5)
            assert min(p["count"] for p in of_nodes) <= fields["count"] <= max(p["count"] for p in of_nodes)
            assert 0 < fields["confidence"] < 1
    counts = len(of(events, "count"))
    assert counts / 4 < fused < counts / 2  # once each of three nodes has counted, or one of them twice
    assert of(events, "run.stopped")[0]["inferences"]["demo-count"] == counts


def test_there_is_none_with_one_node_or_where_it_is_switched_off():
    one = run("sim:?nodes=1&seconds=7&speed=max")
    assert of(one, "count")
    assert not of(one, "count.fused")
    off = run("sim:?nodes=2&seconds=7&speed=max", COGD_FUSE_COUNTS="false")
    assert of(off, "count")
    assert not of(off, "count.fused")
