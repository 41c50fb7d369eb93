"""A call to the system that fails: a typed error and all is as it was, or it did not matter."""

import errno
import os

import pytest

from cogd.bundle import durable
from cogd.bundle.record import encode, remember
from cogd.bundle.store import Store
from cogd.errors import NoSpaceError

from .failing import EXPECTED, fail_everywhere, fail_in_kernel
from .helper import call
from .operations import OPERATIONS, apps_of, check, proven, reference, state_of

pytestmark = pytest.mark.slow

NAMES = ["first", "upgrade", "rollback", "remove", "remove --forget"]
TITLE = "Calls that fail: calls, failures"


@pytest.mark.parametrize("name", NAMES)
def test_each_change_fails(name, folder, figures):
    report = call(fail_everywhere, name, folder, list(EXPECTED))
    figures(TITLE, name, report.points, len(report.failures))
    assert report.failures == []
    assert report.outcomes["error, old"]
    assert report.outcomes["success, new"]


@pytest.mark.parametrize("name", NAMES)
def test_everything_fails_from_one_change_on(name, folder, figures):
    report = call(fail_everywhere, name, folder, [errno.EROFS], for_good=True)
    figures(TITLE, f"{name}, for good", report.points, len(report.failures))
    assert report.failures == []


@pytest.mark.parametrize("name", ["first, beside config.json", "repair", "rollback", "remove --forget"])
def test_each_call_fails_in_the_kernel(name, folder, figures, traced):
    report = call(fail_in_kernel, name, folder)
    figures(TITLE, f"{name}, in the kernel", report.points, len(report.failures))
    assert report.failures == []


@pytest.mark.parametrize("name", ["rollback", "remove"])
def test_what_can_not_be_remembered_is_not_taken_away(name, tmp_path, monkeypatch):
    """An installation was killed before it remembered, and now the disk is full."""

    def full(path, data, *, mode):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with proven():
        known = reference(OPERATIONS[name], tmp_path)
        apps = apps_of(known.disk)
        store = Store(apps)
        older = encode(remember(None, store.previous("pose-app")))
        (apps / ".cogd" / "memory" / "pose-app.json").write_bytes(older)
        before = state_of(apps)
        with monkeypatch.context() as patch:
            patch.setattr(durable, "replace_file", full)
            with pytest.raises(NoSpaceError):
                known.operation.act(apps)
        assert state_of(apps) == before
        known.operation.act(apps)
        assert check(known, apps, finished=True) == "new"


def test_what_is_not_undone_is_found(folder):
    report = call(fail_everywhere, "remove --forget", folder, [errno.EIO], sabotaged="nothing is undone")
    assert any("but it was done" in failure for failure in report.failures)
