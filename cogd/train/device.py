"""Where a network is trained, and what has to be set there first."""

from __future__ import annotations

import ctypes
import os
import warnings
from typing import TYPE_CHECKING, Final

import torch

from cogd.errors import ConfigError, TrainError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cogd.train.config import DeviceName


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
_MMAP_THRESHOLD_MAX: Final = 32 << 20
"""The most that glibc takes; an activation of a thousand windows has 10 MB."""

_WARM_UPS: Final = 3
"""As PyTorch's notes on CUDA graphs do: cuDNN and cuBLAS choose and allocate in the first calls."""


def choose_device(name: DeviceName) -> torch.device:
    """The device of that name; `auto` is CUDA where there is one. It is made ready for runs that can be repeated.

    Raises:
        TrainError: CUDA is asked for, and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise TrainError("there is no CUDA device, or this torch is built without CUDA", hint="--device cpu")
    if name == "cpu" or not available:
        keep_freed_memory()
        return torch.device("cpu")
    # Read when cuBLAS is first used; without it torch's deterministic mode refuses matrix products.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # That mode fills every new tensor too, with a kernel of its own; nothing here reads what it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if "LOCAL_RANK" in os.environ:  # of several processes that torchrun started, each has a device of its own
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cuda")


def check_bf16(device: torch.device) -> None:
    """See that a device computes in bf16; elsewhere it would be emulated, at a tenth of the speed of float32.

    Raises:
        ConfigError: it does not.
    """
    if device.type == "cuda":
        has, lacks = torch.cuda.is_bf16_supported(including_emulation=False), "this GPU has no bf16"
    else:
        can = torch.cpu.get_capabilities()
        has, lacks = (
            bool(can.get("avx512_bf16") or can.get("amx_bf16")),
            "this CPU has neither avx512_bf16 nor amx_bf16",
        )
    if not has:
        raise ConfigError(f"train.precision = 'bf16': {lacks}", hint="train.precision = 'fp32'")


def keep_freed_memory() -> bool:
    """Let this process keep the memory that a training step frees: the next step wants it again.

    glibc gives blocks of megabytes back to the kernel, which hands them out page by page again: a third of the time of
    a full-batch step. Where there is no glibc, nothing is done and the answer is False.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    kept: int = mallopt(_M_TRIM_THRESHOLD, 2**31 - 1) and mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_MAX)
    return bool(kept)


def capture_on(device: torch.device) -> Callable[[Callable[[], None]], Callable[[], None]] | None:
    """How steps are recorded on a device; None where there is nothing to gain."""
    return capture_cuda_graph if device.type == "cuda" else None


def capture_cuda_graph(work: Callable[[], None]) -> Callable[[], None]:
    """Record work as a CUDA graph (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).

    The work is done three times for real before it is recorded; the recording itself does nothing. It must not wait for
    the device, and what it reads and writes must stay in the same place.
    """
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This instance was constructed with capturable=True")  # for below
        for _ in range(_WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    replay: Callable[[], None] = graph.replay
    return replay
