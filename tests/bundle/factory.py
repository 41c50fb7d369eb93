"""Small valid bundles for tests, and the parts to make invalid ones of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cogd.bundle import dsse
from cogd.bundle.archive import read_archive, write_archive
from cogd.bundle.keys import PrivateKey
from cogd.bundle.manifest import (
    DataSource,
    Golden,
    InputSpec,
    Manifest,
    Metric,
    OutputSpec,
    Provenance,
    Requires,
    Tensor,
    Variant,
    encode_manifest,
)
from cogd.bundle.revocation import Revocation
from cogd.bundle.rotation import Rotation, make_rotation, read_rotation
from cogd.bundle.trust import TrustStore
from cogd.bundle.verify import VerifiedBundle, pack, verify_bundle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

KEY = PrivateKey(bytes(range(32)))
OTHER_KEY = PrivateKey(bytes(range(32, 64)))
THIRD_KEY = PrivateKey(bytes(range(64, 96)))

FILES: dict[str, bytes] = {
    "MODEL_CARD.md": b"# A dummy\n",
    "golden.safetensors": b"golden",
    "model.onnx": b"not a model",
    "normaliser.safetensors": b"",
}


def trust(
    *keys: PrivateKey,
    revoked: Iterable[PrivateKey] = (),
    rotated: Iterable[tuple[PrivateKey, PrivateKey]] = (),
    threshold: int = 1,
) -> TrustStore:
    """A trust store of the public halves of `keys`, of `KEY` when there are none."""
    folder = Path("/etc/cogd/trust.d")
    return TrustStore(
        ((key.public, folder / f"{n}.pub") for n, key in enumerate(keys or (KEY,))),
        revocations=((revocation(key), folder / f"{n}.revoked") for n, key in enumerate(revoked)),
        rotations=((rotation(*pair), folder / f"{n}.rotation.json") for n, pair in enumerate(rotated)),
        threshold=threshold,
    )


def revocation(key: PrivateKey, reason: str = "stolen") -> Revocation:
    """That `key` was revoked."""
    return Revocation(key_id=key.public.key_id, reason=reason, revoked_at="2026-01-02T03:04:05Z")


def rotation(old: PrivateKey, new: PrivateKey) -> Rotation:
    """That `new` took the place of `old`."""
    return read_rotation(make_rotation(old, new, "2026-01-02T03:04:05Z"))


def make_manifest(**changes: object) -> Manifest:
    """A valid manifest for `FILES`, but that its `files` is empty, which `pack` fills; with fields replaced."""
    manifest = Manifest(
        format="cogd.bundle/1",
        id="person-count",
        version="1.2.3",
        created="2026-01-02T03:04:05Z",
        requires=Requires(cogd=">=0.1.0", features=[]),
        head="count",
        input=InputSpec(
            layout="subcarrier_major",
            tones="ht56",
            subcarriers=56,
            frames=20,
            rate_hz=25.0,
            min_gap_s=0.01,
            max_gap_s=0.2,
            gain="window_rms",
            normaliser="normaliser.safetensors",
        ),
        output=OutputSpec(
            tensors=[Tensor(name="logits", shape=[3])],
            labels=["0", "1", "2"],
            trained_classes=[0, 1],
            confidence="none",
            calibration=None,
            confidence_note="",
        ),
        variants=[Variant(backend="ort", file="model.onnx", precision="fp32", targets=["cpu"])],
        golden=Golden(file="golden.safetensors", tolerance={"fp32": 1e-4}),
        files=[],
        provenance=Provenance(
            trainer="cogd-train 0.1.0",
            data=[DataSource(name="simulated", sha256=None, licence="CC0-1.0")],
            metrics=[
                Metric(
                    name="accuracy",
                    definition="share of windows with the right count",
                    split="held-out rooms",
                    value=0.75,
                    baseline_name="always 1",
                    baseline_value=0.5,
                    n=1000,
                )
            ],
            limits=["at most two persons"],
        ),
    )
    return msgspec.structs.replace(manifest, **changes)


@dataclass(frozen=True)
class Made:
    """A packed bundle: the archive's bytes, and the keys that signed it."""

    archive: bytes
    keys: tuple[PrivateKey, ...]

    @property
    def trust(self) -> TrustStore:
        return trust(*self.keys)

    @property
    def members(self) -> dict[str, bytes]:
        return read_archive(self.archive)

    def verified(self) -> VerifiedBundle:
        return verify_bundle(self.members, self.trust)

    def save(self, path: Path) -> Path:
        """Write the archive to the file `path`."""
        path.write_bytes(self.archive)
        return path

    def unpack(self, directory: Path) -> Path:
        """Write the files into the new directory `directory`, as an installation does."""
        directory.mkdir(parents=True)
        for name, data in self.members.items():
            (directory / name).write_bytes(data)
        return directory


def make_bundle(files: Mapping[str, bytes] = FILES, *, keys: Sequence[PrivateKey] = (KEY,), **changes: object) -> Made:
    """A small valid bundle of dummy files, signed by `keys`; `changes` replace fields of the manifest."""
    return Made(pack(make_manifest(**changes), files, keys), tuple(keys))


def manifest_json() -> dict[str, object]:
    """The JSON object of a valid manifest, with its files, to be broken."""
    return json.loads(make_bundle().members["bundle.json"])


def sign_anything(manifest: bytes, files: Mapping[str, bytes] = FILES) -> dict[str, bytes]:
    """Members with a valid signature by `KEY` over whatever `manifest` is."""
    return {"bundle.json": manifest, "bundle.dsse.json": dsse.sign(manifest, [KEY]), **files}


def archive_of(manifest: Manifest, files: Mapping[str, bytes] = FILES) -> bytes:
    """An archive signed by `KEY` whose manifest nothing checked."""
    return write_archive(sign_anything(encode_manifest(manifest), files))
