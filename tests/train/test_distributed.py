"""Two processes against one: the same weights but for rounding, whatever each has of a batch."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cogd.errors import TrainError
from cogd.train.distributed import World, join_world
from cogd.train.history import read_history
from tests.train import together
from tests.train.factory import TINY, wait_for

pytestmark = pytest.mark.train

Trained = dict[str, dict[str, dict[str, torch.Tensor]]]
ROOT = Path(__file__).parents[2]


FLAGS = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
CAPABILITIES = ["default", *(name for name, flag in (("avx2", "avx2"), ("avx512", "avx512f")) if flag in FLAGS)]
"""The instruction sets that PyTorch has kernels for and this CPU has: each adds in another order."""

TOLERANCE = 1e-6
"""Largest difference of a weight, loss, output or gradient.

The runs compute in float64, where another order of addition changes a gradient g by about 1e-16 * |g|. What remains are
the float32 class weights: their sums over parts of a batch differ by 2**-24 = 6e-8 relative, and the gradients, all
below 1, by as much. AdamW divides by the gradient's own size where that is above its epsilon, so a weight moves by at
most learning_rate * 6e-8 * (largest / own gradient) a step; with learning_rate 1e-3 and 12 steps this stays below 1e-6
for every gradient above 1e-3 of the largest, and below epsilon = 1e-8 the division ends.
"""


def start(*command: object, processes: int = 2, capability: str | None = None) -> subprocess.Popen[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    chosen = {} if capability is None else {"ATEN_CPU_CAPABILITY": capability}
    return subprocess.Popen(
        [*launcher, *map(str, command)],
        cwd=ROOT,
        env={**os.environ, **chosen, "OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture(scope="module", params=CAPABILITIES)
def capability(request) -> str:
    return request.param


def train(folder: Path, processes: int, capability: str) -> list[Trained]:
    """What each process has in the end."""
    process = start("-m", "tests.train.together", folder, processes=processes, capability=capability)
    _, told = process.communicate(timeout=240)
    assert process.returncode == 0, told
    return [torch.load(folder / f"{rank}.pt") for rank in range(processes)]


@pytest.fixture(scope="module")
def by_two(tmp_path_factory, capability) -> list[Trained]:
    return train(tmp_path_factory.mktemp("two"), 2, capability)


@pytest.fixture(scope="module")
def by_one(tmp_path_factory, capability) -> Trained:
    return train(tmp_path_factory.mktemp("one"), 1, capability)[0]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["gradients", "losses", "outputs", "weights"])
@pytest.mark.parametrize("run", together.RUNS)
def test_two_processes_learn_what_one_learns(by_one, by_two, run, what):
    assert_close(by_two[0][run][what], by_one[run][what])


@pytest.mark.slow
@pytest.mark.parametrize("run", together.RUNS)
def test_the_weights_of_two_processes_do_not_drift_apart(by_two, run):
    for name, weight in by_two[0][run]["weights"].items():
        assert torch.equal(by_two[1][run]["weights"][name], weight), name


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=TOLERANCE, msg=name)


@pytest.mark.slow
def test_two_processes_that_are_interrupted_go_on(tmp_path):
    out, history = tmp_path / "run", tmp_path / "run" / "history.jsonl"
    count = ("-m", "cogd.train.cli", "count", "--out", out, *TINY, "--persons", "0,2", "--batch-size", "29")
    process = start(*count, "--device", "cpu", "--epochs", "100000")
    wait_for(lambda: read_history(history), process)
    process.send_signal(signal.SIGINT)
    printed, told = process.communicate(timeout=60)

    assert process.returncode != 0
    assert "go on with `cogd-train count --out" in told
    assert printed == ""
    done = len(read_history(history))
    process = start(*count, "--device", "cpu", "--resume", "--epochs", done + 2)
    printed, told = process.communicate(timeout=240)
    assert process.returncode == 0, told
    assert printed.count("run directory") == 1  # one process speaks
    assert [epoch.epoch for epoch in read_history(history)] == list(range(1, done + 3))


@pytest.mark.parametrize("count", [0, 1, 2, 7, 64])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_parts_of_a_batch_are_all_of_it_and_alike(count, size):
    rows = list(range(count))
    parts = [rows[World(rank, size).part(count)] for rank in range(size)]

    assert [row for part in parts for row in part] == rows
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("layer", [torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.1)])
def test_a_network_that_looks_at_its_whole_batch_is_trained_by_one_process_only(layer):
    net = torch.nn.Sequential(torch.nn.Linear(4, 4), layer)

    World(0, 1).check(net)
    with pytest.raises(TrainError, match=f"the network has a {type(layer).__name__}"):
        World(0, 2).check(net)


def test_processes_that_can_not_be_joined_say_so(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)

    with pytest.raises(TrainError, match="2 processes can't be joined"):
        join_world(torch.device("cpu"))
