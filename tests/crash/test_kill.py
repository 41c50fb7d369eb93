"""An app is its old or its new version, whenever the process that changes it is killed."""

import pytest

from .helper import call
from .kill import kill_everywhere
from .operations import OPERATIONS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("traced")]

RECOVERED = 8
"""The recovery, too, is killed at its every step: after every eighth kill of the operation."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_at_every_step(name, folder, figures):
    report = call(kill_everywhere, name, folder, every=RECOVERED)
    figures(
        "SIGKILL after every change: kills, kills of the recovery, failures",
        *(name, report.points, report.recoveries, len(report.failures)),
    )
    assert report.failures == []
    assert report.outcomes["old"]
    assert report.outcomes["new"]


def test_a_repetition_clears_away_by_itself(folder):
    assert call(kill_everywhere, "upgrade", folder, recovery=False).failures == []


@pytest.mark.parametrize(
    ("name", "fault", "found"),
    [
        ("rollback", "the switch is not atomic", "neither old nor new"),
        ("rollback", "nothing is cleared away", "too many ['pose-app/."),
        ("first, after a removal", "nothing is remembered", "changed ['.cogd/memory/pose-app.json']"),
    ],
)
def test_a_fault_is_found(name, fault, found, folder):
    report = call(kill_everywhere, name, folder, sabotaged=fault)
    assert any(found in failure for failure in report.failures), report
