"""The benches of the trainer run and say what they promise; what they measure is not judged here."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.train

BENCH = Path(__file__).parents[2] / "bench"


def bench(script: str, *arguments: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, BENCH / script, "--json", *arguments], capture_output=True, check=False, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_the_export_bench_measures_both_graphs_of_both_networks():
    figures = bench("export.py", "--rounds", "1")

    for head in ("pose", "count"):
        assert 0 < figures[f"{head}_parity"] <= 1e-5
        for key in (f"{head}_{name}{kind}_p50_us" for name in ("plain", "edge") for kind in ("", "_prepare")):
            assert 0 < figures[key] < figures[f"{key}_batch64"] < math.inf
    assert figures["ratio"] == figures["pose_ratio"] > 0
    assert figures["met"] == (figures["ratio"] <= figures["bar"] == 0.8)
    assert {"tract_p50_us", "openvino_p50_us"} <= figures.keys()  # null where it is not installed
