"""Cut the power after each change that an operation makes, and look at all that may then be on the disk."""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from unittest import mock

from cogd.bundle import durable

from .disk_model import Disk, fingerprint, materialise
from .operations import OPERATIONS, Operation, Reference, apps_of, check, copy, proven, recover, reference
from .ptrace import Call, Traced
from .sabotage import sabotage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_NAMES = {"open", "mkdir", "rename", "symlink", "unlink", "rmdir"}
_LOCK = "/lib/apps/.cogd/lock"  # its content is a process id, which differs from run to run


@dataclass
class Report:
    """What came of it: crash points, different disks that were looked at, and what was wrong with some."""

    points: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seen: set[tuple[int, bool]] = field(default_factory=set)

    @property
    def states(self) -> int:
        return len(self.seen)


def cut_everywhere(name: str, folder: Path, sabotaged: str | None = None) -> Report:
    """Cut the power after every change of an operation."""
    with proven():
        known = reference(OPERATIONS[name], folder)
        disk = copy(known.disk, folder / "disk")
        with sabotage(sabotaged):
            calls = _record(known.operation.act, disk)
        report = Report()
        model = Disk(known.disk)
        _replay(report, known, model, _moved(calls, disk, known.disk))
        _compare(report, model, disk)
        shutil.rmtree(disk)
    return report


def cut_after_kills(name: str, folder: Path, every: int, sabotaged: str | None = None) -> Report:
    """Kill an operation after every `every`-th change of names, repeat it, and cut the power anywhere in that.

    What the first one had not made durable the second one finds in place all the same, and must not build on.
    """
    report = Report()
    with proven(), sabotage(sabotaged):
        known = reference(OPERATIONS[name], folder)
        changes = _record(known.operation.act, copy(known.disk, folder / "whole"))
        # Content and modes are never built upon before they are durable; names are what the next one finds.
        points = [number for number, call in enumerate(changes, 1) if call.name in _NAMES]
        for point in points[::every]:
            disk = copy(known.disk, folder / "disk")
            with _numbered_temporaries(), Traced(partial(known.operation.act, apps_of(disk)), str(disk)) as child:
                first = list(itertools.islice(child.changes(), point))
            model = Disk(known.disk)
            for call in _moved(first, disk, known.disk):
                model.happen(call)
            calls = _moved(_record(partial(_repeat, known.operation), disk), disk, known.disk)
            killed = f"killed after {point}: {first[-1]}, then "
            _replay(report, known, model, calls, subsets=0, after=killed)
            _compare(report, model, disk)
            shutil.rmtree(disk)
    return report


def _repeat(operation: Operation, apps: Path) -> None:
    recover(apps)
    with contextlib.suppress(*operation.done):
        operation.act(apps)


def _record(act: Callable[[Path], None], disk: Path) -> list[Call]:
    """The changes that `act` makes when it is let through to its end."""
    with _numbered_temporaries(), Traced(partial(act, apps_of(disk)), str(disk)) as child:
        calls = list(child.changes())
    assert child.status == 0, f"the operation failed by itself: {child.status}"
    return calls


def _moved(calls: list[Call], source: Path, target: Path) -> list[Call]:
    """The same calls as if they had happened in another folder."""
    for call in calls:
        call.paths = tuple(str(target) + path.removeprefix(str(source)) for path in call.paths)
    return calls


def _replay(
    report: Report, known: Reference, model: Disk, calls: list[Call], subsets: int = 12, after: str = ""
) -> None:
    rng = random.Random(0)
    for number, call in enumerate(calls, 1):
        model.happen(call)
        report.points += 1
        finished = number == len(calls)
        for nodes in model.states(rng, subsets):
            key = (fingerprint(nodes, _LOCK), finished)
            if key in report.seen:
                continue
            report.seen.add(key)
            disk = known.disk.with_name("state")
            materialise(nodes, disk)
            try:
                report.outcomes[check(known, apps_of(disk), finished=finished)] += 1
            except Exception as error:  # noqa: BLE001 - an error in the code under test is a failure like any other
                report.failures.append(f"{after}cut after {number}: {call}: {type(error).__name__}: {error}")
            shutil.rmtree(disk)


def _compare(report: Report, model: Disk, disk: Path) -> None:
    """See that the model has come to the same as the real disk: then nothing was overlooked."""
    if fingerprint(model.now()) != fingerprint(Disk(disk).now()):
        report.failures.append("the model is not what the disk is")


@contextlib.contextmanager
def _numbered_temporaries():
    """Temporary names that are the same in every run, so that equal states are seen to be equal."""
    numbers: Callable[[], int] = itertools.count().__next__
    with mock.patch.object(durable.secrets, "token_hex", lambda size: f"{numbers():0{2 * size}x}"):
        yield
