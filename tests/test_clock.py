import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd import clock as clock_module
from cogd.clock import Beat, SystemClock


def test_a_beat_does_not_drift():
    beat = Beat(10.0, 0.04)
    now_s = 10.0
    for n in range(1, 100_000):
        wait_s, missed = beat.next(now_s + 0.013)  # what is done on the beat takes 13 ms
        now_s += 0.013 + wait_s
        assert missed == 0
        assert now_s == pytest.approx(10.0 + 0.04 * n, abs=1e-6)


def test_an_overrun_skips_beats_and_counts_them():
    beat = Beat(0.0, 1.0)
    assert beat.next(0.5) == (0.5, 0)
    assert beat.next(3.25) == (0.75, 2)
    assert beat.next(4.5) == (0.5, 0)


@given(
    st.floats(0.001, 10),
    st.lists(st.floats(0, 50), max_size=50),
)
def test_beats_are_on_the_grid_ahead_and_all_accounted_for(period_s, tasks_s):
    beat = Beat(100.0, period_s)
    now_s, beats = 100.0, 0
    for task_s in tasks_s:
        now_s += task_s
        wait_s, missed = beat.next(now_s)
        assert 0 <= wait_s <= period_s * 1.001
        now_s += wait_s
        beats += 1 + missed
        assert now_s == pytest.approx(100.0 + beats * period_s, rel=1e-9, abs=1e-6)


class SettableTime:
    """The module `time`, with a system clock that can be set."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.ahead_s = 0.0

    def time(self) -> float:
        return self.now_s + self.ahead_s

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def system(monkeypatch) -> SettableTime:
    settable = SettableTime()
    monkeypatch.setattr(clock_module, "time", settable)
    return settable


def test_unix_time_runs_evenly_while_the_system_clock_is_slewed(system):
    clock = SystemClock()
    for step in range(100):
        system.now_s += 1.0
        system.ahead_s = 0.4 * (-1) ** step
        assert clock.unix_s() == pytest.approx(1001.0 + step)


@pytest.mark.parametrize("step_s", [30 * 365 * 86400.0, -5.0, 0.6])
def test_unix_time_follows_a_system_clock_that_was_set(system, step_s):
    clock = SystemClock()
    assert clock.unix_s() == 1000.0
    system.ahead_s = step_s
    assert clock.unix_s() == pytest.approx(1000.0 + step_s)
    system.now_s += 1.0
    assert clock.unix_s() == pytest.approx(1001.0 + step_s)
    assert clock.monotonic_s() == 1001.0


async def test_sleep_lasts_at_least_as_long_on_its_own_monotonic_clock():
    clock = SystemClock()
    begun_s = clock.monotonic_s()
    await clock.sleep(0.01)
    assert clock.monotonic_s() - begun_s >= 0.0099
