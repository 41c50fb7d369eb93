"""Let several processes change the same apps directory at the same moment, and another one read it all the while."""

from __future__ import annotations

import os
import random
import select
import shutil
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from cogd.bundle.changes import changing
from cogd.bundle.layout import LINKED, Layout
from cogd.bundle.load import load_apps
from cogd.bundle.semver import precedence
from cogd.bundle.store import Store
from cogd.errors import CogdError

from .helper import Child
from .operations import APP, TRUST, apps_of, bundle, install, proven, recover, state_of
from .sabotage import sabotage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass
class Report:
    """What came of it: what each contestant ended with, and how often the reader looked."""

    outcomes: Counter[str] = field(default_factory=Counter)
    reads: int = 0
    seen: set[str] = field(default_factory=set)


def race(folder: Path, rounds: Sequence[tuple[Sequence[str], float]], sabotaged: str | None = None) -> Report:
    """In each round let one process a version install it, with that patience, onto an installed 1.0.0.

    Raises:
        AssertionError: the reader, or who comes after, saw what it should not.
    """
    report = Report()
    rng = random.Random(0)
    with proven(), sabotage(sabotaged):
        for versions, wait_s in rounds:
            apps = apps_of(folder / "disk")
            install("1.0.0")(apps)
            for version in versions:
                bundle(version)
            stop, stopped = os.pipe()
            reader = Child(partial(_read_on, apps, stop, stopped))
            ready, go = os.pipe()  # closing its last writing end starts everybody at once
            order = rng.sample(versions, len(versions))
            contestants = [Child(partial(_contend, apps, version, wait_s, ready, go)) for version in order]
            os.close(go)
            outcomes = [str(child.result()) for child in contestants]
            os.close(ready)
            os.close(stopped)
            reads, seen = reader.result()
            os.close(stop)
            report.outcomes.update(outcomes)
            report.reads += reads
            report.seen |= seen
            done = [version for version, outcome in zip(order, outcomes, strict=True) if outcome == "done"]
            _check(apps, max(done, key=precedence), set(outcomes))
            shutil.rmtree(folder / "disk")
    return report


def _contend(apps: Path, version: str, wait_s: float, ready: int, go: int) -> str:
    os.close(go)
    os.read(ready, 1)
    try:
        install(version, wait_s=wait_s)(apps)
    except CogdError as error:
        return error.code
    return "done"


def _read_on(apps: Path, stop: int, stopped: int) -> tuple[int, set[str]]:
    """Look again and again: there must always be the app, whole, and never an older version than before."""
    os.close(stopped)
    reads, seen, last = 0, set(), "1.0.0"
    while not select.select([stop], [], [], 0)[0]:
        loaded, rejected = load_apps(apps, TRUST)
        assert not rejected, f"{rejected[0].path}: {rejected[0].error}"
        assert [app.bundle.manifest.id for app in loaded] == [APP]
        version = loaded[0].bundle.manifest.version
        assert precedence(version) >= precedence(last), f"{last} became {version}"
        reads, last = reads + 1, version
        seen.add(version)
    return reads, seen


def _check(apps: Path, version: str, outcomes: set[str]) -> None:
    assert outcomes <= {"done", "downgrade", "locked"}
    recover(apps)
    state = state_of(apps)
    assert [app[0] for app in state.view["apps"]] == [version]
    assert {seen.version for seen in state.memory.highest.values()} == {version}
    layout, record = Layout(apps), Store(apps).installed(APP)
    # No daemon has seen any of them work: all that came over the first are on trial.
    kept = {Store(apps).current_name(APP), record.previous, record.last_good}
    assert set(os.listdir(layout.app(APP) / "versions")) == kept, "garbage"
    assert set(os.listdir(layout.app(APP))) == {"current", "versions", "config.json", *LINKED}, "garbage"
    assert os.listdir(layout.staging) == [], "garbage"
    assert os.listdir(layout.memory(APP).parent) == [f"{APP}.json"], "garbage"


def hold_and_die(folder: Path) -> tuple[int, list[str]]:
    """A process takes the lock and is killed: its id, and what others were told before and after that."""
    apps = apps_of(folder / "disk")
    ready, held = os.pipe()

    def hold() -> None:
        os.close(ready)
        with changing(Store(apps), 0):
            os.close(held)
            select.select([], [], [])

    with proven():
        holder = Child(hold)
        os.close(held)
        os.read(ready, 1)
        os.close(ready)
        told = [_try(apps)]
        holder.kill()
        return holder.pid, [*told, _try(apps)]


def _try(apps: Path) -> str:
    try:
        install("1.0.0")(apps)
    except CogdError as error:
        return f"{error.code}: {error}"
    return "done"
