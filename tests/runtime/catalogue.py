"""An apps folder in memory, for tests of what a reload does with it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cogd.errors import CogdError, NothingToRollBackError

if TYPE_CHECKING:
    from cogd.bundle.load import RejectedApp
    from cogd.bundle.verify import VerifiedBundle
    from cogd.runtime.app import App


class FakeCatalogue:
    """Implements `Catalogue`: what is installed by id, oldest version first; loading gives the app that was made.

    Attributes:
        rejected: what `scan` refuses.
        broken: what loading the app of a digest raises.
        unreadable: what `scan` raises.
        gate: loading waits for it.
        no_trial: digests of versions that are taken without a canary.
        distrusted: what `check_trust` raises, by digest.
        loads, taken_back, proven: what was asked for.
        on_trial: whether the daemon is to try what is installed as soon as it runs.
    """

    def __init__(self, *apps: App) -> None:
        self._versions: dict[str, list[App]] = {}
        self.rejected: list[RejectedApp] = []
        self.broken: dict[str, Exception] = {}
        self.unreadable: CogdError | None = None
        self.read_only: CogdError | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[int] = set()
        self.loads: list[str] = []
        self.taken_back: list[str] = []
        self.no_trial: set[str] = set()
        self.distrusted: dict[str, CogdError] = {}
        self.on_trial = self.unfinished = False
        self.proven: list[str] = []
        for app in apps:
            self.install(app)

    def install(self, app: App, broken: Exception | None = None) -> None:
        self._versions.setdefault(app.id, []).append(app)
        if broken is not None:
            self.broken[app.bundle.digest] = broken

    def remove(self, app_id: str) -> None:
        del self._versions[app_id]

    def installed(self, app_id: str) -> str:
        """The version that is installed."""
        return self._versions[app_id][-1].bundle.manifest.version

    def scan(self) -> tuple[list[VerifiedBundle], list[RejectedApp]]:
        self.threads.add(threading.get_ident())
        if self.unreadable is not None:
            raise self.unreadable
        refused = {item.id for item in self.rejected}
        bundles = [versions[-1].bundle for app_id, versions in sorted(self._versions.items()) if app_id not in refused]
        return bundles, list(self.rejected)

    def load(self, bundle: VerifiedBundle) -> App:
        self.threads.add(threading.get_ident())
        assert self.gate.wait(10)
        self.loads.append(bundle.manifest.version)
        if (error := self.broken.get(bundle.digest)) is not None:
            raise error
        return next(app for app in self._versions[bundle.manifest.id] if app.bundle.digest == bundle.digest)

    def needs_trial(self, bundle: VerifiedBundle) -> bool:
        self.threads.add(threading.get_ident())
        return bundle.digest not in self.no_trial

    def check_trust(self, bundle: VerifiedBundle) -> None:
        self.threads.add(threading.get_ident())
        if (error := self.distrusted.get(bundle.digest)) is not None:
            raise error

    def take_back(self, app_id: str, digest: str) -> None:
        self.threads.add(threading.get_ident())
        if self.read_only is not None:
            raise self.read_only
        versions = self._versions[app_id]
        if versions[-1].bundle.digest != digest:
            return
        if len(versions) == 1:
            raise NothingToRollBackError(f"{app_id}: no earlier version is kept")
        self.taken_back.append(versions.pop().bundle.manifest.version)

    def note_proven(self, app_id: str, digest: str) -> None:
        self._may_write()
        self.proven.append(digest)

    def _may_write(self) -> None:
        self.threads.add(threading.get_ident())
        if self.read_only is not None:
            raise self.read_only
