"""Read bundles back from disk: one, as an archive or unpacked, or every app that is installed.

Reading takes no lock: an app's pointer is read once, and everything from the version that it named.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cogd
from cogd.bundle.appliance import AppConfig, read_config
from cogd.bundle.archive import read_archive_file
from cogd.bundle.folder import app_names, is_installed, open_folder, pointer, read_present
from cogd.bundle.members import ENVELOPE_NAME, MANIFEST_NAME, size_limit
from cogd.bundle.verify import VerifiedBundle, verify_bundle, verify_manifest
from cogd.errors import BundleError, CogdError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cogd.bundle.trust import TrustStore


@dataclass(frozen=True, slots=True, eq=False)
class InstalledApp:
    """A verified app of the apps directory, and its `config.json`."""

    bundle: VerifiedBundle
    config: AppConfig


@dataclass(frozen=True, slots=True)
class RejectedApp:
    """A bundle that does not run, and why.

    Attributes:
        path: where it lies, or the id of an app that was read and can't be loaded.
        error: why it is refused.
        id: the app in whose place it lies, if that can be told.
    """

    path: str
    error: CogdError
    id: str | None = None


def load_bundle(path: Path, trust: TrustStore, *, cogd_version: str = cogd.__version__) -> VerifiedBundle:
    """Read and verify one bundle: an app's folder, a folder of unpacked files, or else an archive.

    Raises:
        ArchiveError: `path` is no bundle archive, or can't be read.
        DigestError: a file in the folder is missing, changed, or can't be read.
        BundleError: any other reason that `verify_bundle` gives.
    """
    if not _is_directory(path):
        return verify_bundle(read_archive_file(path), trust, cogd_version=cogd_version)
    if is_installed(path):
        return _load_installed(path, trust, cogd_version)
    return load_folder(path, trust, cogd_version=cogd_version)


def load_apps(
    directory: Path, trust: TrustStore, *, cogd_version: str = cogd.__version__
) -> tuple[list[InstalledApp], list[RejectedApp]]:
    """Read and verify every app that is installed in `directory`.

    Returns:
        The apps and what was rejected, each in the order of the ids. Both are empty when `directory` is missing.

    Raises:
        BundleError: `directory` can't be listed. A bad app is never raised, only returned.
    """
    apps: list[InstalledApp] = []
    rejected: list[RejectedApp] = []
    for path in (directory / name for name in app_names(directory)):
        try:
            bundle = _load_installed(path, trust, cogd_version)
            if path.name != bundle.manifest.id:
                raise BundleError(
                    f"{path}: holds the app {bundle.manifest.id}", hint=f"rename it to {bundle.manifest.id}"
                )
            apps.append(InstalledApp(bundle, read_config(path)))
        except CogdError as error:
            rejected.append(RejectedApp(str(path), error, id=path.name))
    return apps, rejected


def load_archives(
    paths: Iterable[Path], trust: TrustStore, *, cogd_version: str = cogd.__version__
) -> tuple[list[InstalledApp], list[RejectedApp]]:
    """Read and verify archives that are to be run without being installed; as `load_apps`."""
    apps: list[InstalledApp] = []
    rejected: list[RejectedApp] = []
    for path in paths:
        try:
            apps.append(InstalledApp(load_bundle(path, trust, cogd_version=cogd_version), AppConfig()))
        except BundleError as error:
            rejected.append(RejectedApp(str(path), error, id=path.stem))
    return apps, rejected


def load_folder(path: Path, trust: TrustStore, *, cogd_version: str = cogd.__version__) -> VerifiedBundle:
    """Read and verify the unpacked files of a bundle. Only signed names are opened, and no link is followed.

    Raises:
        BundleError: as `load_bundle`.
    """
    with open_folder(path) as directory:
        head = read_present(directory, {name: size_limit(name) for name in (MANIFEST_NAME, ENVELOPE_NAME)})
        if len(head) < 2:
            return verify_bundle(head, trust, cogd_version=cogd_version)  # it says which one is missing
        verified = verify_manifest(head[MANIFEST_NAME], head[ENVELOPE_NAME], trust, cogd_version=cogd_version)
        body = read_present(directory, {entry.path: entry.size for entry in verified.manifest.files})
    return verify_bundle(head | body, trust, cogd_version=cogd_version)


def _load_installed(path: Path, trust: TrustStore, cogd_version: str) -> VerifiedBundle:
    while True:
        target = pointer(path)
        try:
            return load_folder(path / target, trust, cogd_version=cogd_version)
        except BundleError:
            # An installation may have taken this version away while it was read; then there is another.
            if pointer(path) == target:
                raise


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False  # opening it as an archive says why
