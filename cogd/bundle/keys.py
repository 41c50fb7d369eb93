"""Ed25519 keys and their files.

Files are PEM (RFC 7468) around the DER of RFC 8410: SubjectPublicKeyInfo for public keys, PKCS#8 version 1 for
private ones. For Ed25519 both are a fixed prefix and 32 bytes. `openssl pkey` reads and writes the same files.
"""

from __future__ import annotations

import base64
import binascii
import os
from hashlib import sha256

from cogd.bundle import ed25519
from cogd.bundle.ed25519 import KEY_BYTES, SIGNATURE_BYTES
from cogd.bundle.regular import read_regular_file
from cogd.errors import KeyFileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Final

KEY_ID_PATTERN: Final = r"[0-9a-f]{64}"

_SPKI_PREFIX: Final = bytes.fromhex("302a300506032b6570032100")
_PKCS8_PREFIX: Final = bytes.fromhex("302e020100300506032b657004220420")
_PUBLIC_LABEL: Final = "PUBLIC KEY"
_PRIVATE_LABEL: Final = "PRIVATE KEY"
_PRIVATE_MARK: Final = b"PRIVATE KEY-----"  # of any kind of private key, encrypted ones too
MAX_KEY_FILE_BYTES: Final = 4096


class PublicKey:
    """An Ed25519 public key."""

    __slots__ = ("_key_id", "_raw")  # no dataclass: that module's import takes longer than a verification

    def __init__(self, raw: bytes) -> None:
        if len(raw) != KEY_BYTES:
            raise ValueError(f"an Ed25519 public key has {KEY_BYTES} bytes, not {len(raw)}")
        self._raw = raw
        self._key_id = sha256(_SPKI_PREFIX + raw).hexdigest()

    @property
    def raw(self) -> bytes:
        """Its 32 bytes."""
        return self._raw

    @property
    def key_id(self) -> str:
        """Lower-case hex SHA-256 of its DER, as `openssl pkey -pubin -outform DER | sha256sum` shows it."""
        return self._key_id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self._raw)

    def __repr__(self) -> str:
        return f"PublicKey(key_id={self._key_id!r})"

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` (64 bytes) is this key's over `message`."""
        return ed25519.verifies(signature, message, self._raw)

    def to_pem(self) -> str:
        """The key as a SubjectPublicKeyInfo PEM."""
        return _encode_pem(_PUBLIC_LABEL, _SPKI_PREFIX + self.raw)


class PrivateKey:
    """An Ed25519 private key. Neither `repr` nor `str` shows the secret.

    Attributes:
        public: its public key.
    """

    __slots__ = ("_seed", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_BYTES:
            raise ValueError(f"an Ed25519 private key has {KEY_BYTES} bytes, not {len(seed)}")
        from nacl import bindings  # noqa: PLC0415  # who only verifies does not wait for its import

        self._seed = bytes(seed)
        self.public = PublicKey(bindings.crypto_sign_seed_keypair(self._seed)[0])

    def __repr__(self) -> str:
        return f"PrivateKey(key_id={self.public.key_id!r})"

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of `message` (RFC 8032, deterministic)."""
        from nacl import bindings  # noqa: PLC0415

        return bindings.crypto_sign(message, self._seed + self.public.raw)[:SIGNATURE_BYTES]

    def to_pem(self) -> str:
        """The secret, as an unencrypted PKCS#8 PEM."""
        return _encode_pem(_PRIVATE_LABEL, _PKCS8_PREFIX + self._seed)


def generate() -> PrivateKey:
    """A new key from the system's random source."""
    return PrivateKey(os.urandom(KEY_BYTES))


def save_private(path: Path, key: PrivateKey) -> None:
    """Write `key` to the new file `path`, readable by its owner only.

    Raises:
        KeyFileError: the file exists, or can't be written.
    """
    write_new(path, key.to_pem(), mode=0o600)


def save_public(path: Path, key: PublicKey) -> None:
    """Write `key` to the new file `path`, readable by all.

    Raises:
        KeyFileError: the file exists, or can't be written.
    """
    write_new(path, key.to_pem(), mode=0o644)


def load_private(path: Path) -> PrivateKey:
    """Read a private key from a regular file that only its owner may read.

    Raises:
        KeyFileError: the file can't be read, is a symbolic link, is open to others, or holds no such key.
    """
    try:
        read = read_regular_file(path, limit=MAX_KEY_FILE_BYTES)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    if f"{_PUBLIC_LABEL}-----".encode() in read.data:
        raise KeyFileError(
            f"{path}: this is a public key, and only a secret one signs", hint="give the NAME.pem beside it"
        )
    if read.mode & 0o077:
        raise KeyFileError(f"{path}: others may use it (mode {read.mode:04o})", hint=f"chmod 600 {path}")
    return PrivateKey(_decode_pem(path, read.data, _PRIVATE_LABEL, _PKCS8_PREFIX))


def load_public(path: Path | str) -> PublicKey:
    """Read a public key; the file may be a symbolic link.

    Raises:
        KeyFileError: the file can't be read, or holds no Ed25519 public key.
    """
    try:
        data = read_regular_file(path, limit=MAX_KEY_FILE_BYTES, follow=True).data
    except FileNotFoundError as error:
        raise KeyFileError(f"{path}: {error.strerror}", hint="give the name of a public key that is there") from error
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    return parse_public(path, data)


def parse_public(path: Path | str, data: bytes) -> PublicKey:
    """The public key in `data`, which was read from `path`.

    Raises:
        KeyFileError: it is no Ed25519 public key.
    """
    if _PRIVATE_MARK in data:
        hint = "give the public key, NAME.pub; the private one stays with the publisher and never comes to a device"
        raise KeyFileError(f"{path}: is a private key", hint=hint)
    return PublicKey(_decode_pem(path, data, _PUBLIC_LABEL, _SPKI_PREFIX))


def write_new(path: Path, text: str, *, mode: int) -> None:
    """Write ASCII text to the new file `path`, durably.

    Raises:
        KeyFileError: the file exists, or can't be written; then nothing is left of it.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError as error:
        raise KeyFileError(f"{path}: exists already", hint="choose another name: keys are not overwritten") from error
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    try:
        with os.fdopen(fd, "w", encoding="ascii") as file:
            os.fchmod(fd, mode)  # exactly, whatever the umask
            file.write(text)
            file.flush()
            os.fsync(fd)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise KeyFileError(f"{path}: {error.strerror}") from error


def _encode_pem(label: str, der: bytes) -> str:
    # Both forms fit one 64-character line.
    return f"-----BEGIN {label}-----\n{base64.b64encode(der).decode()}\n-----END {label}-----\n"


def _decode_pem(path: Path | str, data: bytes, label: str, prefix: bytes) -> bytes:
    # One PEM block and nothing else; line endings may have been changed on the way.
    problem = f"{path}: is not an Ed25519 {label.lower()} in PEM form"
    lines = data.strip().splitlines()
    if len(lines) != 3 or (lines[0], lines[2]) != (
        f"-----BEGIN {label}-----".encode(),
        f"-----END {label}-----".encode(),
    ):
        raise KeyFileError(problem)
    try:
        der = base64.b64decode(lines[1], validate=True)
    except binascii.Error:
        raise KeyFileError(problem) from None  # never show what may be a secret
    if len(der) != len(prefix) + KEY_BYTES or not der.startswith(prefix):
        raise KeyFileError(problem)
    return der[len(prefix) :]
