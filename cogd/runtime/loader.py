"""Load one app without harm to the others: the limits, and the two ways to wait for them.

Start, reload, installation, rollback and `cogd health` load an app through this module. What goes wrong with one app,
an exception of a plugin or a load that does not end, is the rejection of that app. A load that does not end is left
behind on a daemon thread, which keeps neither the caller nor the process; where the process itself is at stake, at
installation, rollback and `cogd health`, `golden_process.py` runs the same load in a child process.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from cogd.errors import ModelError
from cogd.runtime.guard import plugin_border
from cogd.runtime.worker import on_a_thread

if TYPE_CHECKING:
    from collections.abc import Callable

_Result = TypeVar("_Result")

LATE_HINT: Final = "the model loops, or is too large for this device: report it to the publisher of the app"


@dataclass(frozen=True)
class LoadLimits:
    """What loading one app and running its golden pair may take.

    Attributes:
        wall_s: seconds of wall time.
        cpu_s: seconds of processor time; in a child process only.
        memory_bytes: bytes of private writable memory; in a child process only, and at most half of the machine's.
        start_s: seconds that a child process has to import what it needs, before the other limits count.
    """

    wall_s: float = 20.0
    cpu_s: float = 20.0
    memory_bytes: int = 2 << 30
    start_s: float = 60.0


LIMITS: Final = LoadLimits()


def load_within(app_id: str, call: Callable[[], _Result], limits: LoadLimits = LIMITS) -> _Result:
    """Load an app and wait for it.

    Args:
        app_id: the app.
        call: loads it; where it does not end, it is left behind on its thread.
        limits: `wall_s` of them counts.

    Raises:
        ModelError: a plugin failed, or it did not end in time.
        CogdError: what `call` raises.
    """
    answers: queue.SimpleQueue[tuple[_Result | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            with plugin_border(app_id, "loading"):
                answers.put((call(), None))
        except BaseException as error:  # noqa: BLE001  # raised again by the caller
            answers.put((None, error))

    threading.Thread(target=run, name=f"load {app_id}", daemon=True).start()
    try:
        result, error = answers.get(timeout=limits.wall_s)
    except queue.Empty:
        raise late(app_id, limits) from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # no error: it is a result


async def load_aside(app_id: str, call: Callable[[], _Result], limits: LoadLimits = LIMITS) -> _Result:
    """As `load_within`, while the event loop goes on.

    Raises:
        ModelError, CogdError: as `load_within`.
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
