"""What is installed in an apps directory. Reading takes no lock; `changes.py` makes changes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cogd.bundle.durable import storage_error
from cogd.bundle.folder import is_installed
from cogd.bundle.layout import RECORD_NAME, Layout, pointed_name
from cogd.bundle.record import MAX_RECORD_BYTES, Memory, Record, parse
from cogd.bundle.regular import read_regular_file
from cogd.errors import NoAppError, NothingToRollBackError, StorageError

if TYPE_CHECKING:
    from pathlib import Path


class Store:
    """The records and pointers of an apps directory."""

    def __init__(self, directory: Path) -> None:
        self.layout = Layout(directory)

    def installed(self, app_id: str) -> Record | None:
        """The record of the version that is installed; None: the app is not.

        Raises:
            StorageError: the app's pointer or record is damaged.
        """
        name = self.current_name(app_id)
        return self.record(app_id, name) if name is not None else None

    def previous(self, app_id: str) -> Record | None:
        """The record of the version that a rollback goes back to, if one is kept.

        Raises:
            StorageError: a record is damaged.
        """
        installed = self.installed(app_id)
        return self._kept(installed, installed.previous) if installed is not None else None

    def last_good(self, app_id: str) -> Record | None:
        """The record of the version that a daemon goes back to while the installed one is on trial, if one is kept.

        Raises:
            StorageError: a record is damaged.
        """
        installed = self.installed(app_id)
        return self._kept(installed, installed.last_good) if installed is not None else None

    def previous_folder(self, app_id: str) -> Path:
        """The folder of the version that a rollback goes back to.

        Raises:
            NoAppError: the app is not installed.
            NothingToRollBackError: no earlier version is kept.
            StorageError: a record is damaged.
        """
        installed = self._installed_or_raise(app_id)
        return self._folder_or_raise(installed, installed.previous)

    def last_good_folder(self, app_id: str) -> Path:
        """The folder of the version that a daemon goes back to.

        Raises:
            NoAppError, NothingToRollBackError, StorageError: as `previous_folder`.
        """
        installed = self._installed_or_raise(app_id)
        return self._folder_or_raise(installed, installed.last_good)

    def memory(self, app_id: str) -> Memory | None:
        """What is remembered of an app, installed or not.

        Raises:
            StorageError: it is damaged.
        """
        path = self.layout.memory(app_id)
        raw = _read(path)
        return parse(raw, Memory, path) if raw is not None else None

    def current_name(self, app_id: str) -> str | None:
        """The version folder that an app's pointer names; None: the app is not installed.

        Raises:
            StorageError: the pointer is damaged.
        """
        path = self.layout.current(app_id)
        if not is_installed(self.layout.app(app_id)):
            return None
        try:
            target = os.readlink(path)
        except OSError as error:
            raise storage_error(error, str(path)) from error
        name = pointed_name(target)
        if name is None:
            hint = f"`cogd remove {app_id}`, then install it again"
            raise StorageError(f"{path}: leads to {target[:100]!r}, which is no version of the app", hint=hint)
        return name

    def record(self, app_id: str, name: str) -> Record:
        """The record of one version.

        Raises:
            StorageError: it is missing or damaged.
        """
        path = self.layout.version(app_id, name) / RECORD_NAME
        raw = _read(path)
        if raw is None:
            raise StorageError(f"{path}: is missing", hint=f"`cogd remove {app_id}`, then install it again")
        return parse(raw, Record, path)

    def _installed_or_raise(self, app_id: str) -> Record:
        installed = self.installed(app_id)
        if installed is None:
            raise NoAppError(f"there is no app {app_id} in {self.layout.apps}")
        return installed

    def _folder_or_raise(self, installed: Record, name: str | None) -> Path:
        folder = self._folder(installed, name)
        if folder is None:
            raise NothingToRollBackError(f"{installed.id} {installed.version}: no earlier version is kept")
        return folder

    def _kept(self, installed: Record, name: str | None) -> Record | None:
        folder = self._folder(installed, name)
        return self.record(installed.id, folder.name) if folder is not None else None

    def _folder(self, installed: Record, name: str | None) -> Path | None:
        if name is None:
            return None
        folder = self.layout.version(installed.id, name)
        try:
            return folder if folder.is_dir() else None
        except OSError as error:
            raise storage_error(error, str(folder)) from error


def _read(path: Path) -> bytes | None:
    try:
        return read_regular_file(path, limit=MAX_RECORD_BYTES).data
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, str(path)) from error
