from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from .helper import call
from .ptrace import allowed

_TABLES = pytest.StashKey[dict[str, list[tuple[object, ...]]]]()


@pytest.fixture
def folder(tmp_path):
    """A folder in memory, where there is one: how slow a disk is has nothing to do with what is on it."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="cogd-crash-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def traced():
    """Skips where no process may trace another."""
    if not call(allowed):
        pytest.skip("ptrace is not permitted here")


@pytest.fixture
def figures(request):
    """Takes rows of tables that are shown when all tests are done."""
    tables = request.config.stash.setdefault(_TABLES, {})

    def add(title: str, *row: object) -> None:
        tables.setdefault(title, []).append(row)

    return add


def pytest_terminal_summary(terminalreporter, config):
    for title, rows in config.stash.get(_TABLES, {}).items():
        terminalreporter.section(title, sep="-")
        for row in rows:
            terminalreporter.write_line("  ".join([f"{row[0]!s:<42}", *(f"{cell!s:>12}" for cell in row[1:])]))
