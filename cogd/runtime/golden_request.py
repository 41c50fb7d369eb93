"""What a golden check in a child process is asked and answers: the bytes between parent and child."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, Final

import msgspec

from cogd.bundle.archive import read_archive, write_archive
from cogd.bundle.keys import PublicKey
from cogd.bundle.record import VariantProof
from cogd.bundle.trust import TrustStore
from cogd.bundle.verify import verify_bundle
from cogd.errors import BundleError, CogdError, DigestError, ModelError, PluginError
from cogd.plugins import load_plugin
from cogd.runtime.guard import plugin_border
from cogd.runtime.loader import LoadLimits

if TYPE_CHECKING:
    from cogd.bundle.verify import VerifiedBundle

MAX_ANSWER_BYTES: Final = 1 << 20

_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

_MAX_TEXT: Final = 4000
"""Characters of an error's message that are kept."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be checked; the archive of the bundle follows.

    Attributes:
        digest: of the bundle that the parent has verified.
        keys: hexadecimal public keys that signed it, which the parent trusts.
        timed: whether every variant is loaded and measured, as at an installation, or only the first that works.
        limits: what it may take.
    """

    digest: str
    keys: list[str]
    timed: bool
    limits: LoadLimits


class Checked(msgspec.Struct, frozen=True, kw_only=True, tag="checked"):
    """An app that has reproduced its golden pair.

    Attributes:
        backend: what the daemon would run it with.
        golden_error: largest difference from the golden pair's output.
        golden_tolerance: the largest that is allowed.
        golden_ms: how long the model took for the golden input.
        proofs: of each variant that this device would use; empty where nothing was to be timed.
    """

    backend: str
    golden_error: float
    golden_tolerance: float
    golden_ms: float | None
    proofs: list[VariantProof] = []


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """An app that is rejected: the error, in parts."""

    code: str
    message: str
    hint: str


Answer = Checked | Refused


def seal(bundle: VerifiedBundle, trust: TrustStore, *, timed: bool, limits: LoadLimits) -> int:
    """A descriptor of a memory file with the request; nobody can change it any more, nor name it.

    Raises:
        OSError: there is no memory for it.
    """
    keys = [trust[key_id].raw.hex() for key_id in bundle.key_ids]
    request = Request(digest=bundle.digest, keys=keys, timed=timed, limits=limits)
    fd = os.memfd_create("cogd-golden-check", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for part in (msgspec.json.encode(request) + b"\n", write_archive(bundle.members())):
            rest = memoryview(part)
            while rest:
                rest = rest[os.write(fd, rest) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read(fd: int) -> tuple[Request, VerifiedBundle]:
    """The request and its bundle, whose signatures and digests are verified once more.

    Raises:
        BundleError: it is not the bundle that the parent has verified.
    """
    with open(fd, "rb") as file:
        file.seek(0)
        request = msgspec.json.decode(file.readline(), type=Request)
        files = read_archive(file.read())
    bundle = verify_bundle(files, TrustStore.of(*(PublicKey(bytes.fromhex(key)) for key in request.keys)))
    if bundle.digest != request.digest:
        raise DigestError("the bundle to check is not the one that was verified")
    return request, bundle


def import_all(bundle: VerifiedBundle) -> None:
    """Import what the check of a bundle needs, so that it does not count as the app's time."""
    from cogd.runtime import app, proof  # noqa: F401, PLC0415

    for variant in bundle.manifest.variants:
        with contextlib.suppress(PluginError):  # the check says so
            load_plugin("cogd.backends", variant.backend)


def answer(request: Request, bundle: VerifiedBundle) -> bytes:
    """Check a bundle; what came of it as one line."""
    from cogd.runtime.app import load_app  # noqa: PLC0415
    from cogd.runtime.proof import prove  # noqa: PLC0415

    app_id = bundle.manifest.id
    result: Answer
    try:
        with plugin_border(app_id, "the golden check"):
            app = load_app(bundle)
            result = Checked(
                backend=app.backend,
                golden_error=app.golden_error,
                golden_tolerance=app.golden_tolerance,
                golden_ms=app.golden_ms,
                proofs=prove(bundle) if request.timed else [],
            )
    except CogdError as error:
        result = Refused(code=error.code, message=str(error)[:_MAX_TEXT], hint=error.hint[:_MAX_TEXT])
    return msgspec.json.encode(result) + b"\n"


def parse(app_id: str, line: bytes) -> Checked:
    """What a line of a child says. The child has run a model: nothing in it is taken on trust but its form.

    Raises:
        ModelError: it is no answer.
        CogdError: what the child refuses the app with.
    """
    try:
        result = msgspec.json.decode(line, type=Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelError(f"{app_id}: the golden check gave no answer: {str(error)[:200]}") from error
    if isinstance(result, Refused):
        raise _KINDS.get(result.code, ModelError)(result.message, hint=result.hint)
    return result


def _kinds(kind: type[CogdError]) -> dict[str, type[CogdError]]:
    found = {kind.code: kind}
    for each in kind.__subclasses__():
        found |= _kinds(each)
    return found


_KINDS: Final = _kinds(BundleError) | _kinds(PluginError)
