from urllib.parse import urlsplit

import pytest

from cogd.errors import SourceError
from cogd.sources import base
from cogd.sources.base import SystemClock, query_parameters


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
    monkeypatch.setattr(base, "time", settable)
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


def test_query_parameters():
    assert query_parameters("a", urlsplit("sim:?x=1&y="), ("x", "y")) == {"x": "1", "y": ""}
    with pytest.raises(SourceError, match="unknown parameter 'z'; the known ones are x, y"):
        query_parameters("a", urlsplit("sim:?z=1"), ("x", "y"))
    with pytest.raises(SourceError, match="unknown parameter 'z'; it has none"):
        query_parameters("a", urlsplit("udp://h:1?z=1"), ())
    with pytest.raises(SourceError, match="'x' is there twice"):
        query_parameters("a", urlsplit("sim:?x=1&x=2"), ("x",))
