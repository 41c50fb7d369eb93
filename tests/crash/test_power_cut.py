"""An app is its old or its new version, whatever the disk has lost that was not made durable."""

import pytest

from .helper import call
from .operations import OPERATIONS
from .power_cut import cut_after_kills, cut_everywhere

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("traced")]

TITLE = "Power cut after every change: points, different disks, failures"


@pytest.mark.parametrize("name", OPERATIONS)
def test_power_is_cut_at_every_step(name, folder, figures):
    report = call(cut_everywhere, name, folder)
    figures(TITLE, name, report.points, report.states, len(report.failures))
    assert report.failures == []
    assert report.outcomes["old"]
    assert report.outcomes["new"]


@pytest.mark.parametrize(
    ("name", "every"), [("first, beside config.json", 8), ("upgrade", 8), ("rollback", 1), ("remove --forget", 8)]
)
def test_power_is_cut_while_a_killed_operation_is_repeated(name, every, folder, figures):
    report = call(cut_after_kills, name, folder, every)
    figures(TITLE, f"{name}, repeated", report.points, report.states, len(report.failures))
    assert report.failures == []


@pytest.mark.parametrize("fault", ["nothing is synced", "no directory is synced", "no file is synced"])
@pytest.mark.parametrize("name", ["first", "upgrade"])
def test_what_is_not_synced_is_found(name, fault, folder):
    assert call(cut_everywhere, name, folder, fault).failures


def test_building_on_what_is_not_synced_is_found(folder):
    report = call(cut_after_kills, "rollback", folder, 1, "what was not synced is built on")
    assert any("neither old nor new" in failure for failure in report.failures)
