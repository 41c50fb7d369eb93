"""Keys, their files, and two other implementations that read them."""

import os
import subprocess
from hashlib import sha256

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from cogd.bundle import keys
from cogd.bundle.keys import PrivateKey, PublicKey
from cogd.errors import KeyFileError

from .factory import KEY

RAW = serialization.Encoding.Raw, serialization.PublicFormat.Raw
SPKI = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()

# RFC 8032, section 7.1, test 2.
RFC_SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
RFC_PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
RFC_SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.fixture
def private_path(tmp_path):
    path = tmp_path / "key.pem"
    keys.save_private(path, KEY)
    return path


def test_rfc_vector():
    key = PrivateKey(RFC_SEED)
    assert key.public.raw == RFC_PUBLIC
    assert key.sign(b"\x72") == RFC_SIGNATURE
    assert key.public.verifies(b"\x72", RFC_SIGNATURE)
    assert not key.public.verifies(b"\x73", RFC_SIGNATURE)


def test_signatures_are_not_malleable():
    shifted = int.from_bytes(RFC_SIGNATURE[32:], "little") + GROUP_ORDER
    assert not PublicKey(RFC_PUBLIC).verifies(b"\x72", RFC_SIGNATURE[:32] + shifted.to_bytes(32, "little"))
    for signature in (b"", RFC_SIGNATURE[:63], RFC_SIGNATURE + b"\0"):
        assert not PublicKey(RFC_PUBLIC).verifies(b"\x72", signature)


def test_a_key_of_small_order_verifies_nothing():
    identity = b"\x01" + bytes(31)
    assert not PublicKey(identity).verifies(b"anything", identity + bytes(32))


@pytest.mark.parametrize("raw", [b"", bytes(31), bytes(33)])
def test_length(raw):
    for kind in (PublicKey, PrivateKey):
        with pytest.raises(ValueError, match="has 32 bytes"):
            kind(raw)


def test_secret_is_not_shown():
    secret = bytes(range(32))
    for text in (repr(KEY), str(KEY), f"{KEY}", repr([KEY])):
        assert KEY.public.key_id in text
        assert secret.hex() not in text
        assert repr(secret) not in text


def test_generate():
    assert keys.generate().public != keys.generate().public


def test_round_trip(tmp_path, private_path):
    assert keys.load_private(private_path).public == KEY.public
    keys.save_public(tmp_path / "key.pub", KEY.public)
    assert keys.load_public(tmp_path / "key.pub") == KEY.public


def test_new_files_have_these_modes_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        keys.save_private(tmp_path / "a", KEY)
        os.umask(0o077)
        keys.save_public(tmp_path / "b", KEY.public)
    finally:
        os.umask(old)
    assert [(tmp_path / name).stat().st_mode & 0o7777 for name in "ab"] == [0o600, 0o644]


def test_nothing_is_overwritten(tmp_path, private_path):
    before = private_path.read_bytes()
    with pytest.raises(KeyFileError, match=r"key\.pem: exists"):
        keys.save_private(private_path, keys.generate())
    with pytest.raises(KeyFileError, match=r"key\.pem: exists"):
        keys.save_public(private_path, KEY.public)
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError, match="exists"):
        keys.save_private(tmp_path / "dangling", KEY)
    assert private_path.read_bytes() == before
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(KeyFileError, match="No such"):
        keys.save_private(tmp_path / "missing" / "key", KEY)


def test_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cogd.bundle.keys.os.fsync", fail)
    with pytest.raises(KeyFileError, match="No space"):
        keys.save_private(tmp_path / "key.pem", KEY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_a_public_key_in_the_place_of_a_private_one_is_called_so(tmp_path, mode):
    path = tmp_path / "key.pub"
    keys.save_public(path, KEY.public)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="this is a public key, and only a secret one signs") as error:
        keys.load_private(path)
    assert "chmod" not in error.value.hint


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_private_key_open_to_others(private_path, mode):
    private_path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"mode 0{mode:o}") as error:
        keys.load_private(private_path)
    assert error.value.hint == f"chmod 600 {private_path}"


def test_private_key_behind_a_link(tmp_path, private_path):
    (tmp_path / "link").symlink_to(private_path)
    with pytest.raises(KeyFileError, match="link: is a symbolic link"):
        keys.load_private(tmp_path / "link")


def test_public_key_may_be_a_link(tmp_path):
    keys.save_public(tmp_path / "key.pub", KEY.public)
    (tmp_path / "link.pub").symlink_to("key.pub")
    assert keys.load_public(tmp_path / "link.pub") == KEY.public


def test_windows_line_ends(tmp_path):
    (tmp_path / "a").write_bytes(KEY.public.to_pem().replace("\n", "\r\n").encode())
    assert keys.load_public(tmp_path / "a") == KEY.public


PEM = KEY.public.to_pem()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        KEY.to_pem(),
        PEM + PEM,
        PEM.replace("MCow", "MCox"),
        PEM.replace("MCow", "MCo"),
        PEM.replace("MCow", "MC w"),
        PEM.replace("MCow", "M!Cow"),
        PEM.replace("MCow", "MCöw"),
        PEM.replace("PUBLIC", "RSA PUBLIC"),
        "# comment\n" + PEM,
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
        PEM + "x" * 5000,
    ],
)
def test_malformed(tmp_path, text):
    path = tmp_path / "bad.pub"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=r"bad\.pub: "):
        keys.load_public(path)
    if text != KEY.to_pem():
        with pytest.raises(KeyFileError, match=r"bad\.pub: "):
            keys.load_private(path)


@pytest.mark.parametrize("label", ["PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY", "RSA PRIVATE KEY"])
def test_a_private_key_in_the_place_of_a_public_one_is_called_so(tmp_path, label):
    path = tmp_path / "key.pub"
    path.write_text(f"-----BEGIN {label}-----\nc2VjcmV0\n-----END {label}-----\n")
    with pytest.raises(KeyFileError, match=r"key\.pub: is a private key$") as error:
        keys.load_public(path)
    assert "public" in error.value.hint
    assert "c2VjcmV0" not in str(error.value)


@given(st.binary(max_size=200))
def test_garbage(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "garbage"
    path.write_bytes(data)
    path.chmod(0o600)
    for load in (keys.load_public, keys.load_private):
        with pytest.raises(KeyFileError):
            load(path)


def test_cryptography_reads_ours(private_path):
    private = serialization.load_pem_private_key(private_path.read_bytes(), None)
    public = serialization.load_pem_public_key(KEY.public.to_pem().encode())
    assert private.public_key().public_bytes(*RAW) == public.public_bytes(*RAW) == KEY.public.raw
    public.verify(KEY.sign(b"message"), b"message")
    with pytest.raises(InvalidSignature):
        public.verify(KEY.sign(b"message"), b"massage")
    assert private.sign(b"message") == KEY.sign(b"message")
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert sha256(spki).hexdigest() == KEY.public.key_id


def test_cryptography_writes_the_same():
    theirs = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    assert theirs.private_bytes(*PKCS8).decode() == KEY.to_pem()
    assert theirs.public_key().public_bytes(*SPKI).decode() == KEY.public.to_pem()


def test_openssl(tmp_path, private_path):
    def openssl(*args):
        return subprocess.run(["openssl", *args], cwd=tmp_path, capture_output=True, check=True).stdout

    assert openssl("pkey", "-in", "key.pem", "-pubout").decode() == KEY.public.to_pem()
    der = openssl("pkey", "-in", "key.pem", "-pubout", "-outform", "DER")
    assert sha256(der).hexdigest() == KEY.public.key_id

    openssl("genpkey", "-algorithm", "ed25519", "-out", "theirs.pem")
    openssl("pkey", "-in", "theirs.pem", "-pubout", "-out", "theirs.pub")
    (tmp_path / "theirs.pem").chmod(0o600)
    theirs = keys.load_private(tmp_path / "theirs.pem")
    assert keys.load_public(tmp_path / "theirs.pub") == theirs.public
    (tmp_path / "message").write_bytes(b"message")
    (tmp_path / "signature").write_bytes(theirs.sign(b"message"))
    verify = ("pkeyutl", "-verify", "-pubin", "-inkey", "theirs.pub", "-rawin")
    assert b"Success" in openssl(*verify, "-in", "message", "-sigfile", "signature")


def test_public_keys_are_values():
    same, other = PublicKey(KEY.public.raw), PublicKey(bytes(32))
    assert same == KEY.public != other
    assert len({same, KEY.public, other}) == 2
    assert same != KEY.public.raw
    assert repr(same) == f"PublicKey(key_id={same.key_id!r})"
    with pytest.raises(AttributeError):
        same.raw = bytes(32)
