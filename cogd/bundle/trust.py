"""The keys that this machine trusts: none, until somebody puts their files into place.

A trust folder holds public keys (`*.pub`), revocations (`*.revoked`), statements of rotation (`*.rotation.json`) and,
in the file `threshold`, how many keys must have signed a bundle. Whatever else is in it is not looked at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from types import MappingProxyType

from cogd.bundle.keys import MAX_KEY_FILE_BYTES, PublicKey, load_public, parse_public
from cogd.bundle.regular import read_regular_file
from cogd.errors import ConfigError, KeyFileError

TYPE_CHECKING = False  # no `typing`: `cogd health` waits for what is imported here
if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Final, Self

    from cogd.bundle.revocation import Revocation
    from cogd.bundle.rotation import Rotation

KEY_SUFFIX: Final = ".pub"
REVOCATION_SUFFIX: Final = ".revoked"
ROTATION_SUFFIX: Final = ".rotation.json"
THRESHOLD_NAME: Final = "threshold"
MAX_THRESHOLD: Final = 8  # an envelope has no more signatures

_FOLDER_HINT: Final = "the trust folder must be a folder that this user may read"
_NO_FILE: Final = "-"
_OTHERS_MAY_WRITE: Final = 0o022
_PREFIX: Final = r"[0-9a-f]{8,64}"


class TrustStore(Mapping[str, PublicKey]):
    """An immutable mapping of key id to public key: the keys that are trusted now, and what became of others.

    Attributes:
        revoked: key id to revocation. A revoked key is not in the mapping, wherever its file is.
        retired: key id to the id of the key that took its place. A retired key stays in the mapping: what it signed
            and is installed runs on, but nothing that it alone signed is installed any more.
        threshold: how many of the keys must have signed a bundle; a key and those that took its place are one.
    """

    __slots__ = ("_keys", "_origins", "retired", "revoked", "threshold")

    def __init__(
        self,
        keys: Iterable[tuple[PublicKey, Path | str]] = (),
        *,
        revocations: Iterable[tuple[Revocation, Path | str]] = (),
        rotations: Iterable[tuple[Rotation, Path | str]] = (),
        threshold: int = 1,
    ) -> None:
        """Put together what was read from files; of a key that is there twice the first file counts.

        Raises:
            KeyFileError: a rotation's old key is neither trusted nor revoked, two rotations contradict each other,
                or they lead back to where they began.
        """
        found: dict[str, PublicKey] = {}
        origins: dict[str, Path | str] = {}
        revoked: dict[str, Revocation] = {}
        for revocation, path in revocations:
            revoked.setdefault(revocation.key_id, revocation)
            origins.setdefault(revocation.key_id, path)
        for key, path in keys:
            if key.key_id not in revoked:
                found.setdefault(key.key_id, key)
                origins.setdefault(key.key_id, path)
        self._keys = MappingProxyType(found)
        self._origins = MappingProxyType(origins)
        self.revoked: Mapping[str, Revocation] = MappingProxyType(revoked)
        self.retired: Mapping[str, str] = MappingProxyType(_retired(rotations, origins))
        self.threshold = threshold

    @classmethod
    def of(cls, *keys: PublicKey) -> Self:
        """Trust these keys, which come from no file."""
        return cls((key, _NO_FILE) for key in keys)

    @classmethod
    def load(cls, directories: Iterable[Path | str] = (), *, files: Iterable[Path | str] = ()) -> Self:
        """Read what is in `directories`, in name order, then the keys of `files`.

        A directory that is missing holds nothing; a file that is missing is an error. Names that start with a dot
        are skipped, as a shell's `*.pub` would. A directory and what is read of it must be writable by their owner
        alone; `files` may be open to others, because whoever names a file answers for it.

        Raises:
            KeyFileError: something of it can't be read, is malformed, contradicts the rest, or is open to others. A
                file is never left out because it is broken: it may be the one that says whom not to trust.
        """
        folders = [_Folder.read(directory) for directory in directories]
        return cls(
            chain(*(folder.keys for folder in folders), ((load_public(path), path) for path in files)),
            revocations=chain(*(folder.revocations for folder in folders)),
            rotations=chain(*(folder.rotations for folder in folders)),
            threshold=max((folder.threshold for folder in folders), default=1),
        )

    def origin(self, key_id: str) -> Path:
        """The file that says what the key is: of a revoked key its revocation, else the key's own.

        Raises:
            KeyError: the key is neither trusted nor revoked.
        """
        from pathlib import Path  # noqa: PLC0415  # `cogd health` never asks

        return Path(self._origins[key_id])

    def current(self, key_ids: Iterable[str]) -> frozenset[str]:
        """Those of `key_ids` that are trusted and that no other key has taken the place of."""
        return frozenset(key_id for key_id in key_ids if key_id in self._keys and key_id not in self.retired)

    def successors(self, key_ids: Iterable[str]) -> frozenset[str]:
        """`key_ids` and every key that took the place of one of them, at once or by and by; trusted or not."""
        return frozenset(key_id for first in key_ids for key_id in _line(first, self.retired))

    def holders(self, key_ids: Iterable[str]) -> frozenset[str]:
        """Each of `key_ids` as the last key that took its place: as many as there are different holders of keys."""
        return frozenset(list(_line(key_id, self.retired))[-1] for key_id in key_ids)

    def find(self, text: str) -> str:
        """The full id of the key whose id begins with `text`; a full id need not be known here.

        Raises:
            ConfigError: no key is known whose id begins so, or several are, or `text` is shorter than 8 characters.
        """
        start = text.lower()
        if re.fullmatch(_PREFIX, start) is None:
            hint = "`cogd trust list` shows the key ids; the first 8 characters or more are enough"
            raise ConfigError(f"{text[:100]!r} is no key id", hint=hint)
        if len(start) == 64:
            return start
        known = sorted(k for k in {*self._origins, *self.retired, *self.retired.values()} if k.startswith(start))
        if len(known) != 1:
            hint = "give the whole key id" if known else "`cogd trust list` shows the keys; others need their whole id"
            raise ConfigError(f"{len(known)} keys here have ids that begin with {start}", hint=hint)
        return known[0]

    def __getitem__(self, key_id: str) -> PublicKey:
        return self._keys[key_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"TrustStore({dict(self._origins)!r}, revoked={[*self.revoked]}, threshold={self.threshold})"


def _line(key_id: str, retired: Mapping[str, str]) -> Iterator[str]:
    """The key and, one by one, those that took its place. It ends, because no rotation leads back."""
    yield key_id
    while (new := retired.get(key_id)) is not None:
        yield new
        key_id = new


def _retired(rotations: Iterable[tuple[Rotation, Path | str]], known: Mapping[str, Path | str]) -> dict[str, str]:
    retired: dict[str, str] = {}
    paths: dict[str, Path | str] = {}
    for rotation, path in rotations:
        old, new = rotation.old.key_id, rotation.new.key_id
        # A revoked one may have handed over before: its successor is still the one that its apps are pinned to.
        if old not in known:
            raise KeyFileError(f"{path}: replaces {old}, which is not trusted here", hint=f"remove {path}")
        if old in _line(new, retired):
            raise KeyFileError(f"{path}: leads back to {old}, which it replaces", hint=f"remove {path}")
        if retired.setdefault(old, new) != new:
            raise KeyFileError(f"{path}: replaces {old}, which {paths[old]} has replaced", hint="remove one of the two")
        paths.setdefault(old, path)
    return retired


class _Folder:
    """What one trust folder holds, each with the file that it came from."""

    __slots__ = ("keys", "revocations", "rotations", "threshold")

    def __init__(self, threshold: int = 1) -> None:
        self.keys: list[tuple[PublicKey, str]] = []
        self.revocations: list[tuple[Revocation, str]] = []
        self.rotations: list[tuple[Rotation, str]] = []
        self.threshold = threshold

    @classmethod
    def read(cls, directory: Path | str) -> Self:
        # One descriptor: what is listed, checked and read is one folder, whatever is renamed meanwhile.
        try:
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise KeyFileError(f"{directory}: {error.strerror}", hint=_FOLDER_HINT) from error
        try:
            _check_mode(directory, os.fstat(fd).st_mode)
            files = {path: _read(fd, path) for path in _paths(fd, directory)}
        finally:
            os.close(fd)
        folder = cls(_threshold(os.path.join(directory, THRESHOLD_NAME), files))
        for path, data in files.items():
            if path.endswith(KEY_SUFFIX):
                folder.keys.append((parse_public(path, data), path))
            elif path.endswith(REVOCATION_SUFFIX):
                folder.revocations.append((_revocation(path, data), path))
            elif path.endswith(ROTATION_SUFFIX):
                folder.rotations.append((_rotation(path, data), path))
        return folder


def _paths(fd: int, directory: Path | str) -> list[str]:
    suffixes = (KEY_SUFFIX, REVOCATION_SUFFIX, ROTATION_SUFFIX)
    try:
        names = sorted(os.listdir(fd))
    except OSError as error:
        raise KeyFileError(f"{directory}: {error.strerror}", hint=_FOLDER_HINT) from error
    return [
        os.path.join(directory, name)
        for name in names
        if name == THRESHOLD_NAME or (name.endswith(suffixes) and not name.startswith("."))
    ]


def _read(directory: int, path: str) -> bytes:
    try:
        name = os.path.basename(path)
        read = read_regular_file(name, limit=MAX_KEY_FILE_BYTES, dir_fd=directory, follow=True)
    except OSError as error:
        raise KeyFileError(
            f"{path}: {error.strerror}", hint="it must be a small plain file that this user may read"
        ) from error
    _check_mode(path, read.mode)
    return read.data


def _check_mode(path: Path | str, mode: int) -> None:
    if mode & _OTHERS_MAY_WRITE:
        raise KeyFileError(f"{path}: others may write to it (mode {mode & 0o7777:04o})", hint=f"chmod go-w {path}")


def _threshold(path: str, files: Mapping[str, bytes]) -> int:
    data = files.get(path, b"1\n")
    if len(data) != 2 or data[1:] != b"\n" or data[0] not in b"12345678":
        hint = f"write the number of signatures that a bundle needs: echo 2 > {path}"
        raise KeyFileError(f"{path}: is not one digit from 1 to {MAX_THRESHOLD} and a newline", hint=hint)
    return int(data)


def _revocation(path: str, data: bytes) -> Revocation:
    from cogd.bundle.revocation import parse_revocation  # noqa: PLC0415  # `cogd health` mostly needs none

    try:
        return parse_revocation(data)
    except ValueError as error:
        hint = f"if {path} is not what you wrote, find out who did; else `cogd trust revoke` writes it again"
        raise KeyFileError(f"{path}: is not a revocation: {str(error)[:200]}", hint=hint) from error


def _rotation(path: str, data: bytes) -> Rotation:
    from cogd.bundle.rotation import read_rotation  # noqa: PLC0415  # nor one of these

    try:
        return read_rotation(data)
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error}", hint=error.hint) from error
