"""Nothing but the signed bytes comes through: every bit, length and byte more; and samples of a real bundle."""

import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd import demo
from cogd.bundle.archive import BLOCK, read_archive
from cogd.bundle.receive import receive_bundle
from cogd.bundle.trust import TrustStore
from cogd.bundle.verify import verify_bundle
from cogd.errors import ArchiveError, DigestError, SignatureError, UnknownKeyError

from .archives import raw_archive
from .factory import make_bundle, make_manifest

TINY = make_bundle(
    {"MODEL_CARD.md": b"#", "m": b"model", "g": b"golden"},
    input=msgspec.structs.replace(make_manifest().input, normaliser=None),
    variants=[msgspec.structs.replace(make_manifest().variants[0], file="m")],
    golden=msgspec.structs.replace(make_manifest().golden, file="g"),
    provenance=msgspec.structs.replace(make_manifest().provenance, data=[], metrics=[], limits=[]),
)
REAL = (demo.APPS / "demo-pose.tar").read_bytes()
REAL_TRUST = TrustStore.load(files=[demo.PUBLIC_KEY])


def received(archive: bytes, trust: TrustStore = TINY.trust) -> bool:
    """Whether `archive` comes through as it is sent; an error of any other type gets out."""
    try:
        receive_bundle(io.BytesIO(archive), trust)
    except (ArchiveError, SignatureError, UnknownKeyError, DigestError):
        return False
    return True


def verified(archive: bytes, trust: TrustStore = TINY.trust) -> bool:
    """Whether `archive` comes through as a whole."""
    try:
        verify_bundle(read_archive(archive), trust)
    except (ArchiveError, SignatureError, UnknownKeyError, DigestError):
        return False
    return True


@pytest.mark.parametrize("accepted", [received, verified])
def test_every_single_bit(accepted):
    archive = bytearray(TINY.archive)
    for position in range(len(archive)):
        for bit in range(8):
            archive[position] ^= 1 << bit
            assert not accepted(bytes(archive)), f"bit {bit} of byte {position}"
            archive[position] ^= 1 << bit
    assert accepted(bytes(archive))


@pytest.mark.parametrize("accepted", [received, verified])
def test_every_truncation_and_one_more_byte(accepted):
    for length in range(len(TINY.archive)):
        assert not accepted(TINY.archive[:length]), f"{length} bytes"
    for value in range(256):
        assert not accepted(TINY.archive + bytes([value])), f"{value} appended"
        assert not accepted(bytes([value]) + TINY.archive), f"{value} before it"


def refused(archive: bytes) -> bool:
    return not received(archive, REAL_TRUST) and not verified(archive, REAL_TRUST)


positions = st.integers(0, len(REAL) - 1)


def test_a_real_bundle():
    assert received(REAL, REAL_TRUST)
    assert verified(REAL, REAL_TRUST)


@given(st.sets(st.tuples(positions, st.integers(0, 7)), min_size=1, max_size=3))
def test_bits_of_a_real_bundle(bits):
    archive = bytearray(REAL)
    for position, bit in bits:
        archive[position] ^= 1 << bit
    assert refused(bytes(archive))


@given(positions)
def test_a_real_bundle_cut_short(length):
    assert refused(REAL[:length])


@given(st.binary(min_size=1, max_size=3 * BLOCK))
def test_a_real_bundle_with_more(more):
    assert refused(REAL + more)
    assert refused(more + REAL)


@given(positions, st.binary(min_size=1, max_size=3 * BLOCK))
def test_a_real_bundle_with_more_inside(position, more):
    archive = REAL[:position] + more + REAL[position:]
    assert archive == REAL or refused(archive)


@given(positions, positions)
def test_a_real_bundle_with_less_inside(one, two):
    start, end = sorted((one, two))
    assert start == end or refused(REAL[:start] + REAL[end:])


@given(st.permutations(list(read_archive(REAL).items())))
def test_members_of_a_real_bundle_in_another_order(members):
    archive = raw_archive(members)
    assert received(archive, REAL_TRUST) == (archive == REAL)


@given(st.permutations(list(read_archive(REAL).values())))
def test_members_of_a_real_bundle_under_other_names(contents):
    archive = raw_archive(zip(read_archive(REAL), contents, strict=True))
    assert archive == REAL or refused(archive)


@given(st.data())
def test_blocks_of_a_real_bundle_in_other_places(data):
    blocks = [REAL[start : start + BLOCK] for start in range(0, len(REAL), BLOCK)]
    one, two = data.draw(st.tuples(*[st.integers(0, len(blocks) - 1)] * 2))
    blocks[one], blocks[two] = blocks[two], blocks[one]
    archive = b"".join(blocks)
    assert archive == REAL or refused(archive)
