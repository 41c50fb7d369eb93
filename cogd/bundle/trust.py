"""The keys that this machine trusts: none, until somebody puts their files into place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from cogd.bundle.keys import PublicKey, load_public
from cogd.errors import KeyFileError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class TrustStore(Mapping[str, PublicKey]):
    """An immutable mapping of key id to public key, which knows the file that each key came from."""

    __slots__ = ("_keys", "_origins")

    def __init__(self, keys: Iterable[tuple[PublicKey, Path]] = ()) -> None:
        found: dict[str, PublicKey] = {}
        origins: dict[str, Path] = {}
        for key, path in keys:
            found.setdefault(key.key_id, key)
            origins.setdefault(key.key_id, path)
        self._keys = MappingProxyType(found)
        self._origins = MappingProxyType(origins)

    @classmethod
    def load(cls, directories: Iterable[Path] = (), *, files: Iterable[Path] = ()) -> Self:
        """Read the keys of every `*.pub` in `directories`, in name order, then those of `files`.

        A directory that is missing holds no keys; a file that is missing is an error. Names that start with a dot
        are skipped, as a shell's `*.pub` would. A key that is there twice comes from where it was found first.

        Raises:
            KeyFileError: a directory can't be listed, or a key file can't be read or holds no Ed25519 public key.
        """
        paths = [path for directory in directories for path in _key_files(directory)]
        return cls((load_public(path), path) for path in [*paths, *files])

    def origin(self, key_id: str) -> Path:
        """The file that the key came from.

        Raises:
            KeyError: the key is not trusted.
        """
        return self._origins[key_id]

    def __getitem__(self, key_id: str) -> PublicKey:
        return self._keys[key_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"TrustStore({dict(self._origins)!r})"


def _key_files(directory: Path) -> list[Path]:
    try:
        return sorted(p for p in directory.iterdir() if p.name.endswith(".pub") and not p.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise KeyFileError(f"{directory}: {error.strerror}") from error
