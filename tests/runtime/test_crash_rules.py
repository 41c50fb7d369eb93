"""Which app is left out after daemons have died: the rules, with made-up runs of daemons."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.runtime.crash_rules import MAX_DEATHS, Note, confirm, forget, judge

BOOT = "a boot"


class Machine:
    """Daemons on a machine, one after the other."""

    def __init__(self, *installed):
        self.installed, self.now_s, self.boot, self.note = list(installed), 0.0, BOOT, None

    def start(self) -> frozenset[str]:
        """A daemon begins; returns what it leaves out."""
        self.note = judge(self.note, self.boot, self.now_s, self.installed)
        return self.note.refused

    def run(self, seconds=5.0, **doing) -> None:
        """It does something for so long."""
        fields = {"ran": [digest for digest in self.installed if digest not in self.note.refused]} | doing
        self.note = msgspec.structs.replace(self.note, **fields)
        self.now_s += seconds
        if self.note.suspect is not None and seconds > self.note.confirm_s:
            self.note = confirm(self.note)

    def die(self, **doing) -> frozenset[str]:
        """A whole run that dies; returns what it had left out."""
        refused = self.start()
        self.run(**doing)
        return refused

    def end(self, **doing) -> frozenset[str]:
        refused = self.start()
        self.run(**doing)
        self.note = msgspec.structs.replace(self.note, ended=True)
        return refused


@pytest.mark.parametrize("doing", [{"loading": ["b"]}, {"first": ["b"]}], ids=["loading", "first inference"])
def test_an_app_that_was_being_loaded_or_began_is_left_out_after_three_deaths(doing):
    machine = Machine("a", "b", "c")
    for _ in range(MAX_DEATHS):
        assert machine.die(**doing) == frozenset()
    assert machine.end() == {"b"}
    assert machine.end() == {"b"}  # for good
    assert machine.die() == {"b"}  # also where another app or the operator ends a daemon later


def test_an_app_alone_is_left_out():
    machine = Machine("a")
    for _ in range(MAX_DEATHS):
        machine.die()
    assert machine.start() == {"a"}


def test_a_daemon_that_dies_with_no_app_at_work_blames_none():
    machine = Machine("a")
    for _ in range(9):
        assert machine.die(ran=[]) == frozenset()


def test_an_end_begins_the_count_anew():
    machine = Machine("a")
    for _ in range(4):
        machine.die()
        machine.die()
        assert machine.end() == frozenset()


def test_a_power_cut_is_no_death():
    machine = Machine("a")
    for boot in range(9):
        machine.boot = f"boot {boot}"
        assert machine.die(loading=["a"]) == frozenset()


def test_deaths_before_and_after_a_power_cut_count_together():
    machine = Machine("a")
    machine.die()
    machine.die()
    machine.die()  # the plug is pulled in this one
    machine.boot = "another"
    assert machine.die() == frozenset()
    assert machine.start() == {"a"}


@pytest.mark.parametrize("guilty", ["a", "b", "c"])
def test_of_several_one_is_left_out_after_the_other_until_daemons_live(guilty):
    machine = Machine("a", "b", "c")
    for _ in range(20):
        if guilty in machine.start():
            break
        machine.run()
    else:
        raise AssertionError("never left out")
    assert machine.note.refused == {guilty}
    machine.run(seconds=700)
    assert machine.note.left_out == [guilty]
    for _ in range(2):
        assert machine.die() == {guilty}  # the others begin anew: they are not left out at once


def test_what_comes_first_is_suspected_first():
    machine = Machine("new", "old")
    for _ in range(MAX_DEATHS):
        machine.die()
    assert machine.start() == {"new"}


def test_deaths_that_take_long_need_a_longer_life_to_say_who_was_to_blame():
    machine = Machine("a", "b")
    for _ in range(MAX_DEATHS):
        machine.die(seconds=3600)
    assert machine.start() == {"a"}
    assert machine.note.confirm_s == 3 * 3600
    machine.run(seconds=3600)
    assert machine.start() == {"b"}


def test_where_daemons_die_whatever_is_left_out_all_run_again():
    machine = Machine("a", "b")
    left_out = [set(machine.die()) for _ in range(12)]
    assert left_out[3:5] == [{"a"}, {"b"}]
    assert left_out.count(set()) >= 6
    assert {"a", "b"} not in left_out


def test_a_suspect_that_is_taken_back_lets_the_others_begin_anew():
    machine = Machine("new", "old")
    for _ in range(MAX_DEATHS):
        machine.die()
    assert machine.start() == {"new"}
    machine.installed = ["old"]
    assert machine.die() == frozenset()
    assert machine.die() == frozenset()
    assert machine.start() == frozenset()


def test_another_version_is_not_what_was_left_out():
    machine = Machine("a")
    for _ in range(MAX_DEATHS):
        machine.die()
    machine.installed = ["a2"]
    assert machine.start() == frozenset()
    assert machine.note.left_out == []


def test_forgetting_tries_it_again():
    machine = Machine("a", "b")
    for _ in range(MAX_DEATHS):
        machine.die(loading=["b"])
    assert machine.start() == {"b"}
    machine.note = forget(machine.note, "b")
    assert machine.note.refused == frozenset()
    assert machine.note.deaths == {}


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sets(st.sampled_from("abcd"))), max_size=30))
def test_never_is_all_left_out_while_nobody_is_sure(runs):
    """Of several apps that all may be to blame only one at a time is left out, and a note never grows."""
    machine, boots = Machine("a", "b", "c", "d"), itertools.count()
    for ends, reboots, ran in runs:
        machine.start()
        assert machine.note.suspect is None or machine.note.suspect not in machine.note.left_out
        assert len(machine.note.refused) - len(machine.note.left_out) <= 1
        assert set(machine.note.deaths) <= set(machine.installed)
        machine.run(ran=sorted(ran - machine.note.refused))
        if ends:
            machine.note = msgspec.structs.replace(machine.note, ended=True)
        if reboots:
            machine.boot = str(next(boots))
    assert isinstance(machine.note, Note | None)
