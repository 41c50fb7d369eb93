"""The apps that there are to run: installed ones, or archives that are run as they are."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cogd.bundle.changes import changing
from cogd.bundle.load import load_apps, load_archives
from cogd.bundle.store import Store
from cogd.errors import LockedError, NoSpaceError, PermissionDeniedError, StorageError
from cogd.runtime.app import App, load_app
from cogd.runtime.daemon import RejectedApp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cogd.bundle.trust import TrustStore
    from cogd.bundle.verify import VerifiedBundle

_LOCK_WAIT_S = 10.0


class AppsCatalogue:
    """The apps of a directory, or of archives if any are given. Implements `cogd.runtime.reload.Catalogue`."""

    def __init__(
        self, directory: Path, read_trust: Callable[[], TrustStore], *, archives: Sequence[Path] | None = None
    ) -> None:
        self._directory, self._read_trust, self._archives = directory, read_trust, archives
        self._min_confidence: dict[str, float] = {}

    def scan(self) -> tuple[list[VerifiedBundle], list[RejectedApp]]:
        """Read and verify them all, with the keys as they stand now.

        Raises:
            CogdError: the directory or the keys can't be read.
        """
        trust = self._read_trust()
        if self._archives is not None:
            apps, refused = load_archives(self._archives, trust)
        else:
            apps, refused = load_apps(self._directory, trust)
        self._min_confidence = {app.bundle.manifest.id: app.config.min_confidence for app in apps}
        rejected = [RejectedApp(str(item.path), item.error, id=item.path.stem) for item in refused]
        return [app.bundle for app in apps], rejected

    def load(self, bundle: VerifiedBundle) -> App:
        """Load one of them.

        Raises:
            BundleError, PluginError: it can't run here.
        """
        return load_app(bundle, self._min_confidence.get(bundle.manifest.id, 0.0))

    def collect(self) -> None:
        """Clear away what an interrupted installation left behind, if nobody is installing."""
        if self._archives is None and self._directory.is_dir():
            # Who may not write here can run the apps nevertheless; another time is as good.
            in_the_way = (LockedError, PermissionDeniedError, NoSpaceError, StorageError)
            with contextlib.suppress(*in_the_way), changing(Store(self._directory), 0):
                pass

    def take_back(self, app_id: str, digest: str) -> None:
        """Go back to the version before on the disk, if the bundle with `digest` is still the installed one.

        Raises:
            CogdError: there is none, or it could not be done.
        """
        store = Store(self._directory)
        with changing(store, _LOCK_WAIT_S) as changes:
            installed = store.installed(app_id)
            if installed is not None and installed.digest == digest:
                changes.roll_back(app_id)
