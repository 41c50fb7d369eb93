import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOBODY = 65534


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """With CI=true nothing is skipped: a test that can't run fails, with its reason."""
    report = (yield).get_result()
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, but CI=true: {call.excinfo.value}"


@pytest.fixture(scope="session")
def data() -> Path:
    """Recordings that are not part of the project: `COGD_DATA`, or `../shared/data` beside the repository."""
    folder = Path(os.environ.get("COGD_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder} (set COGD_DATA)")
    return folder


@pytest.fixture
def open_path():
    """A folder that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.fixture
def ordinary_user():
    """Gives a context in which permissions hold even where the tests run as root."""

    @contextmanager
    def as_ordinary_user():
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)

    return as_ordinary_user
