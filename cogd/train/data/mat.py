"""Real numeric arrays of a MATLAB 5 file, as MATLAB's `save` (up to -v7) and SciPy's `savemat` write them.

Layout: "MAT-File Format", The MathWorks, chapter 1, level 5. `scipy.io.loadmat` reads all that there is in such
files, but ends the process by a segmentation fault on some broken ones; here every broken file is an error.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from cogd.errors import TrainError
from cogd.train.data.files import REMEDY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_HEADER_BYTES = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""NumPy's names of the data types that hold numbers (table 1-1)."""
_REAL_CLASSES = range(6, 16)
"""The array classes of numbers: double, single, and integers of 8 to 64 bits (table 1-3)."""
_COMPLEX = 0x0800
_MAX_BYTES = 64 << 20
"""The most that a compressed variable may grow to."""


def mat_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """The real numeric arrays of a file by their names; others are passed over.

    Raises:
        TrainError: the file is missing, broken, or of another version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TrainError(f"{path} can't be read: {error.strerror}", hint=REMEDY) from error
    try:
        return parse_mat(content)
    except ValueError as error:
        raise TrainError(f"{path} is broken: {error}", hint=REMEDY) from error


def parse_mat(content: bytes) -> dict[str, NDArray[np.generic]]:
    """The arrays of a file's bytes.

    Raises:
        ValueError: these are not the bytes of a whole file.
    """
    if not content:
        raise ValueError("it is empty")
    if content.startswith(b"\x89HDF") or content[512:516] == b"\x89HDF":
        raise ValueError("it is a MATLAB 7.3 file, which is HDF5; save it with -v7")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or struct.unpack_from(order + "H", content, 124)[0] != 0x0100:
        raise ValueError("its header is not that of a MATLAB 5 file")
    arrays: dict[str, NDArray[np.generic]] = {}
    for kind, data in _variables(content[_HEADER_BYTES:], order):
        named = _array(data, order) if kind == _MATRIX else None
        if named is not None:
            arrays[named[0]] = named[1]
    return arrays


def _variables(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    for kind, element in _elements(data, order):
        if kind == _COMPRESSED:
            yield from _elements(_decompress(element), order)
        else:
            yield kind, element


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Type and content of the elements that lie one behind the other."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("it ends within an element's tag")
        kind, size = struct.unpack_from(order + "II", data, at)
        begin = at + 8
        if kind >> 16:  # a small element: size and type in one word, the content in the other
            kind, size, begin = kind & 0xFFFF, kind >> 16, at + 4
            at += 8
        else:
            at = begin + size + (0 if kind == _COMPRESSED else -size % 8)
        if begin + size > len(data) or (begin == at - 4 and size > 4):
            raise ValueError("it ends within an element")
        yield kind, data[begin : begin + size]


def _decompress(data: bytes) -> bytes:
    reader = zlib.decompressobj()
    try:
        plain = reader.decompress(data, _MAX_BYTES)
    except zlib.error as error:
        raise ValueError(f"a compressed variable: {error}") from error
    if not reader.eof:
        raise ValueError("a compressed variable is cut off, or larger than 64 MiB")
    return plain


def _array(data: bytes, order: str) -> tuple[str, NDArray[np.generic]] | None:
    """Name and values of an array; None if it is of another kind than real numbers."""
    parts = list(_elements(data, order))
    if len(parts) < 3 or len(parts[0][1]) < 8 or len(parts[1][1]) % 4:
        raise ValueError("an array without flags, dimensions and name")
    (flags,) = struct.unpack_from(order + "I", parts[0][1])
    if flags & 0xFF not in _REAL_CLASSES or flags & _COMPLEX:
        return None
    shape = struct.unpack(f"{order}{len(parts[1][1]) // 4}i", parts[1][1])
    name = parts[2][1].decode("ascii", errors="replace")
    if len(parts) < 4 or parts[3][0] not in _NUMBERS or not 1 <= len(shape) <= 32 or min(shape) < 0:
        raise ValueError(f"the array {name!r} has no numbers, or a shape of {len(shape)} sides")
    kind = np.dtype(order + _NUMBERS[parts[3][0]])
    if math.prod(shape) * kind.itemsize != len(parts[3][1]):
        raise ValueError(f"the array {name!r} has {len(parts[3][1])} bytes for a shape of {list(shape)}")
    return name, np.frombuffer(parts[3][1], dtype=kind).reshape(shape, order="F")
