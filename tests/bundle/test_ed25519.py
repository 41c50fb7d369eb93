"""libsodium called directly and through PyNaCl's layer: one verdict."""

import nacl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.bundle import ed25519
from cogd.bundle.keys import PrivateKey

KEY = PrivateKey(bytes(range(32)))
MESSAGE = b"a message"
SIGNATURE = KEY.sign(MESSAGE)
ORDER = 2**252 + 27742317777372353535851937790883648493
"""L of RFC 8032."""

# Points of order 1, 2, 4 and 8 (https://eprint.iacr.org/2020/1244, table 6a), and a y that is not below 2**255 - 19.
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def both(signature: bytes, message: bytes, key: bytes) -> bool:
    direct = ed25519._find([*nacl.__path__])
    assert direct is not None
    said = direct(signature, message, len(message), key) == 0
    assert ed25519._by_bindings(signature, message, key) is said
    assert ed25519.verifies(signature, message, key) is said
    return said


def test_a_right_signature_is_right():
    assert both(SIGNATURE, MESSAGE, KEY.public.raw)
    assert both(KEY.sign(b""), b"", KEY.public.raw)
    assert both(KEY.sign(b"\0a\0"), b"\0a\0", KEY.public.raw)


@given(st.integers(0, 511))
def test_with_any_bit_changed_it_is_wrong(bit):
    changed = bytearray(SIGNATURE)
    changed[bit // 8] ^= 1 << bit % 8
    assert not both(bytes(changed), MESSAGE, KEY.public.raw)


def test_of_another_message_or_key_it_is_wrong():
    assert not both(SIGNATURE, MESSAGE + b"\0", KEY.public.raw)
    assert not both(SIGNATURE, MESSAGE, PrivateKey(bytes(32)).public.raw)


def test_s_that_is_not_canonical_is_wrong():
    s = int.from_bytes(SIGNATURE[32:], "little") + ORDER
    assert not both(SIGNATURE[:32] + s.to_bytes(32, "little"), MESSAGE, KEY.public.raw)


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_keys_and_points_of_small_order_are_refused(point):
    weak = bytes.fromhex(point)
    for first in (weak, bytes.fromhex(SMALL_ORDER[0])):
        assert not both(first + bytes(32), MESSAGE, weak)
    assert not both(weak + SIGNATURE[32:], MESSAGE, KEY.public.raw)


@pytest.mark.parametrize(("signature", "key"), [(SIGNATURE[:63], 32), (SIGNATURE + b"\0", 32), (SIGNATURE, 31)])
def test_what_has_another_size_is_wrong_and_is_not_handed_to_c(signature, key):
    assert not ed25519.verifies(signature, MESSAGE, KEY.public.raw[:key])


def test_without_the_librarys_symbol_the_bindings_judge(monkeypatch):
    monkeypatch.setattr(ed25519, "_direct", None)
    assert ed25519.verifies(SIGNATURE, MESSAGE, KEY.public.raw)
    assert not ed25519.verifies(SIGNATURE, MESSAGE + b".", KEY.public.raw)


class Library:
    """libsodium that can't be used: it fails to start."""

    def __init__(self, path):
        self.sodium_init = lambda: -1
        self.crypto_sign_ed25519_verify_detached = None


def test_a_library_that_cannot_be_used_is_none(tmp_path, monkeypatch):
    assert ed25519._find([str(tmp_path)]) is None
    (tmp_path / "_sodium.abi3.so").write_bytes(b"no library")
    (tmp_path / "other.so").write_bytes(b"")
    assert ed25519._find([str(tmp_path)]) is None
    monkeypatch.setattr(ed25519.ctypes, "CDLL", Library)
    assert ed25519._find([str(tmp_path)]) is None
