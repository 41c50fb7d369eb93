"""What interrupted changes leave behind, and which versions of an app nobody goes back to any more.

Clearing away never fails: what can't be taken away is left for the next time, and whatever brought us here has its own
outcome. Nothing is taken away that cogd did not put there.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Final

from cogd.bundle import durable
from cogd.bundle.layout import (
    CURRENT,
    LINKED,
    RECORD_NAME,
    VERSIONS,
    Layout,
    is_app_id,
    pointed_name,
    version_number,
)
from cogd.bundle.members import APPLIANCE_NAMES
from cogd.bundle.probation import is_on_trial
from cogd.errors import CogdError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from cogd.bundle.store import Store

_TEMPORARY: Final = re.compile(r"\.[0-9a-f]{16}")  # what `durable` names its temporary files


def folders(layout: Layout) -> list[Path]:
    """What may be apps' folders: somebody else's are among them."""
    with contextlib.suppress(OSError):
        return [path for path in layout.apps.iterdir() if is_app_id(path.name) and not path.is_symlink()]
    return []


def clear_staging(layout: Layout) -> None:
    """Take away what is staged, and what was not renamed."""
    with contextlib.suppress(OSError):
        for entry in os.listdir(layout.staging):
            with contextlib.suppress(OSError):
                durable.remove_tree(layout.staging / entry)
    with contextlib.suppress(OSError):
        for entry in os.listdir(layout.memories):
            if _TEMPORARY.fullmatch(entry):
                durable.remove_file(layout.memories / entry)


def clear_app(store: Store, app_id: str) -> None:
    """Take away the versions of an app that nobody goes back to; of one that is not installed, its beginning."""
    folder = store.layout.app(app_id)
    with contextlib.suppress(OSError, CogdError):  # a damaged record: then everything is kept
        _clear_links(folder)
        name = store.current_name(app_id)
        if name is None:
            _clear_beginning(folder, store.layout.staging)
            return
        keep = _kept(store, app_id, name)
        for entry in os.listdir(folder / VERSIONS):
            if entry not in keep:
                durable.remove_tree(folder / VERSIONS / entry)


def check_unused(folder: Path) -> None:
    """See that nobody else's app is in a folder; the appliance may have made it, and put its own files there.

    Raises:
        StorageError: it is somebody else's.
        OSError: it can't be read.
    """
    allowed = APPLIANCE_NAMES | {VERSIONS, *LINKED}
    if foreign := sorted(set(os.listdir(folder)) - allowed):
        hint = "another program's app has this id: remove it first"
        raise StorageError(f"{folder}: holds {foreign[0]}, which cogd did not put there", hint=hint)


def is_link_to(path: Path, target: str) -> bool:
    """Whether `path` is a symbolic link with this content."""
    return path.is_symlink() and os.readlink(path) == target


def _kept(store: Store, app_id: str, name: str) -> set[str | None]:
    """The installed version and the one before; while it is on trial, what it goes back to, and that one's own."""
    record = store.record(app_id, name)
    keep = {name, record.previous}
    if is_on_trial(store, app_id) and (last_good := store.last_good(app_id)) is not None:
        keep |= {record.last_good, last_good.previous}
    return keep


def _clear_beginning(folder: Path, staging: Path) -> None:
    """Take away what an interrupted first installation left in a folder that was there before it."""
    check_unused(folder)
    for name in LINKED:
        if is_link_to(folder / name, f"{CURRENT}/{name}"):
            durable.remove_file(folder / name)
    versions = folder / VERSIONS
    for entry in os.listdir(versions):
        if version_number(entry) and (versions / entry / RECORD_NAME).exists():
            # As a whole, out of here first: what is only half gone could not be told from somebody else's.
            durable.make_directory(staging)
            durable.move(versions / entry, staging / entry)
            durable.remove_tree(staging / entry)
    os.rmdir(versions)  # fails where anything else is in it


def _clear_links(folder: Path) -> None:
    """Take away links that were made and not renamed: ours are told by where they lead."""
    for entry in os.listdir(folder):
        path = folder / entry
        if _TEMPORARY.fullmatch(entry) and path.is_symlink():
            target = os.readlink(path)
            if pointed_name(target) is not None or target in {f"{CURRENT}/{name}" for name in LINKED}:
                durable.remove_file(path)
