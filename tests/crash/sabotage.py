"""Break the code under test, to see that what looks for its faults finds them."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING
from unittest import mock

from cogd.bundle import changes, durable
from cogd.bundle.changes import Changes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_fsync = os.fsync


def _sync_files_only(fd: int) -> None:
    if stat.S_ISREG(os.fstat(fd).st_mode):
        _fsync(fd)


def _sync_directories_only(fd: int) -> None:
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        _fsync(fd)


def _link_in_two_steps(path: Path, target: str) -> None:
    durable.remove_file(path)
    path.symlink_to(target)
    durable.sync_directory(path.parent)


def _move_and_never_undo(moves: Mapping[Path, Path]) -> None:
    for source, target in moves.items():
        durable.move(source, target)


def _nothing(*_: object) -> None:
    pass


_FAULTS = {
    "nothing is synced": (os, "fsync", _nothing),
    "no directory is synced": (os, "fsync", _sync_files_only),
    "no file is synced": (os, "fsync", _sync_directories_only),
    "the switch is not atomic": (durable, "make_link", _link_in_two_steps),
    "nothing is cleared away": (changes, "clear_app", _nothing),
    "nothing is remembered": (Changes, "_remember", _nothing),
    "nothing is undone": (changes, "_move_all_or_none", _move_and_never_undo),
    "there is no lock": (changes, "locked", lambda *_: contextlib.nullcontext()),
    "what was not synced is built on": (Changes, "_settle", _nothing),
}


@contextlib.contextmanager
def sabotage(fault: str | None) -> Iterator[None]:
    """Within this context the code has a fault; None: it is as it should be."""
    if fault is None:
        yield
    else:
        with mock.patch.object(*_FAULTS[fault]):
            yield
