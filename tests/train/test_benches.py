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


def test_the_training_bench_times_both_runs_and_says_that_it_extrapolates():
    figures = bench("training.py", "--quick", "--device", "cpu")

    assert figures["extrapolated"] is True
    assert (figures["pose_published_s"], figures["count_published_s"]) == (2.1, 5.6)
    peak = max(figures["peak_mm_gflops"], figures["peak_conv1x1_gflops"])
    for head in ("pose", "count"):
        assert figures[f"{head}_gflops"] == pytest.approx(figures[f"{head}_gflop"] / figures[f"{head}_s"], rel=0.02)
        assert figures[f"{head}_share_of_peak"] == pytest.approx(figures[f"{head}_gflops"] / peak, abs=2e-3)
        assert f"{head}_bar_s" not in figures  # the bars are for CUDA


def test_the_flops_are_those_that_torch_counts():
    """Torch's counter sees each product and convolution that is launched, forward and backward."""
    import importlib.util

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from cogd.train.heads.count.net import CountNet
    from cogd.train.heads.pose.net import PoseNet

    spec = importlib.util.spec_from_file_location("training_bench", BENCH / "training.py")
    training = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(training)
    for head, net in (("pose", PoseNet()), ("count", CountNet())):
        with FlopCounterMode(display=False) as counter:
            sum(output.sum() for output in net(torch.ones(5, 56, 20))).backward()
        assert counter.get_total_flops() == 5 * training.flops_per_window(head)
