"""Changes of a trust folder: each is one file that is replaced, or two in an order in which the first alone is safe.

Nothing is ever removed here. A revocation is for good, and a key that was replaced must stay known, so that what it
signed runs on. Each function reads the whole folder first and refuses to touch one that `TrustStore.load` refuses.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from cogd.bundle import durable
from cogd.bundle.keys import PublicKey, load_public
from cogd.bundle.members import is_safe_name
from cogd.bundle.revocation import Revocation, encode_revocation, parse_revocation
from cogd.bundle.rotation import Rotation, read_rotation
from cogd.bundle.trust import (
    KEY_SUFFIX,
    MAX_THRESHOLD,
    REVOCATION_SUFFIX,
    ROTATION_SUFFIX,
    THRESHOLD_NAME,
    TrustStore,
)
from cogd.bundle.utc import utc_text
from cogd.errors import ConfigError, KeyFileError, RevokedKeyError, UnknownKeyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILE_MODE = 0o644
_NAME_DIGITS = 16


class Added(NamedTuple):
    """A key that is trusted now, its file, and whether it was there before."""

    key: PublicKey
    path: Path
    was_there: bool


def add(folder: Path, public_key_path: Path, name: str | None = None) -> Added:
    """Trust the key in the file `public_key_path`. A folder that is missing is made.

    Args:
        folder: the trust folder.
        public_key_path: a public key, PEM.
        name: what to call its file, without the `.pub`; the first 16 characters of its id without it.

    Raises:
        KeyFileError: the file holds no public key, or a private one; the name is taken by another key.
        RevokedKeyError: the key was revoked here.
        ConfigError: the name is not a plain file name.
        PermissionDeniedError, NoSpaceError, StorageError: it can't be written.
    """
    key = load_public(public_key_path)
    trust = TrustStore.load([folder])
    _refuse_revoked(trust, key)
    if key.key_id in trust:
        return Added(key, trust.origin(key.key_id), was_there=True)
    return Added(key, _write_key(folder, key, name), was_there=False)


def revoke(folder: Path, key: str, reason: str, now_unix_s: float) -> Revocation:
    """Never again accept what the key has signed. One that is revoked already keeps its first revocation.

    Args:
        folder: the trust folder.
        key: its id, or the first 8 characters or more of one that is known here. A whole id need not be known:
            a key can be revoked before anybody trusts it.
        reason: one line of at most 200 characters, for people; may be empty.
        now_unix_s: the time.

    Raises:
        ConfigError: `key` names no key or several, or `reason` is not such a line.
        KeyFileError: the folder can't be read.
        PermissionDeniedError, NoSpaceError, StorageError: it can't be written.
    """
    trust = TrustStore.load([folder])
    key_id = trust.find(key)
    if (before := trust.revoked.get(key_id)) is not None:
        return before
    revocation = Revocation(key_id=key_id, reason=reason, revoked_at=utc_text(now_unix_s))
    try:
        data = encode_revocation(revocation)
        parse_revocation(data)
    except ValueError as error:
        hint = "give one line of at most 200 characters"
        raise ConfigError(f"the reason can't be written down: {error}", hint=hint) from error
    _make(folder)
    # The whole id: whoever could make a key with the same first characters could otherwise undo a revocation.
    _replace(folder / f"{key_id}{REVOCATION_SUFFIX}", data)
    return revocation


def rotate(folder: Path, statement: bytes) -> Rotation:
    """Let the statement's new key take the place of its old one. The same statement again does no harm.

    The new key's file comes first and the statement last: if the machine stops in between, both keys are trusted,
    which the old one's holder signed, and the same command completes it.

    Raises:
        KeyFileError: it is no statement that both keys signed; another key has taken the old one's place; the new
            one was itself replaced; or the folder can't be read.
        UnknownKeyError: the old key is not trusted here.
        RevokedKeyError: one of the keys was revoked.
        PermissionDeniedError, NoSpaceError, StorageError: it can't be written.
    """
    rotation = read_rotation(statement)
    old, new = rotation.old, rotation.new
    trust = TrustStore.load([folder])
    _refuse_revoked(trust, old)
    _refuse_revoked(trust, new)
    if old.key_id not in trust:
        hint = "a rotation goes on from a key that is trusted: add that one first, or the new one with `cogd trust add`"
        raise UnknownKeyError(f"{old.key_id}, which is to be replaced, is not trusted here", hint=hint)
    if trust.retired.get(old.key_id, new.key_id) != new.key_id:
        hint = "ask the publisher which of the two is right; if the first is not, revoke it and `cogd trust add` this"
        raise KeyFileError(f"{old.key_id} has been replaced by {trust.retired[old.key_id]}", hint=hint)
    if new.key_id in trust.retired:
        hint = "ask the publisher for a statement that names its present key"
        raise KeyFileError(f"{new.key_id} has itself been replaced by {trust.retired[new.key_id]}", hint=hint)
    if new.key_id not in trust:
        _write_key(folder, new)
    _replace(folder / f"{old.key_id}{ROTATION_SUFFIX}", rotation.statement)
    return rotation


def set_threshold(folder: Path, threshold: int) -> None:
    """Ask for this many signatures, by different holders of keys, on every bundle.

    Raises:
        ConfigError: `threshold` is not 1 to 8, or more than there are keys that could sign.
        KeyFileError: the folder can't be read.
        PermissionDeniedError, NoSpaceError, StorageError: it can't be written.
    """
    if not 1 <= threshold <= MAX_THRESHOLD:
        raise ConfigError(f"a threshold of {threshold} is not within 1..{MAX_THRESHOLD}", hint="give such a number")
    trust = TrustStore.load([folder])
    usable = len(trust.current(trust))
    if threshold > usable:
        hint = "add the other publishers' keys first: `cogd trust add`"
        raise ConfigError(f"{threshold} keys can't sign: {usable} are trusted and not replaced", hint=hint)
    _replace(folder / THRESHOLD_NAME, b"%d\n" % threshold)


def _refuse_revoked(trust: TrustStore, key: PublicKey) -> None:
    if (revocation := trust.revoked.get(key.key_id)) is not None:
        raise RevokedKeyError(
            f"{key.key_id} is {revocation}",
            hint=f"a revocation is for good: ask the publisher for another key ({trust.origin(key.key_id)} says so)",
        )


def _write_key(folder: Path, key: PublicKey, name: str | None = None) -> Path:
    file_name = (key.key_id[:_NAME_DIGITS] if name is None else name.removesuffix(KEY_SUFFIX)) + KEY_SUFFIX
    if not is_safe_name(file_name):
        raise ConfigError(f"{str(name)[:100]!r} can't name a file", hint="letters, digits, dots, dashes, underscores")
    path = folder / file_name
    with _storage_errors(f"{path}: can't be written"):
        if path.is_symlink() or path.exists():
            raise KeyFileError(f"{path}: is another key", hint="choose another name with --name")
    _make(folder)
    _replace(path, key.to_pem().encode())
    return path


def _make(folder: Path) -> None:
    with _storage_errors(f"{folder}: can't be made"):
        for directory in (*reversed(folder.parents), folder):
            if not directory.is_dir():
                durable.make_directory(directory)


def _replace(path: Path, data: bytes) -> None:
    with _storage_errors(f"{path}: can't be written"):
        durable.replace_file(path, data, mode=_FILE_MODE)


@contextmanager
def _storage_errors(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise durable.storage_error(error, what) from error
