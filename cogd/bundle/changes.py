"""Installing, going back, removing. Whatever dies in between, an app is its old or its new version.

The one thing that decides is the pointer `<id>/current`, and it changes by one rename. All else is made durable
before, or is garbage after; whoever takes the lock next clears it away. (docs/install.md, "On the disk")
"""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

import msgspec

from cogd.bundle import durable
from cogd.bundle.appliance import DEFAULT_CONFIG, adr100_manifest
from cogd.bundle.folder import is_installed
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
from cogd.bundle.leftovers import check_unused, clear_app, clear_staging, folders, is_link_to
from cogd.bundle.lock import locked
from cogd.bundle.probation import is_on_trial
from cogd.bundle.record import encode, remember
from cogd.errors import CogdError, NoAppError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cogd.bundle.record import Memory, Record
    from cogd.bundle.store import Store
    from cogd.bundle.verify import VerifiedBundle


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
        self._token = secrets.token_hex(4)

    def install(self, bundle: VerifiedBundle, record: Record) -> None:
        """Put a bundle into place.

        Args:
            bundle: what to install.
            record: of it; its `previous` and `last_good` are decided here.

        Raises:
            NoSpaceError, PermissionDeniedError, StorageError: it could not be done; all is as it was.
        """
        app = record.id
        record = self._with_predecessors(record)
        memory, learnt = self._layout.memory(app), self._staged("memory")
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
            clear_staging(self._layout)
            clear_app(self._store, app)
        with contextlib.suppress(OSError):
            self._remember(app)

    def roll_back(self, app_id: str) -> None:
        """Go back to the version before.

        Raises:
            NoAppError, NothingToRollBackError: there is none.
            NoSpaceError, PermissionDeniedError, StorageError: it could not be done; all is as it was.
        """
        self.go_back(app_id, self._store.previous_folder(app_id).name)

    def go_back(self, app_id: str, name: str) -> None:
        """Go back to the version in the folder `name`, which is there.

        Raises:
            NoSpaceError, PermissionDeniedError, StorageError: it could not be done; all is as it was.
        """
        try:
            self._remember(app_id)
            self._point(app_id, name)
        except OSError as error:
            raise durable.storage_error(error, f"{app_id} was not rolled back") from error
        clear_app(self._store, app_id)

    def remove(self, app_id: str, *, forget: bool) -> None:
        """Take an app away, its `config.json` included; `forget` also its pins and its ratchet.

        Raises:
            NoAppError: there is no such app, and nothing is remembered that could be forgotten.
            NoSpaceError, PermissionDeniedError, StorageError: it could not be done; all is as it was.
        """
        folder, memory = self._layout.app(app_id), self._layout.memory(app_id)
        try:
            moves = {folder: self._staged("removed")} if is_installed(folder) else {}
            if forget and memory.exists():
                moves[memory] = self._staged("forgotten")
            if not moves:
                raise NoAppError(f"there is no app {app_id} in {self._layout.apps}")
            if not forget:
                self._remember(app_id)
            durable.make_directory(self._layout.staging)
            _move_all_or_none(moves)
        except OSError as error:
            raise durable.storage_error(error, f"{app_id} was not removed") from error
        clear_staging(self._layout)

    def undo_first(self, app_id: str, memory: Memory | None) -> None:
        """Take a first installation back: what was in the folder before stays, and `memory` is what it was before.

        Raises:
            NoSpaceError, PermissionDeniedError, StorageError: it could not be done.
        """
        folder = self._layout.app(app_id)
        try:
            if _is_ours_alone(folder):
                self.remove(app_id, forget=False)
            else:
                durable.remove_file(folder / CURRENT)
                durable.sync_directory(folder)
                clear_app(self._store, app_id)
            path = self._layout.memory(app_id)
            if memory is not None:
                durable.replace_file(path, encode(memory), mode=0o644)
            else:
                durable.remove_file(path)
                durable.sync_directory(path.parent)
        except OSError as error:
            raise durable.storage_error(error, f"{app_id} was not taken back") from error

    def collect(self) -> None:
        """Clear away what interrupted changes left behind, and remember what they had no time to remember.

        Raises:
            PermissionDeniedError, NoSpaceError, StorageError: what they changed last can't be made durable.
        """
        self._settle()
        clear_staging(self._layout)
        for folder in folders(self._layout):
            clear_app(self._store, folder.name)
            if is_installed(folder):
                with contextlib.suppress(OSError):
                    self._remember(folder.name)

    def _staged(self, name: str) -> Path:
        """A name that no other change has: what can't be taken away of an earlier one is in nobody's way."""
        return self._layout.staging / f"{self._token}-{name}"

    def _with_predecessors(self, record: Record) -> Record:
        app = record.id
        before, name = self._store.installed(app), self._store.current_name(app)
        if before is None:
            return msgspec.structs.replace(record, previous=None, last_good=None)
        if before.digest == record.digest:  # a repair: it goes back to where it went back to
            return msgspec.structs.replace(record, previous=before.previous, last_good=before.last_good)
        last_good = before.last_good if is_on_trial(self._store, app) else name
        return msgspec.structs.replace(record, previous=name, last_good=last_good)

    def _settle(self) -> None:
        """Make durable what a killed process had no time to, before anything is built on it or cleared away for it."""
        layout = self._layout
        ours = [layout.apps, layout.private, layout.staging, layout.memories]
        try:
            for folder in layout.apps.parents:
                with contextlib.suppress(OSError):  # other users' folders, which this one need not be able to open
                    durable.sync_directory(folder)
            for folder in [*ours, *filter(is_installed, folders(layout))]:
                with contextlib.suppress(FileNotFoundError, PermissionError):  # or: nobody here has changed it
                    durable.sync_directory(folder)
        except OSError as error:
            raise durable.storage_error(error, f"the apps directory {layout.apps}") from error

    def _put(self, bundle: VerifiedBundle, record: Record) -> None:
        app, staged = record.id, self._staged("new")
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
            check_unused(folder)
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
        if not is_link_to(folder / name, f"{CURRENT}/{name}"):
            durable.make_link(folder / name, f"{CURRENT}/{name}")


def _is_ours_alone(folder: Path) -> bool:
    """Whether there is nothing in an app's folder but what a first installation puts there."""
    config = folder / CONFIG_NAME
    return (
        set(os.listdir(folder)) == {CONFIG_NAME, CURRENT, VERSIONS, *LINKED} and config.read_bytes() == DEFAULT_CONFIG
    )
