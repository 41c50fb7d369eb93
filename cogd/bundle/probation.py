"""Whether an installed version has proven itself in a running daemon, and how often a daemon has died over it.

A version that was installed over another is on trial until a daemon has seen it work on live input. The daemon begins
with the version before and tries the new one, so that a pulled plug only interrupts the trial; and where daemons die
while they try it, the trial ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from cogd.bundle import durable
from cogd.bundle.layout import PROBATION_NAME
from cogd.bundle.regular import read_regular_file

if TYPE_CHECKING:
    from pathlib import Path

    from cogd.bundle.store import Store

MAX_TRIES: Final = 3
"""So many daemons may end, other than as they should, while they try a version."""

_MAX_BYTES = 1024


class Probation(msgspec.Struct, frozen=True, kw_only=True):
    """How a version did so far; kept in its folder, so it goes when the version goes."""

    proven: bool = False
    tries: Annotated[int, Meta(ge=0)] = 0


def is_on_trial(store: Store, app_id: str) -> bool:
    """Whether an installed version has still to prove itself, and there is one to go back to.

    Raises:
        StorageError: the app's pointer or record is damaged.
    """
    return store.last_good(app_id) is not None and not _read(store, app_id).proven


def note_try(store: Store, app_id: str) -> int:
    """Note, durably, that a daemon tries the installed version now; returns how many did before without an outcome.

    Raises:
        CogdError: it can't be noted.
    """
    before = _read(store, app_id)
    _write(store, app_id, Probation(tries=before.tries + 1))
    return before.tries


def note_outcome(store: Store, app_id: str, digest: str, *, proven: bool) -> None:
    """Note that a version has proven itself, or else that its trial was ended as it should be, for another time.

    Nothing is noted where `digest` is no longer the installed one.

    Raises:
        CogdError: it can't be noted.
    """
    installed = store.installed(app_id)
    if installed is not None and installed.digest == digest:
        _write(store, app_id, Probation(proven=proven))


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
