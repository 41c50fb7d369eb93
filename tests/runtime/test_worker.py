import asyncio
import subprocess
import sys
import threading

import pytest

from cogd.runtime.worker import Worker


async def test_calls_run_one_after_another_off_the_loops_thread():
    worker = Worker("test")
    threads = []
    results = [await worker.submit(lambda n=n: threads.append(threading.get_ident()) or n) for n in range(3)]
    assert results == [0, 1, 2]
    assert set(threads) == {threads[0]} != {threading.get_ident()}
    worker.close()


async def test_what_a_call_raises_is_raised_by_its_future():
    worker = Worker("test")
    with pytest.raises(ZeroDivisionError):
        await worker.submit(lambda: 1 / 0)
    assert await worker.submit(lambda: "still here") == "still here"
    worker.close()


async def test_an_abandoned_call_keeps_the_worker_busy_until_it_returns():
    worker, gate = Worker("test"), threading.Event()
    future = worker.submit(gate.wait)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(future, 0.01)
    assert worker.unfinished == 1
    gate.set()
    assert await worker.submit(lambda: 7) == 7
    assert worker.unfinished == 0
    worker.close()


def test_a_call_that_never_returns_does_not_keep_the_process():
    code = (
        "import asyncio, threading\n"
        "from cogd.runtime.worker import Worker\n"
        "async def main():\n"
        "    Worker('w').submit(threading.Event().wait)\n"
        "asyncio.run(main())\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0
