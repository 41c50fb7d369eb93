"""Array files of other people's making: read without pickle, and broken ones told by name."""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from cogd.errors import TrainError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

REMEDY = "fetch it again, or take it out of the data set"


def npz_arrays(path: Path, *names: str) -> list[NDArray[Any]]:
    """Arrays of an `.npz` by their names.

    Raises:
        TrainError: the file is missing or broken, or has no array of a name.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            missing = [name for name in names if name not in file]
            if missing:
                raise TrainError(f"{path} has no array {missing[0]!r}", hint=REMEDY)
            return [file[name] for name in names]
    except OSError as error:
        raise TrainError(f"{path} can't be read: {error.strerror or error}", hint=REMEDY) from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise TrainError(f"{path} is broken: {error}", hint=REMEDY) from error


def npy_array(path: Path, *, mapped: bool = False) -> NDArray[Any]:
    """The array of an `.npy`; memory-mapped, read-only, if asked.

    Raises:
        TrainError: the file is missing or broken.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        return array
    except OSError as error:
        raise TrainError(f"{path} can't be read: {error.strerror or error}", hint=REMEDY) from error
    except (ValueError, EOFError) as error:
        raise TrainError(f"{path} is broken: {error}", hint=REMEDY) from error
