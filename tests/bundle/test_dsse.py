"""Envelopes: the rule of trust, one form, and another implementation."""

import base64
import json
from itertools import combinations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from cogd.bundle import dsse, keys
from cogd.bundle.keys import PrivateKey
from cogd.bundle.members import MAX_ENVELOPE_BYTES
from cogd.bundle.verify import verify_bundle
from cogd.errors import SignatureError, ThresholdError, UnknownKeyError

from .factory import KEY, OTHER_KEY, THIRD_KEY, make_bundle, trust

PAYLOAD = b'{"a": 1}\n'
SIGNED = dsse.sign(PAYLOAD, [KEY])
MANY = [PrivateKey(bytes([n] * 32)) for n in range(9)]


def compact(envelope: object) -> bytes:
    return json.dumps(envelope, separators=(",", ":"), sort_keys=True).encode()


def changed(**changes: object) -> bytes:
    return compact(json.loads(SIGNED) | changes)


def test_round_trip_and_form():
    verified = dsse.verify(SIGNED, trust())
    assert (verified.payload, verified.key_ids) == (PAYLOAD, (KEY.public.key_id,))
    assert compact(json.loads(SIGNED)) == SIGNED
    assert json.loads(SIGNED) == {
        "payload": base64.b64encode(PAYLOAD).decode(),
        "payloadType": "application/vnd.cogd.bundle+json",
        "signatures": [{"keyid": KEY.public.key_id, "sig": json.loads(SIGNED)["signatures"][0]["sig"]}],
    }


@given(st.binary(max_size=300))
def test_any_payload(payload):
    assert dsse.verify(dsse.sign(payload, [KEY]), trust()).payload == payload


def test_what_is_signed_is_the_specifications_encoding():
    # protocol.md: PAE(type, body) = "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body
    signature = base64.b64decode(json.loads(SIGNED)["signatures"][0]["sig"])
    message = b"DSSEv1 32 application/vnd.cogd.bundle+json 9 " + PAYLOAD
    Ed25519PublicKey.from_public_bytes(KEY.public.raw).verify(signature, message)
    assert signature == Ed25519PrivateKey.from_private_bytes(bytes(range(32))).sign(message)


def test_one_trusted_key_is_enough_and_others_are_not_named():
    envelope = dsse.sign(PAYLOAD, [OTHER_KEY, KEY])
    assert dsse.verify(envelope, trust(KEY)).key_ids == (KEY.public.key_id,)
    assert set(dsse.verify(envelope, trust(KEY, OTHER_KEY)).key_ids) == {k.public.key_id for k in (KEY, OTHER_KEY)}
    assert envelope == dsse.sign(PAYLOAD, [KEY, OTHER_KEY])


def test_no_trusted_key():
    with pytest.raises(UnknownKeyError) as error:
        dsse.verify(dsse.sign(PAYLOAD, [KEY, OTHER_KEY]), trust(MANY[0]))
    assert KEY.public.key_id in str(error.value)
    assert OTHER_KEY.public.key_id in str(error.value)
    with pytest.raises(UnknownKeyError):
        dsse.verify(SIGNED, {})


@pytest.mark.parametrize(("broken", "sound"), [(KEY, OTHER_KEY), (OTHER_KEY, KEY)])
def test_each_trusted_signature_must_be_right(broken, sound):
    envelope = json.loads(dsse.sign(PAYLOAD, [KEY, OTHER_KEY]))
    wrong = json.loads(dsse.sign(b"something else", [broken]))["signatures"][0]
    envelope["signatures"] = [wrong if s["keyid"] == wrong["keyid"] else s for s in envelope["signatures"]]
    assert dsse.verify(compact(envelope), trust(sound)).payload == PAYLOAD  # the wrong one is nobody's here
    for trusted in (trust(broken), trust(broken, sound)):
        with pytest.raises(SignatureError, match=broken.public.key_id):
            dsse.verify(compact(envelope), trusted)


@pytest.mark.parametrize("length", [0, 63, 65])
def test_length_of_a_signature_by_anyone(length):
    envelope = json.loads(dsse.sign(PAYLOAD, [KEY, OTHER_KEY]))
    for signature in envelope["signatures"]:
        if signature["keyid"] == OTHER_KEY.public.key_id:
            signature["sig"] = base64.b64encode(bytes(length)).decode()
    with pytest.raises(SignatureError, match="has not 64 bytes"):
        dsse.verify(compact(envelope), trust(KEY))


def test_a_signature_is_bound_to_its_key_payload_and_type():
    signature = json.loads(SIGNED)["signatures"][0]
    other = signature | {"keyid": OTHER_KEY.public.key_id}
    with pytest.raises(SignatureError, match="is wrong"):
        dsse.verify(changed(signatures=[other]), trust(KEY, OTHER_KEY))
    with pytest.raises(SignatureError, match="is wrong"):
        dsse.verify(changed(payload=base64.b64encode(PAYLOAD + b" ").decode()), trust())
    with pytest.raises(SignatureError, match="type"):
        dsse.verify(changed(payloadType="application/vnd.in-toto+json"), trust())


def test_a_signature_of_one_type_is_none_of_another():
    other_type = "application/vnd.cogd.key-rotation+json"
    other = dsse.sign(PAYLOAD, [KEY], other_type)
    assert dsse.verify(other, trust(), other_type).payload == dsse.verify(SIGNED, trust()).payload
    for envelope, asked in [(other, dsse.BUNDLE_TYPE), (SIGNED, other_type)]:
        with pytest.raises(SignatureError, match="payload's type is"):
            dsse.verify(envelope, trust(), asked)
        relabelled = compact(json.loads(envelope) | {"payloadType": asked})
        with pytest.raises(SignatureError, match="is wrong"):
            dsse.verify(relabelled, trust(), asked)


def test_what_is_read_is_not_verified():
    forged = changed(signatures=[json.loads(SIGNED)["signatures"][0] | {"keyid": OTHER_KEY.public.key_id}])
    assert dsse.read(forged).payload == PAYLOAD
    assert dsse.read(forged).signatures.keys() == {OTHER_KEY.public.key_id}


def test_number_of_signatures():
    assert len(dsse.verify(dsse.sign(PAYLOAD, MANY[:8]), trust(*MANY)).key_ids) == 8
    for chosen in ([], MANY, [KEY, KEY]):
        with pytest.raises(SignatureError, match="keys"):
            dsse.sign(PAYLOAD, chosen)
    signature = json.loads(SIGNED)["signatures"][0]
    with pytest.raises(SignatureError, match="0 signatures"):
        dsse.verify(changed(signatures=[]), trust())
    with pytest.raises(SignatureError, match="9 signatures"):
        dsse.verify(changed(signatures=[signature] * 9), trust())
    with pytest.raises(SignatureError, match="two signatures"):
        dsse.verify(changed(signatures=[signature] * 2), trust())


def test_size():
    assert len(dsse.sign(bytes(46 << 10), MANY[:8])) <= MAX_ENVELOPE_BYTES
    with pytest.raises(SignatureError, match="more than 65536"):
        dsse.sign(bytes(49 << 10), [KEY])
    with pytest.raises(SignatureError, match="more than 65536"):
        dsse.verify(SIGNED + b" " * MAX_ENVELOPE_BYTES, trust())


SIG = json.loads(SIGNED)["signatures"][0]["sig"]
PAY = json.loads(SIGNED)["payload"]


@pytest.mark.parametrize(
    "raw",
    [
        SIGNED + b"\n",
        b" " + SIGNED,
        json.dumps(json.loads(SIGNED), sort_keys=True).encode(),
        compact(dict(reversed(json.loads(SIGNED).items()))).replace(b'"payload":', b'"p\\u0061yload":'),
        SIGNED.replace(b"application/", b"application\\/"),
        SIGNED.replace(b'{"payload":', b'{"payload":"","payload":'),
        SIGNED.replace(b'"signatures"', b'"extra":1,"signatures"'),
        SIGNED.replace(b'"keyid"', b'"cert":"","keyid"'),
        SIGNED.replace(KEY.public.key_id.encode(), KEY.public.key_id.upper().encode()),
        SIGNED.replace(SIG.encode(), SIG.rstrip("=").encode()),
        SIGNED.replace(SIG.encode(), SIG.replace("+", "-").replace("/", "_").encode()),
        SIGNED.replace(SIG.encode(), (SIG[:-3] + chr(ord(SIG[-3]) + 1) + "==").encode()),
        SIGNED.replace(SIG.encode(), base64.b64encode(bytes(63))),
        SIGNED.replace(PAY.encode(), (PAY[:4] + "\\n" + PAY[4:]).encode()),
        SIGNED.replace(PAY.encode(), (PAY[:4] + "ä" + PAY[5:]).encode()),
        SIGNED.replace(PAY.encode(), PAY.encode() + b"===="),
        SIGNED.replace(PAY.encode(), b"\xff"),
        SIGNED.replace(b'"payloadType":"', b'"payloadType":"\\ud800'),
        b"",
        b"null",
        b"[]",
        b"[" * 60_000,
        b'{"payload":' * 5_000,
        b'{"signatures":' + b"[" * 60_000,
    ],
)
def test_other_forms_are_refused(raw):
    assert raw != SIGNED
    with pytest.raises(SignatureError):
        dsse.verify(raw, trust())


def test_signatures_are_in_the_order_of_their_keys():
    envelope = json.loads(dsse.sign(PAYLOAD, [KEY, OTHER_KEY]))
    envelope["signatures"].reverse()
    with pytest.raises(SignatureError, match="canonical"):
        dsse.verify(compact(envelope), trust(KEY))


@given(st.binary(max_size=500))
def test_garbage(raw):
    with pytest.raises((SignatureError, UnknownKeyError)):
        dsse.verify(raw, trust())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["payload", "payloadType", "signatures", "keyid", "sig"]), json_values)
def test_any_value_in_any_place(place, value):
    envelope = json.loads(SIGNED)
    target = envelope if place in envelope else envelope["signatures"][0]
    target[place] = value
    with pytest.raises((SignatureError, UnknownKeyError)):
        dsse.verify(compact(envelope), trust())


def securesystemslib_key(key: PrivateKey) -> SSlibKey:
    return SSlibKey(key.public.key_id, "ed25519", "ed25519", {"public": key.public.raw.hex()})


def test_securesystemslib_verifies_ours():
    envelope = Envelope.from_dict(json.loads(dsse.sign(PAYLOAD, [KEY, OTHER_KEY])))
    accepted = envelope.verify([securesystemslib_key(KEY), securesystemslib_key(OTHER_KEY)], threshold=2)
    assert set(accepted) == {KEY.public.key_id, OTHER_KEY.public.key_id}
    envelope.payload += b" "
    with pytest.raises(VerificationError):
        envelope.verify([securesystemslib_key(KEY)], threshold=1)


def test_we_verify_securesystemslib_s():
    theirs = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    envelope = Envelope(PAYLOAD, dsse.BUNDLE_TYPE, {})
    envelope.sign(CryptoSigner(theirs, securesystemslib_key(KEY)))
    assert compact(envelope.to_dict()) == SIGNED
    assert dsse.verify(compact(envelope.to_dict()), trust()).payload == PAYLOAD


def test_a_threshold_means_the_same_to_securesystemslib():
    """Two of three: what is accepted here is accepted there, and the reverse."""
    some = [KEY, OTHER_KEY, THIRD_KEY]
    for signers in (s for n in (1, 2, 3) for s in combinations(some, n)):
        members = make_bundle(keys=signers).members
        theirs = Envelope.from_dict(json.loads(members["bundle.dsse.json"]))
        assert theirs.payload == members["bundle.json"]
        if len(signers) >= 2:
            assert len(verify_bundle(members, trust(*some, threshold=2)).key_ids) == len(signers)
            assert theirs.verify([securesystemslib_key(key) for key in some], threshold=2)
        else:
            with pytest.raises(ThresholdError):
                verify_bundle(members, trust(*some, threshold=2))
            with pytest.raises(VerificationError):
                theirs.verify([securesystemslib_key(key) for key in some], threshold=2)


def test_public_keys_load_from_their_pem(tmp_path):
    keys.save_public(tmp_path / "a.pub", KEY.public)
    loaded = keys.load_public(tmp_path / "a.pub")
    assert dsse.verify(SIGNED, {loaded.key_id: loaded}).key_ids == (loaded.key_id,)
