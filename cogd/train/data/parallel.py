"""Work that several processes share, and that ends at once and without a word when it is interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import active_children, get_context, parent_process
from typing import TYPE_CHECKING, Final, TypeVar

from cogd.errors import TrainError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

Given = TypeVar("Given")
Made = TypeVar("Made")


class _Worker:
    """What a worker is at: plain attributes, which a signal may interrupt the setting of.

    Attributes:
        working: at a piece of work; else it waits for one, and must not be interrupted, for it holds locks.
        leaving: it was told to leave its work, and what else it is given.
    """

    working = False
    leaving = False


_worker: Final = _Worker()


def in_processes(
    work: Callable[[Given], Made], pieces: Sequence[Given], processes: int, at_a_time: int = 1
) -> Iterator[Made]:
    """What a function makes of each piece, in order.

    Where an exception, Ctrl-C among them, ends it before its time, the workers leave their work where it stands.

    Args:
        work: can be pickled, as can pieces and what is made of them.
        pieces: of work.
        processes: that do it, new ones, for whoever trains has threads, which a fork would not survive.
        at_a_time: so many pieces are given to a process together.

    Raises:
        TrainError: a process was ended from outside.
    """
    others = set(active_children())
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_begin)
    try:
        with _unheard(signal.SIGINT):  # by the workers, which begin here: a terminal's Ctrl-C is for every process
            made = pool.map(partial(_do, work), pieces, chunksize=at_a_time)
        yield from made
    except BrokenProcessPool as error:
        raise TrainError(
            "a process that read or simulated data was killed, most likely for lack of memory",
            hint="data.processes = 1 needs less; so do fewer rooms, or a larger stride",
        ) from error
    except BaseException:
        for worker in set(active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _unheard(number: signal.Signals) -> Iterator[None]:
    """A signal waits until the end; processes that are begun meanwhile never hear it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    signal.signal(signal.SIGTERM, _leave_work)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed tells nobody, and its workers would wait for work for ever."""
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


def _leave_work(_number: int, _frame: FrameType | None) -> None:
    _worker.leaving = True
    if _worker.working:
        raise KeyboardInterrupt


def _do(work: Callable[[Given], Made], piece: Given) -> Made:
    _worker.working = True
    try:
        if _worker.leaving:  # some pieces were on their way to it
            raise KeyboardInterrupt
        return work(piece)
    finally:
        _worker.working = False
