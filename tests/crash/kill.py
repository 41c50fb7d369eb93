"""End an operation by SIGKILL after each of the system calls by which it changes something."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from .helper import Child
from .operations import OPERATIONS, Reference, apps_of, check, copy, proven, recover, reference
from .ptrace import Traced
from .sabotage import sabotage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass
class Report:
    """What came of it: how often the process was killed, in the operation and in recoveries, and what went wrong."""

    points: int = 0
    recoveries: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def kill_everywhere(
    name: str, folder: Path, *, every: int | None = None, recovery: bool = True, sabotaged: str | None = None
) -> Report:
    """Kill an operation after every change.

    Args:
        name: of the operation.
        folder: an empty one.
        every: after how many of the kills the recovery is killed too, after its every change.
        recovery: whether there is one before the operation is repeated.
        sabotaged: a fault that the code has.
    """
    report = Report()
    with proven(), sabotage(sabotaged):
        known = reference(OPERATIONS[name], folder)
        disk = folder / "disk"
        while (killed := _kill(known.operation.act, copy(known.disk, disk), report.points + 1)) is not None:
            report.points += 1
            if every is not None and report.points % every == 0:
                _kill_recoveries(report, known, disk, killed)
            _judge(report, known, disk, killed, recovery=recovery)
    return report


def _kill_recoveries(report: Report, known: Reference, before: Path, killed: str) -> None:
    disk = before.with_name("recovery")
    for point in itertools.count(1):
        again = _kill(recover, copy(before, disk), point)
        if again is None:
            shutil.rmtree(disk)
            return
        report.recoveries += 1
        _judge(report, known, disk, f"{killed}, then {again}")


def _kill(act: Callable[[Path], None], disk: Path, point: int) -> str | None:
    """The change after which the process was killed; None: there are fewer."""
    with Traced(partial(act, apps_of(disk)), str(disk)) as child:
        for number, change in enumerate(child.changes(), 1):
            if number == point:
                return f"{number}: {change}"
    assert child.status == 0, f"the operation failed by itself: {child.status}"
    return None


def _judge(report: Report, known: Reference, disk: Path, killed: str, *, recovery: bool = True) -> None:
    try:
        # What is installed is run once for each thing that it may be: its files are compared every time.
        run = len(report.outcomes) < 2
        checked = partial(check, known, apps_of(disk), run=run, recovery=recovery)
        report.outcomes[Child(checked).result()] += 1
    except AssertionError as error:
        report.failures.append(f"killed after {killed}: {error}")
    shutil.rmtree(disk)
