"""Load one app without harm to the others: the limits, and the two ways to wait for them.

Start, reload, installation, rollback and `cogd health` load an app through this module. What goes wrong with one app,
an exception of a plugin or a load that does not end, is the rejection of that app. A load that does not end is left
behind on a daemon thread, which keeps neither the caller nor the process; where the process itself is at stake, at
installation, rollback and `cogd health`, `golden_process.py` runs the same load in a child process.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from cogd.errors import ModelError
from cogd.runtime.guard import plugin_border
from cogd.runtime.worker import on_a_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Result = TypeVar("_Result")

LATE_HINT: Final = "the model loops, or is too large for this device: report it to the publisher of the app"


@dataclass(frozen=True)
class LoadLimits:
    """What loading one app and running its golden pair may take.

    Attributes:
        wall_s: seconds of wall time.
        cpu_s: seconds of processor time; in a child process only.
        memory_bytes: bytes of private writable memory; in a child process only, and at most half of the machine's.
        patience_s: seconds that the daemon's start waits for an app once another one is loaded; it is added later.
        start_s: seconds that a child process has to import what it needs, before the other limits count.
    """

    wall_s: float = 20.0
    cpu_s: float = 20.0
    memory_bytes: int = 2 << 30
    patience_s: float = 2.0
    start_s: float = 60.0


LIMITS: Final = LoadLimits()


class Load(Generic[_Result]):
    """One load of an app, on a daemon thread; where it does not end, it is left behind there.

    Args:
        app_id: the app.
        call: loads it.
        limits: `wall_s` of them counts, from now on.
    """

    def __init__(self, app_id: str, call: Callable[[], _Result], limits: LoadLimits = LIMITS) -> None:
        self.app_id, self.limits = app_id, limits
        self.future: Future[_Result] = Future()
        self._call, self._until_s = call, time.monotonic() + limits.wall_s
        threading.Thread(target=self._run, name=f"load {app_id}", daemon=True).start()

    @property
    def left_s(self) -> float:
        """How many of its seconds are left; at least 0."""
        return max(0.0, self._until_s - time.monotonic())

    def result(self) -> _Result:
        """Wait for what was loaded, for as long as is left.

        Raises:
            ModelError: a plugin failed, or it did not end in time.
            CogdError: what the call raises.
        """
        try:
            return self.future.result(self.left_s)
        except TimeoutError:
            raise late(self.app_id, self.limits) from None

    def _run(self) -> None:
        try:
            with plugin_border(self.app_id, "loading"):
                self.future.set_result(self._call())
        except BaseException as error:  # noqa: BLE001  # raised again by whoever waits
            self.future.set_exception(error)


def wait_for_first(loads: Sequence[Load[_Result]]) -> None:
    """Wait until all loads have ended or are late; once one is good, for the others only `patience_s` longer.

    So a load that does not end keeps the others from their work for no longer than that.
    """
    waiting = {load.future for load in loads}
    until_s = time.monotonic() + max((load.left_s for load in loads), default=0.0)
    is_short = False
    while waiting and (left_s := until_s - time.monotonic()) > 0:
        done, waiting = wait(waiting, left_s, FIRST_COMPLETED)
        if not is_short and any(future.exception() is None for future in done):
            is_short, until_s = True, min(until_s, time.monotonic() + loads[0].limits.patience_s)


async def load_aside(app_id: str, call: Callable[[], _Result], limits: LoadLimits = LIMITS) -> _Result:
    """Load an app on a thread while the event loop goes on.

    Raises:
        ModelError, CogdError: as `Load.result`.
    """

    def run() -> _Result:
        with plugin_border(app_id, "loading"):
            return call()

    try:
        return await on_a_thread(f"load {app_id}", run, limits.wall_s)
    except TimeoutError:
        raise late(app_id, limits) from None


def late(app_id: str, limits: LoadLimits) -> ModelError:
    """The rejection of an app that was not loaded in time."""
    return ModelError(f"{app_id}: was not loaded within {limits.wall_s:g} s", hint=LATE_HINT)
