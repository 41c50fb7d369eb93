"""Several processes at once: each ends cleanly, the highest version stays, and readers see nothing but whole apps."""

import pytest

from .helper import call
from .together import hold_and_die, race

pytestmark = pytest.mark.slow

SAME = ("2.0.0", "2.0.0")
TWO = ("2.0.0", "3.0.0")
EIGHT = tuple(f"{major}.0.0" for major in range(2, 10))


def test_all_wait_for_their_turn(folder, figures):
    report = call(race, folder, [(TWO, 60), (SAME, 60), (EIGHT, 60), (4 * SAME, 60)] * 5)
    figures("Installations at once: reads, outcomes", "patient", report.reads, dict(report.outcomes))
    assert set(report.outcomes) <= {"done", "downgrade"}
    assert report.outcomes["done"] >= 20
    assert report.reads > 20
    assert {"1.0.0", "2.0.0"} < report.seen


def test_nobody_waits(folder, figures):
    report = call(race, folder, [(TWO, 0), (EIGHT, 0)] * 5)
    figures("Installations at once: reads, outcomes", "without patience", report.reads, dict(report.outcomes))
    assert report.outcomes["locked"]
    assert report.outcomes["done"] >= 10


def test_a_holder_is_named_and_its_death_frees_the_lock(folder):
    pid, told = call(hold_and_die, folder)
    assert told[0].startswith("locked: ")
    assert f"held by process {pid} " in told[0]
    assert told[1] == "done"


def test_a_missing_lock_is_found(folder):
    with pytest.raises(AssertionError):
        call(race, folder, [(EIGHT, 0)] * 20, sabotaged="there is no lock")
