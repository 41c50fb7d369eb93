"""Installed apps for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogd.bundle.changes import changing
from cogd.bundle.policy import judge
from cogd.bundle.record import Record, VariantProof
from cogd.bundle.store import Store

from .factory import Made, make_bundle, trust

if TYPE_CHECKING:
    from pathlib import Path

    from cogd.bundle.policy import Verdict
    from cogd.bundle.trust import TrustStore

PROOF = VariantProof(
    backend="ort",
    file="model.onnx",
    precision="fp32",
    golden_error=1e-7,
    golden_tolerance=1e-4,
    latency_p50_ms=0.05,
    latency_p90_ms=0.06,
    runs=100,
)


def record_of(made: Made, verdict: Verdict | None = None, installed_at: int = 1_700_000_000) -> Record:
    """The record of a bundle, as an installation writes it."""
    bundle = made.verified()
    key_ids = list(verdict.key_ids) if verdict is not None else list(bundle.key_ids)
    return Record(
        id=bundle.manifest.id,
        version=bundle.manifest.version,
        digest=bundle.digest,
        key_ids=key_ids,
        pinned=list(verdict.pinned) if verdict is not None else key_ids,
        installed_at=installed_at,
        previous=None,
        proofs=[PROOF],
    )


def install(
    apps: Path, made: Made, trusted: TrustStore | None = None, *, allow_downgrade: bool = False
) -> tuple[Store, Verdict]:
    """Install without proof: judge, and put into place."""
    store, bundle = Store(apps), made.verified()
    with changing(store, 0) as changes:
        app = bundle.manifest.id
        verdict = judge(
            bundle, store.installed(app), store.memory(app), trusted or made.trust, allow_downgrade=allow_downgrade
        )
        changes.install(bundle, record_of(made, verdict))
    return store, verdict


def installed(apps: Path, made: Made | None = None) -> Path:
    """An app's folder with one version."""
    made = made or make_bundle()
    install(apps, made, trust(*made.keys))
    return apps / made.verified().manifest.id
