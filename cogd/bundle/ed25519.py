"""Is an Ed25519 signature right? libsodium says it, the one that PyNaCl brings.

It is called without PyNaCl's own layer where that can be: importing `nacl.bindings` takes as long as a fifth of
`cogd health` may take. Both call the same function of the same library.
"""

from __future__ import annotations

import ctypes
import os

import nacl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


def verifies(signature: bytes, message: bytes, public_key: bytes) -> bool:
    """Whether `signature` (64 bytes) is that of `public_key` (32 bytes) over `message`.

    libsodium refuses keys of small order and signatures that are not canonical, so no one else can turn a valid
    signature into another valid one.
    """
    if len(signature) != SIGNATURE_BYTES or len(public_key) != KEY_BYTES:
        return False
    if _direct is not None:
        return _direct(signature, message, len(message), public_key) == 0
    return _by_bindings(signature, message, public_key)


def _by_bindings(signature: bytes, message: bytes, public_key: bytes) -> bool:
    from nacl import bindings  # noqa: PLC0415  # dear, and mostly not needed
    from nacl.exceptions import BadSignatureError  # noqa: PLC0415

    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True


def _find(folders: list[str]) -> Callable[[bytes, bytes, int, bytes], int] | None:
    """`crypto_sign_ed25519_verify_detached(sig, m, mlen, pk)` of libsodium's crypto_sign_ed25519.h; 0: it is right."""
    for folder in folders:
        for name in sorted(os.listdir(folder)):
            if name.startswith("_sodium.") and name.endswith(".so"):
                try:
                    library = ctypes.CDLL(os.path.join(folder, name))
                    function = library.crypto_sign_ed25519_verify_detached
                    ready: int = library.sodium_init()  # 1: it was already
                except (OSError, AttributeError):  # not loadable by itself, or its symbols are hidden
                    continue
                if ready < 0:
                    continue
                function.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulonglong, ctypes.c_char_p)
                function.restype = ctypes.c_int
                return function
    return None


_direct = _find([*nacl.__path__])
