"""Installing, going back, removing. Whatever dies in between, an app is its old or its new version.

The one thing that decides is the pointer `<id>/current`, and it changes by one rename. All else is made durable
before, or is garbage after; whoever takes the lock next clears it away. (docs/install.md, "On the disk")
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Final

import msgspec

from cogd.bundle import durable
from cogd.bundle.appliance import DEFAULT_CONFIG, adr100_manifest
from cogd.bundle.layout import (
    ADR100_MANIFEST_NAME,
    CONFIG_NAME,
    CURRENT,
    LINKED,
    RECORD_NAME,
    VERSIONS,
    pointer_target,
    version_name,
    version_number,
)
from cogd.bundle.load import is_installed
from cogd.bundle.lock import locked
from cogd.bundle.members import APPLIANCE_NAMES
from cogd.bundle.record import encode, remember
from cogd.errors import CogdError, NoAppError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cogd.bundle.record import Record
    from cogd.bundle.store import Store
    from cogd.bundle.verify import VerifiedBundle

_TEMPORARY: Final = re.compile(r"\.[0-9a-f]{16}")  # what `durable` names its temporary files


@contextlib.contextmanager
def changing(store: Store, wait_s: float) -> Iterator[Changes]:
    """Hold the lock, after what an interrupted change left behind has been cleared away.

    Raises:
        LockedError: another process holds it, and still does after `wait_s`.
        PermissionDeniedError, NoSpaceError, StorageError: the apps directory can't be made or written.
    """
    layout = store.layout
    try:
        for folder in [*reversed(layout.apps.parents), layout.apps, layout.private]:
            durable.make_directory(folder)
    except OSError as error:
        raise durable.storage_error(error, f"the apps directory {layout.apps}") from error
    with locked(layout.lock, wait_s):
        changes = Changes(store)
        changes.collect()
        yield changes


class Changes:
    """What can be changed while the lock is held."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._layout = store.layout

    def install(self, bundle: VerifiedBundle, record: Record) -> None:
        """Put a bundle into place.

        Args:
            bundle: what to install.
            record: of it; its `previous` is decided here.

        Raises:
            NoSpaceError, PermissionDeniedError, StorageError: it could not be done; all is as it was.
        """
        app = record.id
        before, name = self._store.installed(app), self._store.current_name(app)
        if before is not None and before.digest == record.digest:
            name = before.previous  # a repair: it goes back to where it went back to
        record = msgspec.structs.replace(record, previous=name)
        memory = self._layout.memory(app)
        learnt = self._layout.staging / "memory"
        try:
            for folder in (self._layout.staging, memory.parent):
                durable.make_directory(folder)
            # Written before the switch, so that a disk that is full here too leaves all as it was.
            durable.write_file(learnt, encode(remember(self._store.memory(app), record)))
            self._put(bundle, record)
            with contextlib.suppress(OSError):
                durable.move(learnt, memory)
        except OSError as error:
            raise durable.storage_error(error, f"{app} {record.version} was not installed") from error
        finally:
            self._clear(app)
        with contextlib.suppress(OSError):
            self._remember(app)

    def roll_back(self, app_id: str) -> None:
        """Go back to the version before.

        Raises:
            NoAppError, NothingToRollBackError: there is none.
            NoSpaceError, PermissionDeniedError, StorageError: it could not be done; all is as it was.
        """
        previous = self._store.previous_folder(app_id)
        try:
            self._remember(app_id)
            self._point(app_id, previous.name)
        except OSError as error:
            raise durable.storage_error(error, f"{app_id} was not rolled back") from error
        self._clear(app_id)

    def remove(self, app_id: str, *, forget: bool) -> None:
        """Take an app away, its `config.json` included; `forget` also its pins and its ratchet.

        Raises:
            NoAppError: there is no such app, and nothing is remembered that could be forgotten.
            NoSpaceError, PermissionDeniedError, StorageError: it could not be done; all is as it was.
        """
        folder, memory, staging = self._layout.app(app_id), self._layout.memory(app_id), self._layout.staging
        try:
            moves = {folder: staging / "removed"} if is_installed(folder) else {}
            if forget and memory.exists():
                moves[memory] = staging / "forgotten"
            if not moves:
                raise NoAppError(f"there is no app {app_id} in {self._layout.apps}")
            if not forget:
                self._remember(app_id)
            durable.make_directory(staging)
            _move_all_or_none(moves)
        except OSError as error:
            raise durable.storage_error(error, f"{app_id} was not removed") from error
        self._clear(app_id)

    def collect(self) -> None:
        """Clear away what interrupted changes left behind, and remember what they had no time to remember.

        Raises:
            PermissionDeniedError, NoSpaceError, StorageError: what they changed last can't be made durable.
        """
        self._settle()
        self._clear(None)
        for folder in self._folders():
            self._clear(folder.name)
            if is_installed(folder):
                with contextlib.suppress(OSError):
                    self._remember(folder.name)

    def _settle(self) -> None:
        """Make durable what a killed process had no time to, before anything is built on it or cleared away for it."""
        layout = self._layout
        folders = [layout.apps, layout.private, layout.staging, layout.memory("any").parent]
        try:
            for folder in layout.apps.parents:
                with contextlib.suppress(OSError):  # other users' folders, which this one need not be able to open
                    durable.sync_directory(folder)
            for folder in [*folders, *filter(is_installed, self._folders())]:
                with contextlib.suppress(FileNotFoundError, PermissionError):  # or: nobody here has changed it
                    durable.sync_directory(folder)
        except OSError as error:
            raise durable.storage_error(error, f"the apps directory {layout.apps}") from error

    def _put(self, bundle: VerifiedBundle, record: Record) -> None:
        app, staged = record.id, self._layout.staging / "new"
        folder = self._layout.app(app)
        name = version_name(_next_number(folder), record.version)
        if not os.path.lexists(folder):
            durable.make_directory(staged)
            durable.make_directory(staged / VERSIONS)
            _write_version(staged / VERSIONS / name, bundle, record)
            durable.write_file(staged / CONFIG_NAME, DEFAULT_CONFIG)
            _write_links(staged)
            durable.make_link(staged / CURRENT, pointer_target(name))
            _move_all_or_none({staged: folder})
            return
        if not is_installed(folder):
            _check_unused(folder)
            durable.make_directory(folder / VERSIONS)
        _write_version(staged, bundle, record)
        durable.move(staged, self._layout.version(app, name))
        _write_links(folder)
        self._point(app, name)

    def _point(self, app_id: str, name: str) -> None:
        """The switch. Where it could not be made durable, it is taken back."""
        path = self._layout.current(app_id)
        before = os.readlink(path) if is_installed(path.parent) else None
        try:
            durable.make_link(path, pointer_target(name))
        except OSError:
            with contextlib.suppress(OSError):
                if before is None:
                    durable.remove_file(path)
                else:
                    durable.make_link(path, before)
            raise

    def _remember(self, app_id: str) -> None:
        """Bring the memory up to what is installed, unless one of the two is damaged.

        Where that fails, the next change tries again: `judge` does not depend on it as long as the app is there. What
        takes the app or its version away must not go on.

        Raises:
            OSError: it can't be written.
        """
        with contextlib.suppress(CogdError):
            record = self._store.installed(app_id)
            before = self._store.memory(app_id)
            after = remember(before, record) if record is not None else before
            if after is not None and after != before:
                path = self._layout.memory(app_id)
                durable.make_directory(path.parent)
                durable.replace_file(path, encode(after), mode=0o644)

    def _clear(self, app_id: str | None) -> None:
        """Take away what is staged, and of an app the versions that are neither installed nor the one before.

        What can't be taken away is left for the next time: it is garbage, and whatever brought us here has its own
        outcome.
        """
        _clear_folder(self._layout.staging)
        if app_id is None:
            _clear_temporaries(self._layout.memory("any").parent)
            return
        folder = self._layout.app(app_id)
        with contextlib.suppress(OSError, CogdError):  # a damaged record: then everything is kept
            _clear_temporaries(folder)
            name = self._store.current_name(app_id)
            if name is None:
                _clear_beginnings(folder, self._layout.staging)
                return
            keep = {name, self._store.record(app_id, name).previous}
            for entry in os.listdir(folder / VERSIONS):
                if entry not in keep:
                    durable.remove_tree(folder / VERSIONS / entry)

    def _folders(self) -> list[Path]:
        with contextlib.suppress(OSError):
            return [path for path in self._layout.apps.iterdir() if not path.name.startswith(".")]
        return []


def _move_all_or_none(moves: Mapping[Path, Path]) -> None:
    try:
        for source, target in moves.items():
            durable.move(source, target)
    except OSError:
        for source, target in moves.items():
            with contextlib.suppress(OSError):
                if not os.path.lexists(source):
                    os.rename(target, source)
        raise


def _next_number(folder: Path) -> int:
    try:
        names = os.listdir(folder / VERSIONS)
    except FileNotFoundError:
        return 1
    return max((version_number(name) for name in names), default=0) + 1


def _write_version(folder: Path, bundle: VerifiedBundle, record: Record) -> None:
    durable.make_directory(folder)
    for name, data in bundle.members().items():
        durable.write_file(folder / name, data)
    durable.write_file(folder / ADR100_MANIFEST_NAME, adr100_manifest(bundle, record.installed_at))
    durable.write_file(folder / RECORD_NAME, encode(record))
    durable.sync_directory(folder)


def _write_links(folder: Path) -> None:
    """The constant links to the files of whatever version is installed."""
    for name in LINKED:
        if not _is_link_to(folder / name, f"{CURRENT}/{name}"):
            durable.make_link(folder / name, f"{CURRENT}/{name}")


def _is_link_to(path: Path, target: str) -> bool:
    return path.is_symlink() and os.readlink(path) == target


def _check_unused(folder: Path) -> None:
    """See that nobody else's app is in a folder; the appliance may have made it, and put its own files there."""
    allowed = APPLIANCE_NAMES | {VERSIONS, *LINKED}
    if foreign := sorted(set(os.listdir(folder)) - allowed):
        hint = "another program's app has this id: remove it first"
        raise StorageError(f"{folder}: holds {foreign[0]}, which cogd did not put there", hint=hint)


def _clear_beginnings(folder: Path, staging: Path) -> None:
    """Take away what an interrupted first installation left in a folder that was there before it."""
    _check_unused(folder)
    for name in LINKED:
        if _is_link_to(folder / name, f"{CURRENT}/{name}"):
            durable.remove_file(folder / name)
    versions = folder / VERSIONS
    for entry in os.listdir(versions):
        if version_number(entry) and (versions / entry / RECORD_NAME).exists():
            # As a whole, out of here first: what is only half gone could not be told from somebody else's.
            durable.make_directory(staging)
            durable.move(versions / entry, staging / entry)
            durable.remove_tree(staging / entry)
    os.rmdir(versions)  # fails where anything else is in it


def _clear_temporaries(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder):
            if _TEMPORARY.fullmatch(entry):
                durable.remove_file(folder / entry)


def _clear_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder):
            durable.remove_tree(folder / entry)
