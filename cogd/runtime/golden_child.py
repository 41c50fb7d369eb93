"""The child process of `golden_process`: check one bundle within limits and write down what came of it.

Run as `python -m cogd.runtime.golden_child REQUEST_FD ANSWER_FD PARENT_PID`. It reads the request from a sealed memory
file, verifies the bundle in it again, and writes one line when the limits begin to count and one with the answer.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1

READY: Final = b"ready\n"


def main(request_fd: int, answer_fd: int, parent: int) -> None:
    """Answer one request."""
    _die_with(parent)
    for fd in (request_fd, answer_fd):
        os.set_inheritable(fd, False)  # noqa: FBT003
    from cogd.runtime import golden_request  # noqa: PLC0415  # first of all this process must not outlive its parent

    request, bundle = golden_request.read(request_fd)
    golden_request.import_all(bundle)
    _limit(request.limits.cpu_s, request.limits.memory_bytes)
    os.write(answer_fd, READY)
    answer = golden_request.answer(request, bundle)
    while answer:
        answer = answer[os.write(answer_fd, answer) :]
    os._exit(0)  # threads that a plugin left behind have nothing to finish


def _die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before
        os._exit(1)


def _limit(cpu_s: float, memory_bytes: int) -> None:
    """Limit processor time and memory, counted from now on.

    Memory by RLIMIT_DATA, which counts what this process can write to and nobody shares. RLIMIT_AS also counts what is
    only reserved: numpy and ONNX Runtime take 190 MiB of it for 45 MiB, drivers of accelerators far more.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + cpu_s + 1)
    _lower(resource.RLIMIT_CPU, seconds, seconds + 2)  # SIGXCPU at the first, SIGKILL at the second
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    _lower(resource.RLIMIT_DATA, _data_bytes() + min(memory_bytes, pages // 2))
    _lower(resource.RLIMIT_CORE, 0)
    with contextlib.suppress(OSError):  # where memory runs out all the same, this process goes
        Path("/proc/self/oom_score_adj").write_text("1000")


def _lower(kind: int, soft: int, hard: int | None = None) -> None:
    hard = soft if hard is None else hard
    _, before = resource.getrlimit(kind)
    if before != resource.RLIM_INFINITY:
        soft, hard = min(soft, before), min(hard, before)
    resource.setrlimit(kind, (soft, hard))


def _data_bytes() -> int:
    """What RLIMIT_DATA counts now."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 256 << 20


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
