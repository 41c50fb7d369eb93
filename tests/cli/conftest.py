import os

import pytest
import structlog

from cogd.bundle.keys import save_public
from cogd.cli import main
from tests.bundle.apps import installed
from tests.bundle.factory import KEY
from tests.runtime.factory import runnable_bundle


class Home:
    """A device's folders: apps, trusted keys and no settings file."""

    def __init__(self, root):
        self.apps, self.trust = root / "apps", root / "trust.d"
        self.apps.mkdir()
        self.trust.mkdir()
        save_public(self.trust / "publisher.pub", KEY.public)

    def install(self, kind: str = "pose", files=None, **changes):
        """Put a bundle that can run into the apps folder, without proof; returns the app's folder."""
        return installed(self.apps, runnable_bundle(kind, files, **changes))

    @property
    def flags(self) -> list[str]:
        return ["--apps-dir", str(self.apps), "--trust-dir", str(self.trust)]


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def open_home(open_path) -> Home:
    """Folders that every user may enter and read, and only we may write to."""
    return Home(open_path)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.startswith("COGD_")]:
        monkeypatch.delenv(name)


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err


@pytest.fixture
def cogd(capsys):
    """Run `cogd` in this process; how it configures logging ends with the test, as its standard error does."""
    before = structlog.get_config()

    def run(*words) -> Result:
        try:
            status = main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return Result(status, out, err)

    yield run
    structlog.configure(**before)
