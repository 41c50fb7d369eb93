"""Receiving: what is taken from a sender before it is trusted, in which order it is judged, and what comes of it."""

import dataclasses
import io
import itertools
import os
import signal
import threading
import time

import msgspec
import pytest

import cogd.bundle.receive
from cogd.bundle import dsse
from cogd.bundle.archive import BLOCK, archive_size, write_archive
from cogd.bundle.manifest import Requires, encode_manifest
from cogd.bundle.members import MAX_ENVELOPE_BYTES, MAX_MANIFEST_BYTES
from cogd.bundle.receive import receive_bundle
from cogd.bundle.verify import verify_bundle
from cogd.errors import (
    ArchiveError,
    BundleError,
    DigestError,
    FeatureError,
    ManifestError,
    RequirementError,
    SignatureError,
    ThresholdError,
    UnknownKeyError,
)

from .archives import END, HEAD, Tape, raw_archive, with_header
from .factory import FILES, KEY, OTHER_KEY, archive_of, make_bundle, sign_anything, trust

MADE = make_bundle()
MEMBERS = MADE.members
HEAD_BYTES = archive_size(len(MEMBERS[name]) for name in HEAD) - len(END)


def receive(*pieces, **options):
    return receive_bundle(Tape(*pieces), MADE.trust, **options)


def archive_with(**changes: bytes | None) -> bytes:
    """The archive with the content of files replaced; None: without them. Nothing is signed anew."""
    changed = MEMBERS | {name.replace("__", "."): data for name, data in changes.items()}
    return raw_archive((name, data) for name, data in changed.items() if data is not None)


def facts(bundle):
    return {field.name: getattr(bundle, field.name) for field in dataclasses.fields(bundle)}


def test_it_is_what_verify_bundle_makes():
    bundle = receive(MADE.archive)
    assert facts(bundle) == facts(verify_bundle(MEMBERS, MADE.trust))
    assert list(bundle.members()) == list(MEMBERS)
    assert write_archive(bundle.members()) == MADE.archive


def test_from_a_file(tmp_path):
    with MADE.save(tmp_path / "bundle.tar").open("rb") as file:
        assert receive_bundle(file, MADE.trust).files == FILES


@pytest.mark.parametrize("buffering", [0, -1])
def test_from_a_pipe_that_is_slow_and_interrupted(buffering):
    reading, writing = os.pipe()
    alarms = []

    def send():
        for start in range(0, len(MADE.archive), 700):
            os.write(writing, MADE.archive[start : start + 700])
            time.sleep(0.002)
        os.close(writing)

    before = signal.signal(signal.SIGALRM, lambda *_: alarms.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    try:
        sender = threading.Thread(target=send)
        sender.start()
        with os.fdopen(reading, "rb", buffering=buffering) as pipe:
            assert receive_bundle(pipe, MADE.trust).files == FILES
        sender.join()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert alarms


def test_the_head_is_verified_before_a_further_byte_is_read(monkeypatch):
    tape = Tape(MADE.archive)
    taken = []
    real = cogd.bundle.receive.verify_manifest

    def spy(*arguments, **options):
        taken.append(tape.taken)
        return real(*arguments, **options)

    monkeypatch.setattr("cogd.bundle.receive.verify_manifest", spy)
    receive_bundle(tape, MADE.trust)
    assert taken == [HEAD_BYTES]


NEWER = msgspec.structs.replace(MADE.verified().manifest, requires=Requires(cogd=">=9.0.0", features=[]))
STRANGE = msgspec.structs.replace(MADE.verified().manifest, requires=Requires(cogd=">=0.1.0", features=["telepathy"]))


@pytest.mark.parametrize(
    ("head", "trusted", "error"),
    [
        (HEAD, trust(), SignatureError),
        (MEMBERS, trust(OTHER_KEY), UnknownKeyError),
        (MEMBERS, trust(KEY, OTHER_KEY, threshold=2), ThresholdError),
        (MEMBERS | {"bundle.json": MEMBERS["bundle.json"] + b" "}, trust(), SignatureError),
        (sign_anything(b"{}"), trust(), ManifestError),
        (sign_anything(encode_manifest(NEWER)), trust(), RequirementError),
        (sign_anything(encode_manifest(STRANGE)), trust(), FeatureError),
        (
            {"bundle.json": b"x" * MAX_MANIFEST_BYTES, "bundle.dsse.json": b"x" * MAX_ENVELOPE_BYTES},
            trust(),
            SignatureError,
        ),
    ],
)
def test_nothing_is_taken_from_an_unauthenticated_sender_but_the_head(head, trusted, error):
    raw = raw_archive((name, head[name]) for name in HEAD)[: -len(END)]
    tape = Tape(raw, itertools.repeat(b"flood" * 1000))
    with pytest.raises(error):
        receive_bundle(tape, trusted)
    assert tape.taken == len(raw) <= MAX_MANIFEST_BYTES + MAX_ENVELOPE_BYTES + 2 * BLOCK


def test_requirements_are_judged_by_the_version_that_is_given():
    archive = archive_of(NEWER)
    with pytest.raises(RequirementError):
        receive_bundle(Tape(archive), trust())
    assert receive_bundle(Tape(archive), trust(), cogd_version="9.0.0").manifest == NEWER


def swapped(one: str, two: str) -> bytes:
    names = [{one: two, two: one}.get(name, name) for name in MEMBERS]
    return raw_archive((name, MEMBERS[name]) for name in names)


@pytest.mark.parametrize(
    ("archive", "name", "error", "message"),
    [
        (archive_with(a=b"x" * 600), "a", DigestError, "is extra"),
        (archive_with(model__onnx=b"x" * 600), "model.onnx", DigestError, "has 600 bytes instead of 11"),
        (archive_with(golden__safetensors=b""), "golden.safetensors", DigestError, "has 0 bytes instead of 6"),
        (swapped("golden.safetensors", "model.onnx"), "model.onnx", ArchiveError, r"place of golden\.safetensors"),
        (archive_with(MODEL_CARD__md=None), "golden.safetensors", ArchiveError, r"in the place of MODEL_CARD\.md"),
        (archive_with(MODEL_card__md=b""), "MODEL_card.md", ArchiveError, "only in case"),
        (raw_archive([*MEMBERS.items(), ("model.onnx", b"x")]), "model.onnx", ArchiveError, "there twice"),
    ],
)
def test_what_is_not_awaited_is_refused_at_its_header(archive, name, error, message):
    here = archive.rindex(name.encode().ljust(100, b"\0"))
    tape = Tape(archive[: here + BLOCK], itertools.repeat(b"flood"))
    with pytest.raises(error, match=f"^{name}: .*{message}"):
        receive_bundle(tape, MADE.trust)
    assert tape.taken == here + BLOCK


def test_a_changed_file_ends_the_transfer():
    archive = archive_with(MODEL_CARD__md=b"# a dummy\n")
    tape = Tape(archive)
    with pytest.raises(DigestError, match=r"^MODEL_CARD\.md: was changed, its SHA-256"):
        receive_bundle(tape, MADE.trust)
    assert tape.taken == HEAD_BYTES + 2 * BLOCK


def test_missing_files():
    with pytest.raises(DigestError, match=r"^normaliser\.safetensors: is missing"):
        receive(archive_with(normaliser__safetensors=None))
    with pytest.raises(DigestError, match=r"^MODEL_CARD\.md: is missing"):
        receive(raw_archive((name, MEMBERS[name]) for name in HEAD))


# The faults that an archive can have, in the order in which they must be found. Each changes the whole archive.
FAULTS = [
    (lambda raw: with_header(raw, 0, mode=b"0000755\0"), ArchiveError, "^member 0: its header"),
    (lambda raw: raw.replace(b"}\n\0", b"}\nx", 1), ArchiveError, r"^bundle\.json: its padding"),
    (lambda raw: raw.replace(b'"sig":"', b'"sag":"'), SignatureError, "not a DSSE envelope"),
    (lambda raw: raw.replace(b'"version": "1.2.3"', b'"version": "1.2.4"', 1), SignatureError, "not what was signed"),
    (lambda raw: with_header(raw, HEAD_BYTES, type=b"2"), ArchiveError, "^member 2: its header"),
    (lambda raw: with_header(raw, HEAD_BYTES, name=b"MODEL_CARD.txt"), DigestError, r"^MODEL_CARD\.txt: is extra"),
    (lambda raw: with_header(raw, HEAD_BYTES, size=b"00000000013\0"), DigestError, "11 bytes instead of 10"),
    (lambda raw: raw.replace(b"dummy\n\0", b"dummy\nx"), ArchiveError, r"^MODEL_CARD\.md: its padding"),
    (lambda raw: raw.replace(b"# A dummy\n", b"# a dummy\n"), DigestError, r"^MODEL_CARD\.md: was changed, its SHA"),
    (lambda raw: raw.replace(b"golden\0\0", b"g\0lden\0\0"), DigestError, r"^golden\.safetensors: was changed"),
    (lambda raw: raw[:-1], ArchiveError, "does not end"),
]  # fmt: skip


@pytest.mark.parametrize("first", range(len(FAULTS)))
def test_the_first_fault_is_the_one_that_is_named(first):
    archive = MADE.archive
    for change, _, _ in reversed(FAULTS[first:]):
        changed = change(archive)
        assert changed != archive
        archive = changed
    _, error, message = FAULTS[first]
    with pytest.raises(BundleError, match=message) as raised:
        receive(archive)
    assert type(raised.value) is error


def test_the_archive_must_end_before_anything_comes_through():
    for more in (b"\0", b"x", END, MADE.archive):
        with pytest.raises(ArchiveError, match="exactly two zero blocks"):
            receive(MADE.archive, more)


def test_files_come_in_the_manifests_order():
    """By name, as `pack` sorts them; in another order only where the signed manifest has that."""
    assert list(FILES) == sorted(FILES)
    backwards = dict(reversed(FILES.items()))
    manifest = MADE.verified().manifest
    turned = msgspec.structs.replace(manifest, files=manifest.files[::-1])
    archive = archive_of(turned, backwards)
    assert write_archive(receive(archive).members()) == archive
    with pytest.raises(ArchiveError, match="in the place of"):
        receive(archive_of(turned, FILES))
    with pytest.raises(ArchiveError, match="in the place of"):
        receive(archive_of(manifest, backwards))


def test_progress():
    calls = []
    stream = (MADE.archive[start : start + 100] for start in range(0, len(MADE.archive), 100))
    receive(stream, progress=lambda *numbers: calls.append(numbers))
    total = len(MADE.archive)
    assert {expected for _, expected in calls} == {total}
    done = [read for read, _ in calls]
    assert done == sorted(set(done))
    assert HEAD_BYTES < done[0] <= HEAD_BYTES + 100
    assert done[-1] == total


def test_no_progress_before_the_head_is_verified():
    calls = []
    with pytest.raises(UnknownKeyError):
        receive_bundle(Tape(MADE.archive), trust(OTHER_KEY), progress=lambda *numbers: calls.append(numbers))
    assert calls == []


def test_progress_of_an_archive_that_is_too_long():
    calls = []
    with pytest.raises(ArchiveError):
        receive(MADE.archive, b"x", progress=lambda *numbers: calls.append(numbers))
    assert calls[-1] == (len(MADE.archive) + 1, len(MADE.archive))


def test_two_signers():
    made = make_bundle(keys=[KEY, OTHER_KEY])
    assert len(receive_bundle(io.BytesIO(made.archive), trust(KEY, OTHER_KEY, threshold=2)).key_ids) == 2
    envelope = dsse.sign(made.members["bundle.json"], [KEY])  # another envelope of the same manifest
    with pytest.raises(ThresholdError):
        receive_bundle(
            Tape(write_archive(made.members | {"bundle.dsse.json": envelope})), trust(KEY, OTHER_KEY, threshold=2)
        )
