"""The one door: whatever is done to a bundle, it does not get through."""

import copy
import dataclasses
import json
import pickle
from hashlib import sha256

import msgspec
import pytest

from cogd.bundle import dsse
from cogd.bundle.archive import read_archive, write_archive
from cogd.bundle.manifest import Requires
from cogd.bundle.trust import TrustStore
from cogd.bundle.verify import VerifiedBundle, pack, verify_bundle
from cogd.errors import (
    ArchiveError,
    BundleError,
    DigestError,
    FeatureError,
    ManifestError,
    RequirementError,
    RevokedKeyError,
    SignatureError,
    ThresholdError,
    UnknownKeyError,
)

from .factory import (
    FILES,
    KEY,
    OTHER_KEY,
    THIRD_KEY,
    archive_of,
    make_bundle,
    make_manifest,
    manifest_json,
    sign_anything,
    trust,
)

MADE = make_bundle()
MEMBERS = MADE.members


def accepted(archive: bytes) -> bool:
    """Whether `archive` is a bundle that is trusted here; any error that is not a BundleError gets out."""
    try:
        verify_bundle(read_archive(archive), MADE.trust)
    except BundleError:
        return False
    return True


def test_what_comes_through():
    bundle = MADE.verified()
    assert bundle.manifest.id == "person-count"
    assert bundle.files == FILES
    assert bundle.file("model.onnx") == FILES["model.onnx"]
    assert bundle.key_ids == (KEY.public.key_id,)
    assert bundle.manifest_bytes == MEMBERS["bundle.json"]
    assert bundle.digest == "sha256:" + sha256(MEMBERS["bundle.json"]).hexdigest()
    assert write_archive(bundle.members()) == MADE.archive
    with pytest.raises(DigestError, match=r"config\.json"):
        bundle.file("config.json")


def test_it_can_not_be_changed_or_made_by_others():
    bundle = MADE.verified()
    with pytest.raises(TypeError):
        bundle.files["model.onnx"] = b"other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        bundle.digest = "sha256:0"
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(bundle, files={})
    fields = {field.name: getattr(bundle, field.name) for field in dataclasses.fields(bundle)}
    with pytest.raises(TypeError, match="verify_bundle"):
        VerifiedBundle(**fields, seal=object())
    with pytest.raises(TypeError):
        VerifiedBundle(**fields)
    with pytest.raises(TypeError):
        pickle.dumps(bundle)
    with pytest.raises(TypeError):
        copy.deepcopy(bundle)


def test_the_callers_mapping_is_not_kept():
    members = dict(MEMBERS)
    bundle = verify_bundle(members, MADE.trust)
    members["model.onnx"] = b"other"
    assert bundle.file("model.onnx") == FILES["model.onnx"]


@pytest.mark.parametrize("name", sorted(FILES))
def test_changed_file(name):
    with pytest.raises(DigestError, match=f"^{name}: was changed, it has"):
        verify_bundle(MEMBERS | {name: MEMBERS[name] + b"x"}, MADE.trust)
    if MEMBERS[name]:
        with pytest.raises(DigestError, match=f"^{name}: was changed, its SHA-256"):
            verify_bundle(MEMBERS | {name: bytes(len(MEMBERS[name]))}, MADE.trust)


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_missing_file(name):
    files = {other: data for other, data in MEMBERS.items() if other != name}
    with pytest.raises(DigestError, match=f"^{name}: is missing"):
        verify_bundle(files, MADE.trust)


def test_extra_file():
    with pytest.raises(DigestError, match=r"^config\.json: is extra"):
        verify_bundle(MEMBERS | {"config.json": b""}, MADE.trust)


def test_files_of_another_bundle():
    other = make_bundle(version="1.2.4").members
    with pytest.raises(SignatureError, match="is not what was signed"):
        verify_bundle(MEMBERS | {"bundle.json": other["bundle.json"]}, MADE.trust)
    with pytest.raises(SignatureError, match="is not what was signed"):
        verify_bundle(MEMBERS | {"bundle.json": MEMBERS["bundle.json"] + b"\n"}, MADE.trust)
    swapped = MEMBERS | {"model.onnx": FILES["golden.safetensors"], "golden.safetensors": FILES["model.onnx"]}
    with pytest.raises(DigestError):
        verify_bundle(swapped, MADE.trust)


def test_unknown_key():
    with pytest.raises(UnknownKeyError, match=KEY.public.key_id):
        verify_bundle(MEMBERS, trust(OTHER_KEY))
    with pytest.raises(UnknownKeyError):
        verify_bundle(MEMBERS, TrustStore())


def test_two_signers():
    made = make_bundle(keys=[KEY, OTHER_KEY])
    assert verify_bundle(made.members, trust(OTHER_KEY)).key_ids == (OTHER_KEY.public.key_id,)
    assert len(made.verified().key_ids) == 2


def test_revoked_key():
    store = trust(KEY, OTHER_KEY, revoked=[KEY])
    with pytest.raises(RevokedKeyError, match=rf"{KEY.public.key_id} is revoked since 2026-01-02T03:04:05Z: stolen"):
        verify_bundle(MEMBERS, store)
    both = make_bundle(keys=[KEY, OTHER_KEY]).members
    assert verify_bundle(both, store).key_ids == (OTHER_KEY.public.key_id,)
    with pytest.raises(RevokedKeyError):
        verify_bundle(both, trust(KEY, OTHER_KEY, revoked=[KEY, OTHER_KEY]))
    with pytest.raises(RevokedKeyError, match=KEY.public.key_id):  # the other one is unknown, this one says more
        verify_bundle(both, trust(THIRD_KEY, revoked=[KEY]))
    with pytest.raises(UnknownKeyError):  # somebody else's revocation is no reason
        verify_bundle(MEMBERS, trust(OTHER_KEY, revoked=[THIRD_KEY]))


def test_threshold():
    both = make_bundle(keys=[KEY, OTHER_KEY]).members
    store = trust(KEY, OTHER_KEY, THIRD_KEY, threshold=2)
    assert len(verify_bundle(both, store).key_ids) == 2
    with pytest.raises(ThresholdError, match=rf"2 of the 3 .* only 1 did: {KEY.public.key_id}"):
        verify_bundle(MEMBERS, store)
    with pytest.raises(ThresholdError, match="only 1 did"):
        verify_bundle(both, trust(KEY, THIRD_KEY, threshold=2))
    with pytest.raises(ThresholdError, match="2 of the 2"):
        verify_bundle(both, trust(KEY, OTHER_KEY, THIRD_KEY, revoked=[OTHER_KEY], threshold=2))
    with pytest.raises(ThresholdError, match="only 2 did"):
        verify_bundle(both, trust(KEY, OTHER_KEY, THIRD_KEY, threshold=3))


def test_a_wrong_signature_is_no_help_towards_a_threshold():
    envelope = json.loads(dsse.sign(MEMBERS["bundle.json"], [KEY, OTHER_KEY]))
    for entry in envelope["signatures"]:
        if entry["keyid"] == OTHER_KEY.public.key_id:
            entry["sig"] = json.loads(dsse.sign(b"{}", [OTHER_KEY]))["signatures"][0]["sig"]
    raw = json.dumps(envelope, separators=(",", ":"), sort_keys=True).encode()
    with pytest.raises(SignatureError, match=OTHER_KEY.public.key_id):
        verify_bundle(MEMBERS | {"bundle.dsse.json": raw}, trust(KEY, OTHER_KEY, threshold=2))


def test_nobody_makes_two_of_himself_by_a_rotation():
    both = make_bundle(keys=[KEY, OTHER_KEY]).members
    rotated = trust(KEY, OTHER_KEY, THIRD_KEY, rotated=[(KEY, OTHER_KEY)], threshold=2)
    with pytest.raises(ThresholdError, match=r"2 of the 2 .* only 1 did"):
        verify_bundle(both, rotated)
    assert verify_bundle(make_bundle(keys=[KEY, THIRD_KEY]).members, rotated)  # installed before, it runs on


def test_what_a_replaced_key_signed_still_loads():
    store = trust(KEY, OTHER_KEY, rotated=[(KEY, OTHER_KEY)])
    assert verify_bundle(MEMBERS, store).key_ids == (KEY.public.key_id,)
    with pytest.raises(RevokedKeyError):
        verify_bundle(MEMBERS, trust(KEY, OTHER_KEY, rotated=[(KEY, OTHER_KEY)], revoked=[KEY]))


def test_an_expired_bundle_still_loads():
    assert make_bundle(expires="2026-01-02T03:04:06Z").verified().manifest.expires


def test_requirements():
    with pytest.raises(RequirementError, match=r">=9\.0\.0"):
        make_bundle(requires=Requires(cogd=">=9.0.0", features=[]))
    signed = archive_of(
        msgspec.structs.replace(MADE.verified().manifest, requires=Requires(cogd=">=9.0.0", features=["time-travel"]))
    )
    with pytest.raises(RequirementError, match=r">=9\.0\.0"):
        verify_bundle(read_archive(signed), trust())
    with pytest.raises(FeatureError, match="time-travel"):
        verify_bundle(read_archive(signed), trust(), cogd_version="9.0.0")


def test_signed_nonsense_is_still_refused():
    for manifest in (b"", b"{}", b"\xff", b"[" * 40_000):
        with pytest.raises(ManifestError):
            verify_bundle(sign_anything(manifest), trust())


def test_nothing_is_parsed_before_its_signature_is_verified(monkeypatch):
    def parse(raw):
        raise AssertionError

    monkeypatch.setattr("cogd.bundle.verify.parse_manifest", parse)
    for files, error in [
        (MEMBERS | {"bundle.json": b"{}"}, SignatureError),
        (MEMBERS | {"bundle.dsse.json": b"{}"}, SignatureError),
        (MEMBERS | {"bundle.dsse.json": dsse.sign(MEMBERS["bundle.json"], [OTHER_KEY])}, UnknownKeyError),
    ]:
        with pytest.raises(error):
            verify_bundle(files, MADE.trust)
    with pytest.raises(AssertionError):
        verify_bundle(MEMBERS, MADE.trust)


def test_pack_is_deterministic_and_sorts():
    backwards = dict(reversed(FILES.items()))
    assert make_bundle(backwards).archive == MADE.archive
    assert list(MEMBERS) == ["bundle.json", "bundle.dsse.json", *sorted(FILES)]


def test_pack_replaces_the_files():
    manifest = MADE.verified().manifest
    stale = msgspec.structs.replace(manifest, files=[msgspec.structs.replace(manifest.files[0], path="old")])
    assert pack(stale, FILES, [KEY]) == MADE.archive


@pytest.mark.parametrize(
    ("files", "changes", "error"),
    [
        ({}, {}, ManifestError),
        ({name: data for name, data in FILES.items() if name != "MODEL_CARD.md"}, {}, ManifestError),
        (FILES | {"config.json": b""}, {}, ManifestError),
        (FILES | {"bundle.json": b""}, {}, ManifestError),
        (FILES | {"a/b": b""}, {}, ManifestError),
        (FILES | {f"f{n}": b"" for n in range(59)}, {}, ManifestError),
        (FILES | {"big": bytes((64 << 20) - 4096)}, {}, ArchiveError),
        (FILES, {"id": "X"}, ManifestError),
        (FILES, {"version": 3}, ManifestError),
    ],
)
def test_pack_refuses(files, changes, error):
    with pytest.raises(error):
        pack(make_manifest(**changes), files, [KEY])


def test_pack_refuses_a_manifest_that_no_envelope_holds():
    provenance = msgspec.structs.replace(make_manifest().provenance, limits=["x" * 4000] * 12)
    with pytest.raises(SignatureError, match="more than 65536"):
        pack(make_manifest(provenance=provenance), FILES, [KEY])
    with pytest.raises(SignatureError, match="0 keys"):
        pack(make_manifest(), FILES, [])


def test_the_schema_is_the_same_for_packed_and_foreign_bundles():
    compact = json.dumps(manifest_json()).encode()  # another publisher's writer may format otherwise
    bundle = verify_bundle(sign_anything(compact), trust())
    assert bundle.manifest == MADE.verified().manifest
    assert bundle.digest != MADE.verified().digest
