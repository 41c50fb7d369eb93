"""Work in several processes: in order, with its exceptions, and left where it stands when nobody wants it any more."""

import os
import time
from multiprocessing import active_children

import pytest

from cogd.errors import TrainError
from cogd.train.data.parallel import in_processes

pytestmark = pytest.mark.train


def square(number: int) -> int:
    if number < 0:
        raise ValueError(number)
    return number * number


def end_at_once(number: int) -> None:
    os.kill(os.getpid(), number)


def slowly(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_results_come_in_the_order_of_the_pieces():
    assert list(in_processes(square, range(9), 2, at_a_time=2)) == [number * number for number in range(9)]
    assert active_children() == []


def test_an_exception_comes_where_its_result_would():
    made = in_processes(square, [1, 2, -3, 4], 2)

    assert [next(made), next(made)] == [1, 4]
    with pytest.raises(ValueError, match="-3"):
        next(made)
    assert active_children() == []


def test_a_process_that_is_killed_is_told():
    with pytest.raises(TrainError, match="was killed") as told:
        list(in_processes(end_at_once, [9, 9, 9], 2))
    assert "data.processes" in told.value.hint
    assert active_children() == []


def test_work_that_nobody_waits_for_is_left():
    made = in_processes(slowly, [0.0, *[60.0] * 9], 2)
    assert next(made) == 0.0
    started_s = time.monotonic()
    made.close()

    assert time.monotonic() - started_s < 30
    assert active_children() == []
