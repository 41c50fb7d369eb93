"""Run the golden check of a bundle in a child process that can be limited, and killed, without harm to this one.

A model can do what no exception reports: run for ever, take all memory, end its process. The child has limits of wall
time, processor time and memory, is its own process group, and is killed with all that it started when the check ends
in any way, SIGINT, SIGTERM and SIGHUP to this process included; it dies with this process in any case. What it runs
are the bytes that were verified here: they travel in a sealed memory file, not by a path.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

from cogd.bundle.durable import storage_error
from cogd.errors import ModelError
from cogd.runtime import golden_request
from cogd.runtime.golden_child import READY
from cogd.runtime.guard import MEMORY_HINT
from cogd.runtime.loader import LATE_HINT, LIMITS, LoadLimits, late

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from cogd.bundle.record import VariantProof
    from cogd.bundle.trust import TrustStore
    from cogd.bundle.verify import VerifiedBundle
    from cogd.runtime.golden_request import Checked

_LOOK_S: Final = 0.1
"""A child may be gone though something that it started keeps the pipe open."""

_UNKNOWN: Final = 255
"""The exit status of a child that the kernel has forgotten."""

_CRASH_HINT: Final = "nothing was changed; report it to the publisher: a model or backend that ends its program"


def prove_in_child(bundle: VerifiedBundle, trust: TrustStore, limits: LoadLimits = LIMITS) -> list[VariantProof]:
    """Load and measure every variant that this device would use, as `cogd.runtime.proof.prove`.

    Args:
        bundle: what to check.
        trust: the keys that verified it.
        limits: of the whole check.

    Raises:
        BundleError, PluginError: it is refused; whatever the model did to the child is a `ModelError`.
        StorageError, PermissionDeniedError: no child can be started.
    """
    return _check(bundle, trust, limits, timed=True).proofs


def check_in_child(bundle: VerifiedBundle, trust: TrustStore, limits: LoadLimits = LIMITS) -> Checked:
    """Load the first variant that reproduces the golden pair.

    Raises:
        CogdError: as `prove_in_child`.
    """
    return _check(bundle, trust, limits, timed=False)


def _check(bundle: VerifiedBundle, trust: TrustStore, limits: LoadLimits, *, timed: bool) -> Checked:
    app_id = bundle.manifest.id
    with contextlib.ExitStack() as stack:
        stack.enter_context(_termination_raises())
        try:
            request = golden_request.seal(bundle, trust, timed=timed, limits=limits)
            stack.callback(os.close, request)
            reading, writing = os.pipe2(os.O_CLOEXEC)
            stack.callback(os.close, reading)
            try:
                child = _start(request, writing)
                stack.callback(_end, child)
            finally:
                os.close(writing)
        except OSError as error:
            raise storage_error(error, f"{app_id}: no process can be started to check it") from error
        ready, line = _wait(app_id, child, reading, limits)
        status = _status(child)
    if line.endswith(b"\n"):
        return golden_request.parse(app_id, line)
    raise _crash(app_id, status, limits, ready=ready)


def _start(request: int, writing: int) -> subprocess.Popen[bytes]:
    """Start the child; it imports what this process would, and nothing from the working directory."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    fds = (request, writing)
    try:
        os.fstat(2)
        out = 2
    except OSError:
        out = subprocess.DEVNULL
    return subprocess.Popen(  # noqa: S603  # this interpreter
        [sys.executable, "-P", "-m", "cogd.runtime.golden_child", *map(str, (*fds, os.getpid()))],
        stdin=subprocess.DEVNULL,
        stdout=out,
        pass_fds=fds,
        env={**os.environ, "PYTHONPATH": path},
        process_group=0,
    )


def _wait(app_id: str, child: subprocess.Popen[bytes], reading: int, limits: LoadLimits) -> tuple[bool, bytes]:
    """Whether the child came as far as the check, and its answer, as far as it came.

    Raises:
        ModelError: it did not end in time.
    """
    received, ready = bytearray(), False
    until_s = time.monotonic() + limits.start_s
    with selectors.DefaultSelector() as selector:
        selector.register(reading, selectors.EVENT_READ)
        while True:
            gone = _status(child) is not None
            if selector.select(0 if gone else min(_LOOK_S, max(0.0, until_s - time.monotonic()))):
                part = os.read(reading, 65536)
                received += part
                if not ready and received.startswith(READY):
                    ready, until_s = True, time.monotonic() + limits.wall_s
                if not part or len(received) > golden_request.MAX_ANSWER_BYTES:
                    break
            elif gone:
                break
            elif time.monotonic() >= until_s:
                if ready:
                    raise late(app_id, limits)
                raise ModelError(f"{app_id}: its check did not begin within {limits.start_s:g} s", hint=LATE_HINT)
    until_s = time.monotonic() + _LOOK_S  # it closed the pipe because it ends
    while _status(child) is None and time.monotonic() < until_s:
        time.sleep(0.005)
    return ready, bytes(received).removeprefix(READY)


def _status(child: subprocess.Popen[bytes]) -> int | None:
    """As `Popen.poll`, but the child's process id stays its own: `_end` has still to kill its process group."""
    try:
        result = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    except ChildProcessError:  # this process was started with SIGCHLD ignored
        return _UNKNOWN
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and whatever it started in its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _crash(app_id: str, status: int | None, limits: LoadLimits, *, ready: bool) -> ModelError:
    """How a child ended that gave no answer."""
    if status == -signal.SIGXCPU:
        return ModelError(f"{app_id}: used more than {limits.cpu_s:g} s of processor time", hint=LATE_HINT)
    if status == -signal.SIGKILL:
        return ModelError(f"{app_id}: the process that checked it was killed, probably out of memory", hint=MEMORY_HINT)
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        return ModelError(f"{app_id}: crashed the process that checked it ({name})", hint=_CRASH_HINT)
    where = "checked it" if ready else "was to check it"
    return ModelError(f"{app_id}: the process that {where} ended without an answer (exit {status})", hint=_CRASH_HINT)


class _Terminated(BaseException):
    """A signal that ends this process came while a child was at work."""


@contextlib.contextmanager
def _termination_raises() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the child first, and then this process as they would have."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can handle signals; the child dies with this process all the same
        return
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)
        raise _Terminated

    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    try:
        for number in numbers:
            signal.signal(number, note)
        yield
    except _Terminated:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), came[0])
        raise  # blocked: then it ends as an exception does
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
