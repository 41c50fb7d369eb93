"""Decoded tracks on the disk, to be memory-mapped: for data that take long to decode.

A track lies in a folder of its own, `<key>/amplitude.npy` and so on, made beside it and moved into place as a whole.
The key is a digest over what the track was decoded from and over the code that did it, so an entry never grows old;
old ones may be deleted at any time.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from cogd.errors import TrainError
from cogd.train.data import files
from cogd.train.data.track import Track

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class _Rest(msgspec.Struct):
    """What is no array."""

    kinds: tuple[str, ...]
    left_out: dict[str, int]
    arrays: tuple[str, ...]


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/cogd/tracks`, by default `~/.cache/cogd/tracks`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cogd" / "tracks"


def chosen_folder(option: str | None, default: Path | None) -> Path | None:
    """The folder that an option `cache` means: a path, `on`, `off`; without one the kind's default."""
    if option is None:
        return default
    return {"on": default_folder(), "off": None}.get(option, Path(option))


def key_of(sources: Iterable[Path], *what: str) -> str:
    """A key over the contents of code and data files, and over what else decides about the result."""
    digest = hashlib.sha256()
    for path in sources:
        try:
            with path.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
        except OSError as error:
            raise TrainError(f"{path} can't be read: {error.strerror}", hint=files.REMEDY) from error
    digest.update("\0".join(what).encode())
    return digest.hexdigest()


def fetch(folder: Path, key: str) -> Track | None:
    """The track of a key, memory-mapped; None where there is none.

    Raises:
        TrainError: there is one, and it is broken.
    """
    entry = folder / key
    if not entry.is_dir():
        return None
    try:
        rest = msgspec.json.decode((entry / "rest.json").read_bytes(), type=_Rest)
        arrays: dict[str, NDArray[np.generic]] = {
            name: files.npy_array(entry / f"{name}.npy", mapped=True) for name in rest.arrays
        }
    except (OSError, msgspec.DecodeError, TrainError) as error:
        raise TrainError(f"the cached track {entry} is broken: {error}", hint="delete that folder") from error
    return Track(kinds=rest.kinds, left_out=rest.left_out, **arrays)  # type: ignore[arg-type]


def store(folder: Path, key: str, track: Track) -> None:
    """Put a track into the cache, whole or not at all.

    Raises:
        TrainError: the folder can't be written.
    """
    arrays = {name: getattr(track, name) for name in Track.COLUMNS if getattr(track, name) is not None}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
        try:
            for name, array in arrays.items():
                np.save(making / f"{name}.npy", array, allow_pickle=False)
            rest = _Rest(track.kinds, dict(track.left_out), tuple(arrays))
            (making / "rest.json").write_bytes(msgspec.json.encode(rest))
            _move(making, folder / key)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    except OSError as error:
        raise TrainError(
            f"the cache {folder} can't be written: {error.strerror}", hint="?cache=DIR for another, ?cache=off for none"
        ) from error


def _move(making: Path, entry: Path) -> None:
    try:
        making.rename(entry)
    except OSError as error:
        if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
            raise
        # Another process was faster; what it made is the same.
