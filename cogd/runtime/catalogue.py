"""The apps that there are to run: installed ones, or archives that are run as they are."""

from __future__ import annotations

import contextlib
from concurrent.futures import wait
from functools import partial
from typing import TYPE_CHECKING, Protocol

import cogd
from cogd.bundle.changes import changing
from cogd.bundle.folder import app_names
from cogd.bundle.load import RejectedApp, load_apps, load_archives, load_folder
from cogd.bundle.probation import is_on_trial, note_proven
from cogd.bundle.store import Store
from cogd.bundle.verify import verify_manifest
from cogd.errors import CogdError, LockedError, NoSpaceError, PermissionDeniedError, StorageError
from cogd.runtime.app import App, load_app
from cogd.runtime.loader import LIMITS, Load, LoadLimits, wait_for_first

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cogd.bundle.trust import TrustStore
    from cogd.bundle.verify import VerifiedBundle
    from cogd.runtime.crashes import CrashMemory

_LOCK_WAIT_S = 10.0


class Catalogue(Protocol):
    """The installed apps. It is called on threads.

    Attributes:
        on_trial: whether the daemon began with a version before the installed one, which has not proven itself yet.
        unfinished: whether the daemon began without an app that was still being loaded.
    """

    on_trial: bool
    unfinished: bool

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
        limits: of loading one of them.
    """

    def __init__(
        self,
        directory: Path,
        read_trust: Callable[[], TrustStore],
        *,
        archives: Sequence[Path] | None = None,
        crashes: CrashMemory | None = None,
        limits: LoadLimits = LIMITS,
    ) -> None:
        self._crashes, self._limits = crashes, limits
        self._loads: dict[str, Load[App]] = {}
        self.unfinished = False
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
        """Load one of them; one whose load did not end before is not loaded again.

        Raises:
            BundleError, PluginError: it can't run here, did not end in time, or too many daemons have died over it.
        """
        load = self._begin(bundle)
        try:
            return load.result()
        finally:
            if load.future.done():
                self._loads.pop(bundle.digest, None)

    def load_first(self, bundles: Sequence[VerifiedBundle]) -> tuple[list[App], list[RejectedApp]]:
        """Load what a daemon begins with: all at once, but one after the other where the daemon before has died.

        Once one is loaded, it waits for the others only for the limits' `patience_s`; `unfinished` says that it did
        not wait for all.
        """
        loads: list[Load[App]] = []
        for bundle in bundles:
            loads.append(self._begin(bundle))
            if self._crashes is not None and self._crashes.died:  # what is loaded when it dies again is to blame
                wait([loads[-1].future], self._limits.patience_s)
        wait_for_first(loads)
        apps: list[App] = []
        rejected: list[RejectedApp] = []
        for bundle, load in zip(bundles, loads, strict=True):
            if not load.future.done() and load.left_s:
                self.unfinished = True
                continue
            try:
                apps.append(self.load(bundle))
            except CogdError as error:
                rejected.append(RejectedApp(bundle.manifest.id, error, id=bundle.manifest.id))
        return apps, rejected

    def _begin(self, bundle: VerifiedBundle) -> Load[App]:
        """The load of a bundle, which may be under way already."""
        if bundle.digest not in self._loads:
            call = partial(self._load, bundle)
            self._loads[bundle.digest] = Load(bundle.manifest.id, call, self._limits)
        return self._loads[bundle.digest]

    def _load(self, bundle: VerifiedBundle) -> App:
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
