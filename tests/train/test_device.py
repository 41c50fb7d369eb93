import contextlib
import ctypes
import subprocess
import sys

import pytest
import torch

from cogd.errors import TrainError
from cogd.train import device as device_module
from cogd.train.device import capture_on, choose_device, keep_freed_memory
from cogd.train.loop import Loop
from tests.train.factory import TINY, make_config, make_split, make_task, make_windows, run_cli

pytestmark = pytest.mark.train


@pytest.fixture
def without_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("without_cuda")
@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_the_cpu_is_taken_where_nothing_else_is(name):
    assert choose_device(name) == torch.device("cpu")


@pytest.mark.usefixtures("without_cuda")
def test_cuda_that_is_not_there_is_refused():
    with pytest.raises(TrainError, match="there is no CUDA device"):
        choose_device("cuda")


@pytest.mark.parametrize(("name", "chosen"), [("auto", "cuda"), ("cuda", "cuda"), ("cpu", "cpu")])
def test_cuda_is_taken_where_it_is_and_made_repeatable(monkeypatch, name, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)

    assert choose_device(name).type == chosen
    assert (device_module.os.environ.get("CUBLAS_WORKSPACE_CONFIG") == ":4096:8") == (chosen == "cuda")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)


def test_steps_are_recorded_on_cuda_alone():
    assert capture_on(torch.device("cpu")) is None
    assert capture_on(torch.device("cuda")) is device_module.capture_cuda_graph


def test_work_is_warmed_up_aside_and_then_recorded_once(monkeypatch):
    """The order of the calls that PyTorch's notes prescribe; no GPU here could tell what they do."""
    calls = []

    class Stream:
        def __init__(self, name="side"):
            self.name = name

        def wait_stream(self, other):
            calls.append(f"{self.name} waits for {other.name}")

    class Graph:
        def replay(self):
            calls.append("replay")

    @contextlib.contextmanager
    def during(what):
        calls.append(f"begin {what}")
        yield
        calls.append(f"end {what}")

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: Stream("main"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: during(stream.name))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: during("recording"))

    replay = device_module.capture_cuda_graph(lambda: calls.append("work"))
    replay()

    assert calls == [
        *("side waits for main", "begin side", "work", "work", "work", "end side", "main waits for side"),
        *("begin recording", "work", "end recording", "replay"),
    ]


@pytest.mark.usefixtures("without_cuda")
@pytest.mark.parametrize("verb", ["pose", "count"])
def test_the_command_line_refuses_a_device_that_is_not_there(verb, tmp_path):
    ran = run_cli(verb, "--out", tmp_path / "run", *TINY, "--device", "cuda")

    assert ran.status == TrainError.exit_status
    assert "there is no CUDA device" in ran.err
    assert "--device cpu" in ran.err


def test_a_run_goes_on_only_on_the_kind_of_device_that_it_was_begun_on(tmp_path):
    def make_loop() -> Loop:
        windows, split = make_windows(), make_split()
        task = make_task("pose", windows, split.train)
        return Loop(task, windows.csi, split, make_config(epochs=2), tmp_path / "checkpoint.pt")

    make_loop().run()
    state = torch.load(tmp_path / "checkpoint.pt")
    torch.save({**state, "device": "cuda"}, tmp_path / "checkpoint.pt")

    with pytest.raises(TrainError, match="was begun on cuda, this is cpu") as refused:
        make_loop().resume(tmp_path / "checkpoint.pt")
    assert "--device cuda" in refused.value.hint


KEPT = """
import ctypes
import torch
from cogd.train.device import keep_freed_memory

class Mallinfo2(ctypes.Structure):  # <malloc.h>
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
    )]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Mallinfo2
assert keep_freed_memory()
activation = torch.ones(4 << 20)
mapped, free = mallinfo2().hblkhd, mallinfo2().fordblks
del activation
print(mallinfo2().fordblks - free, mapped - mallinfo2().hblkhd)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="another libc than glibc 2.33 or newer")
def test_freed_memory_is_kept_for_the_next_step():
    """By glibc's own account. Page faults tell it only on kernels and with allocation patterns that happen to suit."""
    done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, check=True)
    kept_bytes, returned_bytes = map(int, done.stdout.split())

    assert kept_bytes >= 4 * (4 << 20)
    assert returned_bytes == 0


@pytest.mark.parametrize("failing", [OSError, AttributeError])
def test_where_there_is_no_glibc_nothing_is_done(monkeypatch, failing):
    def none(_):
        raise failing

    monkeypatch.setattr(ctypes, "CDLL", none)

    assert not keep_freed_memory()
