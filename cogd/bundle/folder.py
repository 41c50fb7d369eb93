"""An installed app's folder: where it leads, and the files in it. Judges nothing that it reads."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from cogd.bundle.layout import CURRENT, pointed_name
from cogd.bundle.regular import read_regular_file
from cogd.errors import BundleError, DigestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def app_names(directory: Path | str) -> list[str]:
    """The names of the folders of installed apps, in their order; other entries are somebody else's.

    Raises:
        BundleError: `directory` can't be listed.
    """
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BundleError(f"{directory}: {error.strerror}", hint="the apps directory must be readable") from error
    return [name for name in names if not name.startswith(".") and is_installed(os.path.join(directory, name))]


def is_installed(folder: Path | str) -> bool:
    """Whether an app's folder has a pointer, good or bad."""
    try:
        return stat.S_ISLNK(os.lstat(os.path.join(folder, CURRENT)).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # opening it says why, instead of hiding what may be an app


def pointer(folder: Path | str) -> str:
    """What an app's pointer holds: the folder of the installed version, relative to the app's.

    Raises:
        DigestError: it can't be read, or leads to no version.
    """
    path = os.path.join(folder, CURRENT)
    try:
        target = os.readlink(path)
    except OSError as error:
        raise DigestError(f"{path}: {error.strerror}") from error
    if pointed_name(target) is None:
        raise DigestError(f"{path}: leads to {target[:100]!r}, which is no version of the app")
    return target


@contextlib.contextmanager
def open_folder(path: Path | str) -> Iterator[int]:
    """A descriptor of a bundle's folder: whatever is renamed meanwhile, all files are read from the same one.

    Raises:
        DigestError: it can't be opened.
    """
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DigestError(f"{path}: {error.strerror}") from error
    try:
        yield directory
    finally:
        os.close(directory)


def read_present(directory: int, limits: Mapping[str, int]) -> dict[str, bytes]:
    """Of the files in `limits`, name to the most bytes, those that are there. No link is followed.

    Raises:
        DigestError: one can't be read, is no plain file or too large.
    """
    files: dict[str, bytes] = {}
    for name, limit in limits.items():
        try:
            files[name] = read_regular_file(name, limit=limit, dir_fd=directory).data
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise DigestError(f"{name}: {error.strerror}") from error
    return files
