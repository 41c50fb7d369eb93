"""A thread that runs one call after another, and that nobody has to wait for."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_busy: set[threading.Thread] = set()


def any_busy() -> bool:
    """Whether a worker's thread is inside a call.

    A process must not take the interpreter apart then: when such a call comes back from C++ code without an
    interpreter, the C++ runtime aborts the process.
    """
    return bool(_busy)


_Result = TypeVar("_Result")
_Other = TypeVar("_Other")


class Worker(Generic[_Result]):
    """Runs calls on a daemon thread of its own: one that never returns keeps neither the caller nor the process.

    (A `ThreadPoolExecutor` joins its threads when the interpreter ends.)

    Attributes:
        unfinished: calls that have not come back yet; to be read only.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any], bool] | None] = queue.SimpleQueue()
        self.unfinished = 0
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, call: Callable[[], _Result]) -> asyncio.Future[_Result]:
        """Run a call; the future may be abandoned. Only from the event loop's thread."""
        future: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self.unfinished += 1
        self._calls.put((call, future, True))
        return future

    def aside(self, call: Callable[[], _Other]) -> asyncio.Future[_Other]:
        """Run a call that is none of the others' business: it waits its turn, but does not count as unfinished."""
        future: asyncio.Future[_Other] = asyncio.get_running_loop().create_future()
        self._calls.put((call, future, False))
        return future

    def close(self) -> None:
        """End the thread after the calls it has been given."""
        self._calls.put(None)

    def _run(self) -> None:
        while (item := self._calls.get()) is not None:
            call, future, counts = item
            result: object = None
            failure: BaseException | None = None
            _busy.add(threading.current_thread())
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001  # handed to whoever awaits the future
                failure = error
            finally:
                _busy.discard(threading.current_thread())
            try:
                future.get_loop().call_soon_threadsafe(self._finish, future, result, failure, counts)
            except RuntimeError:  # the loop has ended, nobody awaits it any more
                return

    def _finish(
        self,
        future: asyncio.Future[Any],
        result: object,
        failure: BaseException | None,
        counts: bool,  # noqa: FBT001
    ) -> None:
        self.unfinished -= counts
        if future.done():  # abandoned
            return
        if failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(result)


async def on_a_thread(name: str, call: Callable[[], _Result], limit_s: float) -> _Result:
    """Run a call on a thread of its own, which nobody has to wait for if it never returns."""
    worker: Worker[_Result] = Worker(name)
    try:
        async with asyncio.timeout(limit_s):  # `wait_for` may swallow being cancelled
            return await worker.submit(call)
    finally:
        worker.close()
