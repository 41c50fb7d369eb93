"""What cogd writes about an app: the record of each installed version, and what it remembers of the app for good.

Neither is signed: they are as safe as the folder that they are in. What runs is decided by signatures alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from cogd.bundle.semver import MAX_LENGTH, SEMVER, precedence
from cogd.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

MAX_RECORD_BYTES: Final = 1 << 20
MAX_SEEN: Final = 256

_Semver = Annotated[str, Meta(pattern=rf"\A{SEMVER}\Z", max_length=MAX_LENGTH)]


class VariantProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That one variant was loaded on this device and gave the golden output.

    Attributes:
        backend: what ran it.
        file: the model file.
        precision: of the variant.
        golden_error: largest absolute difference from the expected output.
        golden_tolerance: the largest that the manifest allows.
        latency_p50_ms: median time of one inference of one window.
        latency_p90_ms: nine of ten inferences took no longer.
        runs: how many inferences were timed.
    """

    backend: str
    file: str
    precision: str
    golden_error: float
    golden_tolerance: float
    latency_p50_ms: float
    latency_p90_ms: float
    runs: int


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One installed version.

    Attributes:
        id: the app.
        version: its version.
        digest: of the bundle.
        key_ids: the keys in use that had signed it when it was installed, sorted.
        pinned: the keys that may sign the app, as they were known then, sorted.
        installed_at: unix seconds.
        previous: name of the version folder that a rollback goes back to, if it is still there.
        last_good: name of the version folder that a daemon goes back to while this one is on trial: the last that has
            proven itself, or that had no other before it.
        proofs: of each variant that this device would use; the first is the one that runs.
        older_than: a higher version that was there before, where an older one was let pass on purpose.
    """

    format: Literal["cogd.install/1"] = "cogd.install/1"
    id: str
    version: _Semver
    digest: str
    key_ids: list[str]
    pinned: list[str]
    installed_at: Annotated[int, Meta(ge=0)]
    previous: str | None
    last_good: str | None = None
    proofs: list[VariantProof]
    older_than: str | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version and the bundle that bore it."""

    version: _Semver
    digest: str


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What outlasts the versions of an app, and even its removal.

    Attributes:
        pinned: the keys that may sign it: those of the first installation and what they were rotated to.
        highest: the highest version that was installed, by the key that signed it.
        seen: the newest `MAX_SEEN` versions that were installed, in the order of their installation.
    """

    format: Literal["cogd.memory/1"] = "cogd.memory/1"
    pinned: list[str]
    highest: dict[str, Seen]
    seen: list[Seen] = []


def remember(memory: Memory | None, record: Record) -> Memory:
    """The memory after `record`'s version was installed: nothing is unlearnt, and nothing learnt twice."""
    seen = Seen(version=record.version, digest=record.digest)
    highest = dict(memory.highest) if memory is not None else {}
    for key_id in record.key_ids:
        before = highest.get(key_id)
        if before is None or precedence(before.version) < precedence(record.version):
            highest[key_id] = seen
    pinned = set(record.pinned) | set(memory.pinned if memory is not None else ())
    versions = memory.seen if memory is not None else []
    return Memory(
        pinned=sorted(pinned),
        highest=highest,
        seen=versions if seen in versions else [*versions, seen][-MAX_SEEN:],
    )


_Kind = TypeVar("_Kind", Record, Memory)


def encode(what: Record | Memory) -> bytes:
    """As JSON, indented by 2, with a final newline."""
    return msgspec.json.format(msgspec.json.encode(what, order="deterministic"), indent=2) + b"\n"


def parse(raw: bytes, kind: type[_Kind], path: Path) -> _Kind:
    """The record or memory in `raw`, which was read from `path`.

    Raises:
        StorageError: it is damaged.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        hint = "the disk may be failing; `cogd remove --forget ID`, then install the app again"
        raise StorageError(f"{path}: is damaged: {str(error)[:200]}", hint=hint) from error
