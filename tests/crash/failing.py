"""Fail the system calls of an operation, one at a time: by the kernel, or cheaper, where Python asks for them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from unittest import mock

from cogd.bundle import changes, durable, lock
from cogd.errors import CogdError, NoSpaceError, PermissionDeniedError, StorageError

from .operations import OPERATIONS, Reference, apps_of, check, copy, proven, reference
from .ptrace import Traced
from .sabotage import sabotage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

EXPECTED = {
    errno.ENOSPC: NoSpaceError,
    errno.EDQUOT: NoSpaceError,
    errno.EIO: StorageError,
    errno.EACCES: PermissionDeniedError,
    errno.EROFS: StorageError,
}
_CHANGING = frozenset(
    {
        "open",
        "write",
        "pwrite",
        "ftruncate",
        "fsync",
        "fchmod",
        "chmod",
        "mkdir",
        "rename",
        "symlink",
        "unlink",
        "rmdir",
    }
    | {"close", "listdir"}
)
_UNTYPED = 71


@dataclass
class Report:
    """What came of it: how many calls were failed, with what outcomes, and what was wrong."""

    points: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class FailingOs:
    """The module `os`, but that call number `point`, or with `for_good` every one from then on, fails."""

    def __init__(self, point: int, number: int, *, for_good: bool) -> None:
        self._point, self._number, self.for_good = point, number, for_good
        self.calls = 0
        self.failed: str | None = None

    def __getattr__(self, name: str) -> object:
        real = getattr(os, name)
        return partial(self._call, name, real) if name in _CHANGING else real

    def _call(self, name: str, real: object, *arguments: object, **named: object) -> object:
        self.calls += 1
        if self.calls == self._point or (self.for_good and self.calls > self._point):
            if name == "close":
                real(*arguments)  # the descriptor is gone even where close(2) reports an error
            self.failed = self.failed or f"{name} {arguments[:2]!r:.200}"
            raise OSError(self._number, os.strerror(self._number))
        return real(*arguments, **named)


@contextlib.contextmanager
def failing(point: int, number: int, *, for_good: bool = False) -> Iterator[FailingOs]:
    """Within this context a call of those who change the disk fails."""
    fake = FailingOs(point, number, for_good=for_good)
    with contextlib.ExitStack() as stack:
        for module in (durable, changes, lock):
            stack.enter_context(mock.patch.object(module, "os", fake))
        yield fake


def fail_everywhere(
    name: str, folder: Path, numbers: Iterable[int], *, for_good: bool = False, sabotaged: str | None = None
) -> Report:
    """Fail each call by which an operation changes something, or with `for_good` all from that one on.

    Args:
        name: of the operation.
        folder: an empty one.
        numbers: the errors to fail with, one after the other.
        for_good: whether what fails once fails ever after.
        sabotaged: a fault that the code has.
    """
    report = Report()
    with proven(), sabotage(sabotaged):
        known = reference(OPERATIONS[name], folder)
        for number in numbers:
            point = 1
            while _fail(report, known, folder / "disk", failing(point, number, for_good=for_good), number):
                point += 1
    return report


def _fail(
    report: Report, known: Reference, disk: Path, failure: AbstractContextManager[FailingOs], number: int
) -> bool:
    """Whether any call has failed; if not, there are fewer."""
    copy(known.disk, disk)
    raised: BaseException | None = None
    with failure as fake:
        try:
            known.operation.act(apps_of(disk))
        except Exception as error:  # noqa: BLE001 - that it is one of ours is what is tested
            raised = error
    if fake.failed is None:
        assert raised is None, f"the operation failed by itself: {raised}"
        shutil.rmtree(disk)
        return False
    report.points += 1
    what = f"{errno.errorcode[number]}, {fake.calls}: {fake.failed}"
    if raised is not None and type(raised) is not EXPECTED[number]:
        report.failures.append(f"{what}: raises {type(raised).__name__}: {raised}")
    _judge(report, known, disk, what, raised=raised is not None, either=fake.for_good)
    return True


def fail_in_kernel(name: str, folder: Path) -> Report:
    """Fail with EIO each call of an operation that names or uses a file, those that only read included."""
    report = Report()
    with proven():
        known = reference(OPERATIONS[name], folder)
        while _fail_in_kernel(report, known, copy(known.disk, folder / "disk"), report.points + 1):
            report.points += 1
    return report


def _fail_in_kernel(report: Report, known: Reference, disk: Path, point: int) -> bool:
    """Whether there are so many calls."""
    failed = None
    with Traced(partial(_act, known, disk), str(disk)) as child:
        for count, call in enumerate(child.entries(), 1):
            if count == point:
                child.fail(errno.EIO)
                failed = f"{count}: {call}"
    if failed is None:
        assert child.status == 0, f"the operation failed by itself: {child.status}"
        shutil.rmtree(disk)
        return False
    if child.status == _UNTYPED:
        report.failures.append(f"{failed}: raises what is no CogdError")
    _judge(report, known, disk, failed, raised=child.status != 0)
    return True


def _act(known: Reference, disk: Path) -> None:
    try:
        known.operation.act(apps_of(disk))
    except CogdError as error:
        raise SystemExit(error.exit_status) from error
    except Exception as error:
        raise SystemExit(_UNTYPED) from error


def _judge(report: Report, known: Reference, disk: Path, failed: str, *, raised: bool, either: bool = False) -> None:
    try:
        outcome = check(known, apps_of(disk), finished=not raised)
        assert not raised or outcome == "old" or either, "an error was raised, but it was done"
        report.outcomes[f"{'error' if raised else 'success'}, {outcome}"] += 1
    except (AssertionError, CogdError) as error:
        report.failures.append(f"{failed}: {'error' if raised else 'success'}: {error}")
    shutil.rmtree(disk)
