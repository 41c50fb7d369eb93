"""A process of one thread that runs one function for a test: it may fork and trace, which pytest's own may not."""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
_PATIENCE_S = 600
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def call(function: Callable, *arguments: object, **named: object) -> object:
    """Call a function of a module in a helper, and return what it returns."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, function.__module__, function.__qualname__],
        input=pickle.dumps((arguments, named)),
        capture_output=True,
        cwd=ROOT,
        env=os.environ | _ONE_THREAD,
        timeout=_PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return pickle.loads(done.stdout)


class Child:
    """A fork of this process that calls a function: nothing of it stays here but what it returns."""

    def __init__(self, function: Callable[[], object]) -> None:
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            _answer(function, writer)
        os.close(writer)
        self._reader = reader

    def result(self) -> object:
        """Wait for its end; what the function returned.

        Raises:
            AssertionError: it raised something, or died.
        """
        with os.fdopen(self._reader, "rb") as pipe:
            data = pipe.read()
        _, status = os.waitpid(self.pid, 0)
        assert data, f"the child died of {status}"
        succeeded, answer = pickle.loads(data)
        if not succeeded:
            raise AssertionError(answer)
        return answer

    def kill(self) -> None:
        """End it, and do not wait for what it returns."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._reader)


def _answer(function: Callable[[], object], writer: int) -> None:
    try:
        try:
            answer = (True, function())
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent is told
            answer = (False, str(error) if isinstance(error, AssertionError) else traceback.format_exc())
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(answer, pipe)
    finally:
        os._exit(0)


def _main() -> None:
    module, name = sys.argv[1:]
    function = getattr(importlib.import_module(module), name)
    arguments, named = pickle.load(sys.stdin.buffer)
    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads may not fork"
    answer = pickle.dumps(function(*arguments, **named))
    sys.stdout.buffer.write(answer)


if __name__ == "__main__":
    _main()
