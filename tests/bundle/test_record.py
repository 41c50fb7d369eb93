from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.bundle.record import Memory, Record, Seen, encode, parse, remember
from cogd.bundle.semver import precedence
from cogd.errors import StorageError

from .apps import record_of
from .factory import make_bundle

RECORD = record_of(make_bundle())
MEMORY = Memory(pinned=["k"], highest={"k": Seen(version="1.0.0", digest="sha256:1")})


def test_round_trip():
    assert parse(encode(RECORD), Record, Path("x")) == RECORD
    assert parse(encode(MEMORY), Memory, Path("x")) == MEMORY
    assert encode(MEMORY).endswith(b"}\n")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 300,
        b"{}",
        b"\xff",
        encode(RECORD)[:-5],
        encode(MEMORY),
        encode(RECORD).replace(b"1.2.3", b"1.2"),
        b"[" * 100_000,
    ],
)
def test_damage(raw):
    with pytest.raises(StorageError, match=r"^/apps/x/\.install\.json: is damaged") as caught:
        parse(raw, Record, Path("/apps/x/.install.json"))
    assert "cogd remove" in caught.value.hint


versions = st.sampled_from(["0.9.0", "1.0.0-rc.1", "1.0.0", "1.0.1", "2.0.0", "10.0.0"])
keys = st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True)


@given(st.lists(st.tuples(versions, keys), min_size=1, max_size=8))
def test_memory_is_the_highest_version_of_each_key_whatever_the_order(installed):
    memory = None
    for version, key_ids in installed:
        record = record_of(make_bundle())
        record = type(record)(
            **{name: getattr(record, name) for name in record.__struct_fields__}
            | {"version": version, "key_ids": key_ids, "pinned": key_ids, "digest": f"sha256:{version}"}
        )
        memory = remember(memory, record)
        assert remember(memory, record) == memory
    for key in {key for _, key_ids in installed for key in key_ids}:
        highest = max((version for version, key_ids in installed if key in key_ids), key=precedence)
        assert memory.highest[key] == Seen(version=highest, digest=f"sha256:{highest}")
    assert memory.pinned == sorted(memory.highest)
