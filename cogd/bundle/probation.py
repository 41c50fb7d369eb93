"""Whether an installed version has proven itself in a running daemon.

A version that was installed over another is on trial until a daemon has seen it work on live input. The daemon begins
with the version before and tries the new one, so that a pulled plug only interrupts the trial. Where daemons die while
they try it, `cogd.runtime.crash_rules` ends the trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cogd.bundle import durable
from cogd.bundle.layout import PROBATION_NAME
from cogd.bundle.regular import read_regular_file

if TYPE_CHECKING:
    from pathlib import Path

    from cogd.bundle.store import Store

_MAX_BYTES = 1024


class Probation(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a version has proven itself; kept in its folder, so it goes when the version goes."""

    proven: bool = False


def is_on_trial(store: Store, app_id: str) -> bool:
    """Whether an installed version has still to prove itself, and there is one to go back to.

    Raises:
        StorageError: the app's pointer or record is damaged.
    """
    return store.last_good(app_id) is not None and not _read(store, app_id).proven


def note_proven(store: Store, app_id: str, digest: str) -> None:
    """Note that a version has proven itself; nothing is noted where `digest` is no longer the installed one.

    Raises:
        CogdError: it can't be noted.
    """
    installed = store.installed(app_id)
    if installed is not None and installed.digest == digest:
        _write(store, app_id, Probation(proven=True))


def _path(store: Store, app_id: str) -> Path:
    name = store.current_name(app_id)
    return store.layout.version(app_id, str(name)) / PROBATION_NAME


def _read(store: Store, app_id: str) -> Probation:
    try:
        return msgspec.json.decode(read_regular_file(_path(store, app_id), limit=_MAX_BYTES).data, type=Probation)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return Probation()  # a trial anew


def _write(store: Store, app_id: str, probation: Probation) -> None:
    try:
        durable.replace_file(_path(store, app_id), msgspec.json.encode(probation), mode=0o644)
    except OSError as error:
        raise durable.storage_error(error, f"the trial of {app_id} was not noted") from error
