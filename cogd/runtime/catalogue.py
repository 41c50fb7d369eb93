"""The apps that there are to run: installed ones, or archives that are run as they are."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

import cogd
from cogd.bundle.changes import changing
from cogd.bundle.folder import app_names
from cogd.bundle.load import load_apps, load_archives, load_folder
from cogd.bundle.probation import is_on_trial, note_proven
from cogd.bundle.store import Store
from cogd.bundle.verify import verify_manifest
from cogd.errors import CogdError, LockedError, NoSpaceError, PermissionDeniedError, StorageError
from cogd.runtime.app import App, load_app

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cogd.bundle.load import RejectedApp
    from cogd.bundle.trust import TrustStore
    from cogd.bundle.verify import VerifiedBundle
    from cogd.runtime.crashes import CrashMemory

_LOCK_WAIT_S = 10.0


class Catalogue(Protocol):
    """The installed apps. It is called on threads.

    Attributes:
        on_trial: whether the daemon began with a version before the installed one, which has not proven itself yet.
    """

    on_trial: bool

    def scan(self) -> tuple[list[VerifiedBundle], list[RejectedApp]]:
        """What is installed, at most one bundle an app, and what is refused; trust is read anew.

        Raises:
            CogdError: the apps or the trusted keys can't be read.
        """

    def load(self, bundle: VerifiedBundle) -> App:
        """Load an app.

        Raises:
            CogdError: it can't be run here. Any other exception is a backend's own.
        """

    def needs_trial(self, bundle: VerifiedBundle) -> bool:
        """Whether a version has still to prove itself; not so one that was gone back to, or that has proven itself."""

    def check_trust(self, bundle: VerifiedBundle) -> None:
        """See that the signers of a bundle that runs are still trusted.

        Raises:
            BundleError: they are not.
            CogdError: the trusted keys can't be read.
        """

    def note_proven(self, app_id: str, digest: str) -> None:
        """Remember that a version has proven itself: the daemon may begin with it.

        Raises:
            CogdError: it can't be done.
        """

    def take_back(self, app_id: str, digest: str) -> None:
        """Make the version before the installed one again, if `digest` still is the installed one.

        Raises:
            CogdError: it can't be done.
        """


class AppsCatalogue:
    """The apps of a directory, or of archives if any are given. Implements `Catalogue`.

    Args:
        directory: of the installed apps.
        read_trust: reads the trusted keys.
        archives: to run as they are, instead of the installed apps.
        crashes: remembers the versions over which daemons died.
    """

    def __init__(
        self,
        directory: Path,
        read_trust: Callable[[], TrustStore],
        *,
        archives: Sequence[Path] | None = None,
        crashes: CrashMemory | None = None,
    ) -> None:
        self._crashes = crashes
        self._directory, self._read_trust, self._archives = directory, read_trust, archives
        self.on_trial = False
        self._min_confidence: dict[str, float] = {}

    def scan(self) -> tuple[list[VerifiedBundle], list[RejectedApp]]:
        """Read and verify them all, with the keys as they stand now.

        Raises:
            CogdError: the directory or the keys can't be read.
        """
        trust = self._read_trust()
        if self._archives is not None:
            apps, rejected = load_archives(self._archives, trust)
        else:
            apps, rejected = load_apps(self._directory, trust)
        self._min_confidence = {app.bundle.manifest.id: app.config.min_confidence for app in apps}
        return [app.bundle for app in apps], rejected

    def scan_first(self) -> tuple[list[VerifiedBundle], list[RejectedApp]]:
        """What a daemon begins with: as `scan`, but where a version is on trial the last good one, if it can be read.

        Raises:
            CogdError: the directory or the keys can't be read.
        """
        trust, store = self._read_trust(), Store(self._directory)
        bundles, rejected = self.scan()
        if self._archives is None:
            for place, bundle in enumerate(bundles):
                with contextlib.suppress(CogdError):  # then it begins with the installed one
                    if is_on_trial(store, bundle.manifest.id):
                        bundles[place] = load_folder(store.last_good_folder(bundle.manifest.id), trust)
                        self.on_trial = True
        return bundles, rejected

    def load(self, bundle: VerifiedBundle) -> App:
        """Load one of them.

        Raises:
            BundleError, PluginError: it can't run here, or too many daemons have died over it.
        """
        min_confidence = self._min_confidence.get(bundle.manifest.id, 0.0)
        if self._crashes is None:
            return load_app(bundle, min_confidence)
        self._crashes.check(bundle.digest, bundle.manifest)
        with self._crashes.loading(bundle.digest):
            return load_app(bundle, min_confidence)

    def digests(self) -> list[str]:
        """Of all installed versions that a daemon may begin with or try: unproven ones first, then the newest."""
        store, found = Store(self._directory), list[tuple[bool, int, str]]()
        with contextlib.suppress(CogdError):
            for app_id in app_names(self._directory):
                with contextlib.suppress(CogdError):  # a damaged record: it will not run
                    installed, on_trial = store.installed(app_id), is_on_trial(store, app_id)
                    last_good = store.last_good(app_id) if on_trial else None
                    for record, proven in ((installed, not on_trial), (last_good, True)):
                        if record is not None:
                            found.append((proven, -record.installed_at, record.digest))
        return [digest for _, _, digest in sorted(found)]

    def needs_trial(self, bundle: VerifiedBundle) -> bool:
        """Whether an installed version has still to prove itself. One that was gone back to has not."""
        store, app_id = Store(self._directory), bundle.manifest.id
        with contextlib.suppress(CogdError):
            installed = store.installed(app_id)
            return installed is None or installed.digest != bundle.digest or is_on_trial(store, app_id)
        return True

    def check_trust(self, bundle: VerifiedBundle) -> None:
        """See that the keys that signed a bundle are still trusted.

        Raises:
            CogdError: they are not, or the keys can't be read.
        """
        trust = self._read_trust()
        verify_manifest(bundle.manifest_bytes, bundle.envelope_bytes, trust, cogd_version=cogd.__version__)

    def note_proven(self, app_id: str, digest: str) -> None:
        """Remember that a version has proven itself.

        Raises:
            CogdError: it can't be done.
        """
        note_proven(Store(self._directory), app_id, digest)

    def collect(self) -> None:
        """Clear away what an interrupted installation left behind, if nobody is installing."""
        if self._archives is None and self._directory.is_dir():
            # Who may not write here can run the apps nevertheless; another time is as good.
            in_the_way = (LockedError, PermissionDeniedError, NoSpaceError, StorageError)
            with contextlib.suppress(*in_the_way), changing(Store(self._directory), 0):
                pass

    def take_back(self, app_id: str, digest: str) -> None:
        """Go back to the last good version on the disk, if the bundle with `digest` is still the installed one.

        Raises:
            CogdError: there is none, or it could not be done.
        """
        store = Store(self._directory)
        with changing(store, _LOCK_WAIT_S) as changes:
            installed = store.installed(app_id)
            if installed is not None and installed.digest == digest:
                changes.go_back(app_id, store.last_good_folder(app_id).name)
