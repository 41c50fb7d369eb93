"""Install an app, or go back: verify, judge, prove, and only then switch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cogd.bundle.appliance import read_config
from cogd.bundle.changes import changing
from cogd.bundle.load import load_bundle, load_folder
from cogd.bundle.manifest import check_expiry
from cogd.bundle.policy import judge
from cogd.bundle.record import Record
from cogd.errors import BundleError
from cogd.runtime.golden_process import prove_in_child
from cogd.runtime.loader import LIMITS, LoadLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from cogd.bundle.policy import Change, Verdict
    from cogd.bundle.record import VariantProof
    from cogd.bundle.store import Store
    from cogd.bundle.trust import TrustStore
    from cogd.bundle.verify import VerifiedBundle


@dataclass(frozen=True)
class Installation:
    """What an installation did, or, as a rehearsal, would do.

    Attributes:
        record: of the version; its `previous` is not set.
        change: what it is to the version before; `same` that has changed nothing: see `done`.
        previous_version: the version before, if there was one.
        done: False: a rehearsal, or the very same bundle is in place already and intact.
    """

    record: Record
    change: Change
    previous_version: str | None
    done: bool


def install(
    bundle: VerifiedBundle,
    store: Store,
    trust: TrustStore,
    *,
    now_unix_s: float,
    wait_s: float,
    allow_downgrade: bool = False,
    rehearse: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Installation:
    """Install a verified bundle.

    Args:
        bundle: what to install.
        store: where.
        trust: the keys that verified it.
        now_unix_s: the time.
        wait_s: how long to wait for another process that changes the same apps directory.
        allow_downgrade: let an older version pass.
        rehearse: do all but change anything.
        say: is told what is being done.

    Raises:
        CogdError: it is refused, or could not be done; then all is as it was.
    """
    app = bundle.manifest.id
    check_expiry(bundle.manifest, now_unix_s)
    read_config(store.layout.app(app))  # a bad one would keep the app from running
    before = store.installed(app)

    def judge_now() -> Verdict:
        return judge(bundle, store.installed(app), store.memory(app), trust, allow_downgrade=allow_downgrade)

    verdict = judge_now()
    say(f"proving {app} {bundle.manifest.version} on this device")
    record = _record(bundle, verdict, int(now_unix_s), prove_in_child(bundle, trust))
    done = not rehearse and not (verdict.change == "same" and _intact(bundle, store, trust))
    if done:
        with changing(store, wait_s) as changes:
            # Judged again, because another installation may have come first.
            before, verdict = store.installed(app), judge_now()
            record = _record(bundle, verdict, int(now_unix_s), record.proofs)
            say("switching")
            changes.install(bundle, record)
    elif not rehearse:
        with changing(store, wait_s):
            pass  # what put it in place may have been killed before that was durable, or before it had tidied up
    return Installation(record, verdict.change, before.version if before is not None else None, done)


def roll_back(
    app_id: str,
    store: Store,
    trust: TrustStore,
    *,
    wait_s: float,
    limits: LoadLimits = LIMITS,
    say: Callable[[str], None] = lambda _: None,
) -> Installation:
    """Go back to the version before, after it has been verified and proven again.

    The lock is held for the switch alone; a version that was checked before is checked anew if it changed meanwhile.

    Raises:
        CogdError: there is none, it is refused, or it could not be done; then all is as it was.
    """
    checked = None
    while True:
        folder = store.previous_folder(app_id)
        try:
            bundle = load_folder(folder, trust)
        except BundleError:
            if store.previous_folder(app_id) == folder:
                raise
            continue  # another change took it away while it was read
        if checked is None or checked.envelope_bytes != bundle.envelope_bytes:
            say(f"proving {app_id} {bundle.manifest.version} on this device")
            prove_in_child(bundle, trust, limits)
            checked = bundle
        with changing(store, wait_s) as changes:
            # Read again, because another change may have come first.
            if load_folder(store.previous_folder(app_id), trust).envelope_bytes != checked.envelope_bytes:
                continue
            folder, before = store.previous_folder(app_id), store.installed(app_id)
            record = store.record(app_id, folder.name)
            say("switching")
            changes.roll_back(app_id)
            return Installation(record, "downgrade", before.version if before is not None else None, done=True)


def _record(bundle: VerifiedBundle, verdict: Verdict, installed_at: int, proofs: list[VariantProof]) -> Record:
    return Record(
        id=bundle.manifest.id,
        version=bundle.manifest.version,
        digest=bundle.digest,
        key_ids=list(verdict.key_ids),
        pinned=list(verdict.pinned),
        installed_at=installed_at,
        previous=None,
        proofs=proofs,
        older_than=verdict.older_than,
    )


def _intact(bundle: VerifiedBundle, store: Store, trust: TrustStore) -> bool:
    """Whether the very same bundle is in place, down to its signatures."""
    try:
        return load_bundle(store.layout.app(bundle.manifest.id), trust).envelope_bytes == bundle.envelope_bytes
    except BundleError:
        return False
