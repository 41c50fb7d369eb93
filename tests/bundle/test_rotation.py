"""Statements of rotation: both keys sign, in one form, and two other implementations agree."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from cogd.bundle import dsse
from cogd.bundle.keys import MAX_KEY_FILE_BYTES, PrivateKey
from cogd.bundle.rotation import ROTATION_TYPE, make_rotation, read_rotation
from cogd.errors import KeyFileError, SignatureError

from .factory import KEY, OTHER_KEY, THIRD_KEY, sign_anything, trust

CREATED = "2026-01-02T03:04:05Z"
STATEMENT = make_rotation(KEY, OTHER_KEY, CREATED)
PAYLOAD = dsse.read(STATEMENT, ROTATION_TYPE).payload
SAID = json.loads(PAYLOAD)


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def signed(payload: bytes, *keys: PrivateKey) -> bytes:
    return dsse.sign(payload, keys or [KEY, OTHER_KEY], ROTATION_TYPE)


def test_round_trip_and_form():
    rotation = read_rotation(STATEMENT)
    assert (rotation.old, rotation.new) == (KEY.public, OTHER_KEY.public)
    assert (rotation.created, rotation.statement) == (CREATED, STATEMENT)
    assert json.loads(STATEMENT)["payloadType"] == "application/vnd.cogd.key-rotation+json"
    assert compact(SAID) == PAYLOAD
    assert {
        "format": "cogd.rotation/1",
        "old": KEY.public.key_id,
        "new": OTHER_KEY.public.key_id,
        "old_key": base64.b64encode(KEY.public.raw).decode(),
        "new_key": base64.b64encode(OTHER_KEY.public.raw).decode(),
        "created": CREATED,
    } == SAID
    assert len(STATEMENT) < MAX_KEY_FILE_BYTES // 4


def test_a_key_does_not_replace_itself():
    with pytest.raises(KeyFileError, match="by itself"):
        make_rotation(KEY, PrivateKey(bytes(range(32))), CREATED)
    same = compact(SAID | {"new": SAID["old"], "new_key": SAID["old_key"]})
    with pytest.raises(KeyFileError, match="the same"):
        read_rotation(signed(same, KEY))


@pytest.mark.parametrize("signers", [[KEY], [OTHER_KEY], [THIRD_KEY], [KEY, THIRD_KEY], [KEY, OTHER_KEY, THIRD_KEY]])
def test_both_keys_must_have_signed_and_no_other(signers):
    with pytest.raises(KeyFileError, match="exactly both"):
        read_rotation(signed(PAYLOAD, *signers))


@pytest.mark.parametrize("forged", [KEY, OTHER_KEY])
def test_each_signature_must_be_right(forged):
    envelope = json.loads(STATEMENT)
    for entry in envelope["signatures"]:
        if entry["keyid"] == forged.public.key_id:
            other = json.loads(signed(PAYLOAD, THIRD_KEY))["signatures"][0]
            entry["sig"] = other["sig"]
    with pytest.raises(KeyFileError, match=f"the signature of key {forged.public.key_id} is wrong"):
        read_rotation(compact(envelope))


def test_a_statement_is_no_bundle_and_a_bundle_no_statement():
    with pytest.raises(SignatureError, match="type"):
        dsse.verify(STATEMENT, trust(KEY, OTHER_KEY))
    with pytest.raises(KeyFileError, match="type"):
        read_rotation(sign_anything(PAYLOAD)["bundle.dsse.json"])
    as_bundle = dsse.sign(PAYLOAD, [KEY, OTHER_KEY])
    relabelled = compact(json.loads(as_bundle) | {"payloadType": ROTATION_TYPE})
    with pytest.raises(KeyFileError, match="is wrong"):
        read_rotation(relabelled)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "cogd.rotation/2"},
        {"old": SAID["new"]},
        {"new": SAID["old"]},
        {"old": SAID["old"].upper()},
        {"new": SAID["new"][:-1]},
        {"old_key": SAID["new_key"]},
        {"new_key": base64.b64encode(bytes(31)).decode()},
        {"new_key": SAID["new_key"].rstrip("=")},
        {"new_key": SAID["new_key"][:-2] + chr(ord(SAID["new_key"][-2]) + 1) + "="},
        {"new_key": None},
        {"created": "2026-02-30T03:04:05Z"},
        {"created": "2026-01-02"},
        {"created": "0000-01-02T03:04:05Z"},
        {"more": 1},
    ],
)
def test_what_both_signed_must_still_be_a_statement(change):
    with pytest.raises(KeyFileError, match="not a statement of rotation"):
        read_rotation(signed(compact(SAID | change)))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"[" * 2000,
        b'{"created":' + b"[" * 2000,
        b"\xff",
        PAYLOAD + b"\n",
        json.dumps(SAID).encode(),
        compact(dict(reversed(SAID.items()))),
        PAYLOAD.replace(b'"old"', b'"old":"","old"'),
        PAYLOAD.replace(b'"format":"cogd.rotation/1",', b""),
        PAYLOAD.replace(b"rotation/1", b"rotation\\/1"),
    ],
)
def test_other_forms_are_refused(payload):
    assert payload != PAYLOAD
    with pytest.raises(KeyFileError, match="not a statement of rotation") as error:
        read_rotation(signed(payload))
    assert len(str(error.value)) < 400
    assert "publisher" in error.value.hint


def test_every_single_bit_and_length():
    raw = bytearray(STATEMENT)
    for position in range(len(raw)):
        for bit in range(8):
            raw[position] ^= 1 << bit
            with pytest.raises(KeyFileError):
                read_rotation(bytes(raw))
            raw[position] ^= 1 << bit
        with pytest.raises(KeyFileError):
            read_rotation(STATEMENT[:position])
    assert read_rotation(bytes(raw))


@given(st.binary(max_size=300))
def test_garbage(raw):
    for whole in (raw, signed(raw)):
        with pytest.raises(KeyFileError):
            read_rotation(whole)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32), st.datetimes())
def test_any_two_keys(one, other, time):
    old, new = PrivateKey(one), PrivateKey(other)
    created = f"{time.replace(microsecond=0).isoformat()}Z"
    if one == other:
        return
    rotation = read_rotation(make_rotation(old, new, created))
    assert (rotation.old, rotation.new, rotation.created) == (old.public, new.public, created)


def securesystemslib_key(key: PrivateKey) -> SSlibKey:
    return SSlibKey(key.public.key_id, "ed25519", "ed25519", {"public": key.public.raw.hex()})


def test_cryptography_verifies_ours():
    # protocol.md: PAE(type, body) = "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body
    message = b"DSSEv1 38 application/vnd.cogd.key-rotation+json %d %s" % (len(PAYLOAD), PAYLOAD)
    signatures = {entry["keyid"]: base64.b64decode(entry["sig"]) for entry in json.loads(STATEMENT)["signatures"]}
    for key, seed in ((KEY, range(32)), (OTHER_KEY, range(32, 64))):
        Ed25519PublicKey.from_public_bytes(key.public.raw).verify(signatures[key.public.key_id], message)
        theirs = Ed25519PrivateKey.from_private_bytes(bytes(seed)).sign(message)
        assert theirs == signatures[key.public.key_id]


def test_securesystemslib_verifies_ours():
    envelope = Envelope.from_dict(json.loads(STATEMENT))
    accepted = envelope.verify([securesystemslib_key(KEY), securesystemslib_key(OTHER_KEY)], threshold=2)
    assert set(accepted) == {KEY.public.key_id, OTHER_KEY.public.key_id}
    envelope.payload_type = dsse.BUNDLE_TYPE
    with pytest.raises(VerificationError):
        envelope.verify([securesystemslib_key(KEY)], threshold=1)


def test_we_verify_securesystemslib_s():
    envelope = Envelope(PAYLOAD, ROTATION_TYPE, {})
    for key, seed in ((KEY, range(32)), (OTHER_KEY, range(32, 64))):
        envelope.sign(CryptoSigner(Ed25519PrivateKey.from_private_bytes(bytes(seed)), securesystemslib_key(key)))
    whole = envelope.to_dict()
    whole["signatures"].sort(key=lambda entry: entry["keyid"])
    raw = json.dumps(whole, separators=(",", ":"), sort_keys=True).encode()
    assert raw == STATEMENT
    assert read_rotation(raw).new == OTHER_KEY.public
