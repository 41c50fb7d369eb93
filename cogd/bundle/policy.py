"""Whether a verified bundle may take the place of what is installed. Pure: it reads and changes nothing.

Against attacks on updates as The Update Framework lists them (theupdateframework.io, "Security"): arbitrary
installation by another publisher (pins), rollback and fast-forward (a ratchet for each key, of which those in use
count, so that a leaked key's 99.0.0 does not bind its successor), freeze (expiry).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cogd.bundle.record import Seen, remember
from cogd.bundle.semver import precedence
from cogd.errors import DowngradeError, PinnedKeyError, RevokedKeyError, SameVersionError, ThresholdError

if TYPE_CHECKING:
    from cogd.bundle.record import Memory, Record
    from cogd.bundle.trust import TrustStore
    from cogd.bundle.verify import VerifiedBundle

Change = Literal["first", "upgrade", "same", "downgrade"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The bundle may be installed.

    Attributes:
        change: what it is to what is installed; `same` is the very same bundle.
        key_ids: the keys that count for it, sorted.
        pinned: the keys that may sign the app from now on, sorted.
        older_than: a higher version that was there before, where it was let pass on purpose.
    """

    change: Change
    key_ids: tuple[str, ...]
    pinned: tuple[str, ...]
    older_than: str | None = None


def judge(
    bundle: VerifiedBundle,
    installed: Record | None,
    memory: Memory | None,
    trust: TrustStore,
    *,
    allow_downgrade: bool = False,
) -> Verdict:
    """Whether `bundle` may be installed.

    Args:
        bundle: what is to be installed.
        installed: the version of the app that is installed, if any.
        memory: what is remembered of the app, if anything; `installed` is taken to be remembered.
        trust: the keys as they stand now; it has verified the bundle.
        allow_downgrade: let an older version pass. The ratchet does not go down by it.

    Raises:
        RevokedKeyError: only keys that have been replaced signed it.
        ThresholdError: without those too few are left.
        PinnedKeyError: none of the app's own keys signed it.
        SameVersionError: another bundle with this version was there before.
        DowngradeError: it is older than what was there before.
    """
    if installed is not None:
        memory = remember(memory, installed)
    signers = _present_signers(bundle, trust)
    pinned = _check_pins(bundle, signers, memory, trust)
    _check_same_version(bundle, installed, memory)
    change = _change(bundle, installed)
    # What is installed may be repaired, after a rollback too.
    older_than = _higher_before(bundle, installed, memory, trust) if change != "same" else None
    if older_than is not None and not allow_downgrade:
        raise DowngradeError(
            f"{_name(bundle)}: {older_than} was installed before",
            hint=f"to go back on purpose: `cogd rollback {bundle.manifest.id}`, or install with --allow-downgrade",
        )
    return Verdict(change, tuple(sorted(signers)), tuple(sorted(pinned)), older_than)


def _present_signers(bundle: VerifiedBundle, trust: TrustStore) -> frozenset[str]:
    signers = trust.current(bundle.key_ids)
    if not signers:
        replaced = ", ".join(f"{key_id} by {trust.retired[key_id]}" for key_id in bundle.key_ids)
        raise RevokedKeyError(f"{_name(bundle)}: its keys have been replaced: {replaced}")
    if len(signers) < trust.threshold:
        raise ThresholdError(f"{_name(bundle)}: signed by {len(signers)} present keys, {trust.threshold} are needed")
    return signers


def _check_pins(
    bundle: VerifiedBundle, signers: frozenset[str], memory: Memory | None, trust: TrustStore
) -> frozenset[str]:
    """The keys that are pinned from now on."""
    if memory is None:
        return signers
    pinned = trust.successors(memory.pinned)
    if not signers & pinned:
        raise PinnedKeyError(
            f"{_name(bundle)}: signed by {', '.join(sorted(signers))}; this app's keys are {', '.join(sorted(pinned))}",
            hint=f"if the app has changed hands: `cogd remove --forget {bundle.manifest.id}`, then install again",
        )
    return pinned


def _check_same_version(bundle: VerifiedBundle, installed: Record | None, memory: Memory | None) -> None:
    for before in [*(memory.seen if memory is not None else ()), *_seen(installed)]:
        if before.version == bundle.manifest.version and before.digest != bundle.digest:
            raise SameVersionError(f"{_name(bundle)}: it is {bundle.digest}, but {before.digest} was installed before")


def _higher_before(
    bundle: VerifiedBundle, installed: Record | None, memory: Memory | None, trust: TrustStore
) -> str | None:
    """The highest version that was there before and binds this bundle, if it is higher."""
    # What keys signed that are no longer in use does not bind: a thief of the old key may have signed it.
    highest_by_key = memory.highest if memory is not None else {}
    before = [highest_by_key[key_id] for key_id in trust.current(highest_by_key)]
    if installed is not None and trust.current(installed.key_ids):
        before += _seen(installed)
    highest = max((seen.version for seen in before), key=precedence, default=bundle.manifest.version)
    return highest if precedence(bundle.manifest.version) < precedence(highest) else None


def _change(bundle: VerifiedBundle, installed: Record | None) -> Change:
    if installed is None:
        return "first"
    if installed.digest == bundle.digest:
        return "same"
    return "downgrade" if precedence(bundle.manifest.version) < precedence(installed.version) else "upgrade"


def _seen(installed: Record | None) -> list[Seen]:
    return [Seen(version=installed.version, digest=installed.digest)] if installed is not None else []


def _name(bundle: VerifiedBundle) -> str:
    return f"{bundle.manifest.id} {bundle.manifest.version}"
