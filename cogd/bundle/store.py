"""Bundles on disk: one, as an archive or unpacked, or a directory of installed apps.

An unpacked bundle lies beside what the appliance writes there (manifest.json, config.json, pid, logs). Only the
manifest, its envelope and the files that the manifest lists are opened; the rest is neither read nor trusted.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cogd
from cogd.bundle.archive import read_archive_file
from cogd.bundle.members import ENVELOPE_NAME, MANIFEST_NAME, size_limit
from cogd.bundle.regular import read_regular_file
from cogd.bundle.semver import precedence
from cogd.bundle.verify import VerifiedBundle, verify_bundle, verify_manifest
from cogd.errors import BundleError, DigestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cogd.bundle.keys import PublicKey


@dataclass(frozen=True, slots=True)
class Rejected:
    """An entry of the apps directory that is no usable bundle, and why."""

    path: Path
    error: BundleError


def load_bundle(path: Path, trust: Mapping[str, PublicKey], *, cogd_version: str = cogd.__version__) -> VerifiedBundle:
    """Read and verify one bundle: a directory, or else an archive. No symbolic link to a file is followed.

    Raises:
        ArchiveError: `path` is no bundle archive, or can't be read.
        DigestError: a file in the directory is missing, changed, or can't be read.
        BundleError: any other reason that `verify_bundle` gives.
    """
    if _is_directory(path):
        return _load_directory(path, trust, cogd_version)
    return verify_bundle(read_archive_file(path), trust, cogd_version=cogd_version)


def load_apps(
    directory: Path, trust: Mapping[str, PublicKey], *, cogd_version: str = cogd.__version__
) -> tuple[list[VerifiedBundle], list[Rejected]]:
    """Read and verify every app in `directory`: its `*.tar`, and its `<id>/` that hold a `bundle.json`.

    Other entries, and those whose names start with a dot, are not apps and not rejected. Of several bundles with
    one id the highest version is kept; among equal versions, the first by name.

    Returns:
        The bundles in the order of their ids, at most one each; and what was rejected, in the order of the names.
        Both are empty when `directory` is missing.

    Raises:
        BundleError: `directory` can't be listed. A bad bundle is never raised, only returned.
    """
    kept: dict[str, tuple[Path, VerifiedBundle]] = {}
    rejected: list[Rejected] = []
    for path in _entries(directory):
        try:
            bundle = _load_app(path, trust, cogd_version)
        except BundleError as error:
            rejected.append(Rejected(path, error))
            continue
        app = bundle.manifest.id
        winner, loser = _by_version(kept.get(app), (path, bundle))
        kept[app] = winner
        if loser is not None:
            rejected.append(Rejected(loser[0], _superseded(loser, winner)))
    bundles = [kept[app][1] for app in sorted(kept)]
    return bundles, sorted(rejected, key=lambda entry: entry.path)


def _entries(directory: Path) -> Iterator[Path]:
    try:
        paths = sorted(directory.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise BundleError(f"{directory}: {error.strerror}", hint="the apps directory must be readable") from error
    for path in paths:
        if path.name.startswith("."):
            continue
        if _holds_manifest(path) if _is_directory(path) else path.suffix == ".tar":
            yield path


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False  # opening it as an archive says why


def _holds_manifest(directory: Path) -> bool:
    try:
        (directory / MANIFEST_NAME).lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True  # opening it says why, instead of hiding what may be an app
    return True


def _load_app(path: Path, trust: Mapping[str, PublicKey], cogd_version: str) -> VerifiedBundle:
    bundle = load_bundle(path, trust, cogd_version=cogd_version)
    if _is_directory(path) and path.name != bundle.manifest.id:
        raise BundleError(
            f"{path}: the directory is not named after its app, {bundle.manifest.id}",
            hint=f"rename it to {bundle.manifest.id}",
        )
    return bundle


def _by_version(
    current: tuple[Path, VerifiedBundle] | None, candidate: tuple[Path, VerifiedBundle]
) -> tuple[tuple[Path, VerifiedBundle], tuple[Path, VerifiedBundle] | None]:
    if current is None:
        return candidate, None
    if precedence(candidate[1].manifest.version) > precedence(current[1].manifest.version):
        return candidate, current
    return current, candidate


def _superseded(loser: tuple[Path, VerifiedBundle], winner: tuple[Path, VerifiedBundle]) -> BundleError:
    app, version, kept_version = loser[1].manifest.id, loser[1].manifest.version, winner[1].manifest.version
    return BundleError(
        f"{loser[0]}: {app} {version} is there twice, {kept_version} from {winner[0].name} is used",
        hint="remove one of the two",
    )


def _load_directory(path: Path, trust: Mapping[str, PublicKey], cogd_version: str) -> VerifiedBundle:
    # One descriptor for the directory: whatever is renamed meanwhile, all files are read from the same one.
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DigestError(f"{path}: {error.strerror}") from error
    try:
        head = _read_present(directory, {name: size_limit(name) for name in (MANIFEST_NAME, ENVELOPE_NAME)})
        if len(head) < 2:
            return verify_bundle(head, trust, cogd_version=cogd_version)  # it says which one is missing
        verified = verify_manifest(head[MANIFEST_NAME], head[ENVELOPE_NAME], trust, cogd_version=cogd_version)
        body = _read_present(directory, {entry.path: entry.size for entry in verified.manifest.files})
    finally:
        os.close(directory)
    return verify_bundle(head | body, trust, cogd_version=cogd_version)


def _read_present(directory: int, limits: Mapping[str, int]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for name, limit in limits.items():
        try:
            files[name] = read_regular_file(name, limit=limit, dir_fd=directory).data
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise DigestError(f"{name}: {error.strerror}") from error
    return files
