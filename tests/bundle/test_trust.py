"""Which keys are trusted, and what became of the others."""

import json
import os
from itertools import pairwise, permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.bundle import keys
from cogd.bundle.keys import PrivateKey
from cogd.bundle.revocation import Revocation, encode_revocation, parse_revocation
from cogd.bundle.trust import TrustStore
from cogd.errors import ConfigError, KeyFileError

from .factory import KEY, OTHER_KEY, THIRD_KEY, revocation, rotation, trust

A, B, C = (key.public.key_id for key in (KEY, OTHER_KEY, THIRD_KEY))
STATEMENT = rotation(KEY, OTHER_KEY).statement
REVOCATION = encode_revocation(revocation(KEY))


@pytest.fixture
def folder(tmp_path):
    """A trust folder with two keys."""
    directory = tmp_path / "trust.d"
    directory.mkdir()
    keys.save_public(directory / "a.pub", KEY.public)
    keys.save_public(directory / "b.pub", OTHER_KEY.public)
    return directory


def test_nothing_by_default(tmp_path):
    for store in (TrustStore(), TrustStore.load(), TrustStore.load([tmp_path, tmp_path / "missing"])):
        assert len(store) == 0
        assert KEY.public.key_id not in store


def test_directories_and_files(tmp_path):
    directory = tmp_path / "trust.d"
    directory.mkdir()
    keys.save_public(directory / "a.pub", KEY.public)
    keys.save_public(directory / "b.pub", KEY.public)
    (directory / "README").write_text("not a key")
    (directory / ".hidden.pub").write_text("not a key")
    single = tmp_path / "other.pem"
    keys.save_public(single, OTHER_KEY.public)

    store = TrustStore.load([directory], files=[single])
    assert dict(store) == {key.public.key_id: key.public for key in (KEY, OTHER_KEY)}
    assert store.origin(KEY.public.key_id) == directory / "a.pub"
    assert store.origin(OTHER_KEY.public.key_id) == single
    assert str(single) in repr(store)


@pytest.mark.parametrize("content", ["", "hello", KEY.to_pem()])
def test_malformed_key_is_named(tmp_path, content):
    keys.save_public(tmp_path / "good.pub", KEY.public)
    (tmp_path / "bad.pub").write_text(content)
    with pytest.raises(KeyFileError, match=r"bad\.pub: ") as error:
        TrustStore.load([tmp_path])
    assert "BEGIN" not in str(error.value)


def test_what_is_no_file(tmp_path):
    (tmp_path / "dir.pub").mkdir()
    with pytest.raises(KeyFileError, match=r"dir\.pub: is not a regular file"):
        TrustStore.load([tmp_path])
    with pytest.raises(KeyFileError, match=r"no\.pub: No such file"):
        TrustStore.load(files=[tmp_path / "no.pub"])
    with pytest.raises(KeyFileError, match="null: Not a directory"):
        TrustStore.load([Path("/dev/null")])


def test_unreadable(open_path, ordinary_user):
    for name in ("folder", "file"):
        (open_path / name).mkdir(mode=0o755)
        keys.save_public(open_path / name / "a.pub", KEY.public)
    (open_path / "file/a.pub").chmod(0)
    (open_path / "folder").chmod(0)
    with ordinary_user():
        with pytest.raises(KeyFileError, match=r"a\.pub: Permission denied"):
            TrustStore.load([open_path / "file"])
        with pytest.raises(KeyFileError, match="folder: Permission denied"):
            TrustStore.load([open_path / "folder"])
    (open_path / "folder").chmod(0o755)  # whoever takes it away may be an ordinary user


def test_it_is_immutable():
    store = TrustStore([(KEY.public, Path("a.pub"))])
    with pytest.raises(TypeError):
        store["x"] = OTHER_KEY.public
    with pytest.raises(TypeError):
        store._keys["x"] = OTHER_KEY.public
    with pytest.raises(AttributeError):
        store.more = 1


def test_a_folder_that_can_not_be_listed(tmp_path, monkeypatch):
    def fail(fd):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("cogd.bundle.trust.os.listdir", fail)
        with pytest.raises(KeyFileError, match=f"{tmp_path}: Input/output error"):
            TrustStore.load([tmp_path])


def test_of_keys_that_come_from_no_file():
    store = TrustStore.of(KEY.public, OTHER_KEY.public)
    assert set(store) == {A, B}
    assert (store.origin(A), store.threshold) == (Path("-"), 1)


class TestRevocation:
    def test_takes_a_key_away_wherever_it_comes_from(self, folder, tmp_path):
        (folder / "x.revoked").write_bytes(REVOCATION)
        keys.save_public(tmp_path / "again.pub", KEY.public)
        store = TrustStore.load([folder], files=[tmp_path / "again.pub", folder / "a.pub"])
        assert set(store) == {B}
        assert store.revoked == {A: revocation(KEY)}
        assert store.origin(A) == folder / "x.revoked"
        assert A in repr(store)

    def test_may_come_before_the_key(self, tmp_path):
        (tmp_path / "x.revoked").write_bytes(REVOCATION)
        store = TrustStore.load([tmp_path])
        assert (len(store), list(store.revoked)) == (0, [A])

    def test_of_two_the_first_by_name_counts(self, folder):
        (folder / "1.revoked").write_bytes(encode_revocation(revocation(KEY, "first")))
        (folder / "2.revoked").write_bytes(encode_revocation(revocation(KEY, "second")))
        assert TrustStore.load([folder]).revoked[A].reason == "first"

    def test_has_one_form_that_a_person_can_read(self):
        assert json.loads(REVOCATION) == {
            "format": "cogd.revocation/1",
            "key_id": A,
            "reason": "stolen",
            "revoked_at": "2026-01-02T03:04:05Z",
        }
        assert REVOCATION.startswith(b'{\n  "format"')
        assert REVOCATION.endswith(b'"\n}\n')
        assert str(revocation(KEY, "")) == "revoked since 2026-01-02T03:04:05Z"

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"{}",
            b"null",
            b"[" * 4000,
            b'{"x":' * 800,
            b'{"reason":' + b"[" * 4000,
            REVOCATION[:-1],
            REVOCATION + b"\n",
            REVOCATION.replace(b"/1", b"/2"),
            REVOCATION.replace(b'  "format": "cogd.revocation/1",\n', b""),
            REVOCATION.replace(b'"reason"', b'"reason": "x",\n  "reason"'),
            REVOCATION.replace(b'"reason"', b'"more"'),
            REVOCATION.replace(A.encode(), A[:-1].encode()),
            REVOCATION.replace(A.encode(), A.upper().encode()),
            REVOCATION.replace(b"-01-02", b"-02-30"),
            REVOCATION.replace(b"05Z", b"05"),
            REVOCATION.replace(b"stolen", b"\\u001b[31m"),
            REVOCATION.replace(b"stolen", b"two\\nlines"),
            REVOCATION.replace(b"stolen", b"x" * 201),
            REVOCATION.replace(b"stolen", b"\xff"),
            REVOCATION + b" " * 5000,
        ],
    )
    def test_that_is_malformed_is_an_error_and_trusts_nobody_again(self, folder, raw):
        assert raw != REVOCATION
        (folder / "x.revoked").write_bytes(raw)
        with pytest.raises(KeyFileError, match=r"x\.revoked: "):
            TrustStore.load([folder])

    @given(st.binary(max_size=300))
    def test_garbage(self, raw):
        with pytest.raises(ValueError, match=r"\w"):
            parse_revocation(raw)

    @given(st.text(st.characters(exclude_categories=["C"]), max_size=200), st.sampled_from([A, B]))
    def test_any(self, reason, key_id):
        whole = Revocation(key_id=key_id, reason=reason, revoked_at="2024-02-29T23:59:59Z")
        assert parse_revocation(encode_revocation(whole)) == whole


class TestRotation:
    def test_retires_the_old_key_and_trusts_no_other(self, folder):
        (folder / "x.rotation.json").write_bytes(STATEMENT)
        store = TrustStore.load([folder])
        assert store.retired == {A: B}
        assert set(store) == {A, B}
        assert store.current([A, B, C]) == {B}
        (folder / "b.pub").unlink()
        store = TrustStore.load([folder])
        assert (set(store), store.current([A, B])) == ({A}, frozenset())

    def test_of_a_key_that_is_not_trusted_is_an_error(self, folder):
        (folder / "a.pub").unlink()
        (folder / "x.rotation.json").write_bytes(STATEMENT)
        with pytest.raises(KeyFileError, match=rf"x\.rotation\.json: replaces {A}, which is not trusted"):
            TrustStore.load([folder])

    def test_outlives_the_revocation_of_either_key(self, folder):
        (folder / "x.rotation.json").write_bytes(STATEMENT)
        (folder / "x.revoked").write_bytes(REVOCATION)
        store = TrustStore.load([folder])
        assert (set(store), store.current([A, B]), store.successors([A])) == ({B}, {B}, {A, B})
        (folder / "x.revoked").write_bytes(encode_revocation(revocation(OTHER_KEY)))
        store = TrustStore.load([folder])
        assert (set(store), store.current([A, B])) == ({A}, frozenset())  # the old one does not come back

    def test_that_is_malformed_is_named(self, folder):
        (folder / "x.rotation.json").write_bytes(STATEMENT[:-1])
        with pytest.raises(KeyFileError, match=r"x\.rotation\.json: not a statement") as error:
            TrustStore.load([folder])
        assert "cogd-train rotate" in error.value.hint

    def test_contradicts_another(self):
        with pytest.raises(KeyFileError, match=rf"1\.rotation\.json: replaces {A}, which .*0\.rotation\.json has"):
            trust(KEY, rotated=[(KEY, OTHER_KEY), (KEY, THIRD_KEY)])
        assert trust(KEY, rotated=[(KEY, OTHER_KEY), (KEY, OTHER_KEY)]).retired == {A: B}

    @pytest.mark.parametrize("keys", [(KEY, OTHER_KEY), (KEY, OTHER_KEY, THIRD_KEY)])
    def test_in_a_circle_is_refused_in_whatever_order(self, keys):
        for steps in permutations(pairwise([*keys, keys[0]])):
            with pytest.raises(KeyFileError, match="leads back to"):
                trust(*keys, rotated=steps)

    def test_holders_and_successors(self):
        store = trust(KEY, OTHER_KEY, THIRD_KEY, rotated=[(OTHER_KEY, THIRD_KEY), (KEY, OTHER_KEY)])
        assert store.successors([A]) == {A, B, C}
        assert store.successors([B, "unknown"]) == {B, C, "unknown"}
        assert store.successors([]) == frozenset()
        assert store.holders([A, B]) == store.holders([C]) == {C}
        assert store.current(store) == {C}


MANY = [PrivateKey(bytes([n + 1] * 32)) for n in range(6)]
STEPS = {(a, b): rotation(MANY[a], MANY[b]) for a in range(6) for b in range(6) if a != b}


def in_a_circle(steps: list[tuple[int, int]]) -> bool:
    reached = set(steps)
    for _ in MANY:
        reached |= {(a, d) for a, b in reached for c, d in reached if b == c}
    return any(a == b for a, b in reached)


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=7), st.sets(st.integers(0, 5)))
def test_successors_are_what_can_be_reached(steps, first):
    ids = [key.public.key_id for key in MANY]
    try:
        store = TrustStore(
            [(key.public, Path("k")) for key in MANY], rotations=[(STEPS[step], Path(str(step))) for step in steps]
        )
    except KeyFileError:
        assert in_a_circle(steps) or len({a for a, _ in steps}) < len(set(steps))
        return
    assert not in_a_circle(steps)
    expected = set(first)
    for _ in MANY:
        expected |= {b for a, b in steps if a in expected}
    start = {ids[n] for n in first}
    assert store.successors(start) == {ids[n] for n in expected}
    assert store.successors(store.successors(start)) == store.successors(start)
    assert store.holders(start) == store.current(store.successors(start))
    assert store.current(ids) == set(ids) - store.retired.keys()


class TestThreshold:
    def test_is_one_without_its_file(self, folder):
        assert TrustStore.load([folder]).threshold == 1

    @pytest.mark.parametrize("k", range(1, 9))
    def test_is_read(self, folder, k):
        (folder / "threshold").write_text(f"{k}\n")
        assert TrustStore.load([folder]).threshold == k
        assert TrustStore.load([folder, folder.parent / "missing"]).threshold == k

    @pytest.mark.parametrize("text", ["", "1", "0\n", "9\n", "-1\n", " 1\n", "1\n\n", "01\n", "two\n", "\u0662\n"])
    def test_that_is_no_small_number_is_an_error(self, folder, text):
        (folder / "threshold").write_text(text)
        with pytest.raises(KeyFileError, match=r"threshold: is not one digit from 1 to 8") as error:
            TrustStore.load([folder])
        assert str(folder / "threshold") in error.value.hint


class TestWhoMayWrite:
    @pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
    def test_the_folder(self, folder, mode):
        folder.chmod(mode)
        with pytest.raises(KeyFileError, match=rf"{folder}: others may write to it \(mode {mode:04o}\)") as error:
            TrustStore.load([folder])
        assert error.value.hint == f"chmod go-w {folder}"

    @pytest.mark.parametrize("name", ["a.pub", "x.revoked", "x.rotation.json", "threshold"])
    @pytest.mark.parametrize("mode", [0o664, 0o646])
    def test_each_file(self, folder, name, mode):
        (folder / "x.revoked").write_bytes(REVOCATION)
        (folder / "x.rotation.json").write_bytes(STATEMENT)
        (folder / "threshold").write_text("1\n")
        TrustStore.load([folder])
        (folder / name).chmod(mode)
        with pytest.raises(KeyFileError, match=rf"{name}: others may write to it"):
            TrustStore.load([folder])

    def test_what_a_link_leads_to(self, folder, tmp_path):
        keys.save_public(tmp_path / "linked", THIRD_KEY.public)
        (folder / "c.pub").symlink_to(tmp_path / "linked")
        assert C in TrustStore.load([folder])
        (tmp_path / "linked").chmod(0o666)
        with pytest.raises(KeyFileError, match=r"c\.pub: others may write"):
            TrustStore.load([folder])

    def test_not_a_file_that_is_named_on_the_command_line(self, folder):
        (folder / "a.pub").chmod(0o664)
        assert A in TrustStore.load(files=[folder / "a.pub"])

    def test_a_folder_that_is_swapped_meanwhile_is_not_read(self, folder, tmp_path, monkeypatch):
        """What is read is what was checked, whatever bears its name by then."""
        real = os.listdir

        def swap(fd):
            folder.rename(tmp_path / "old")
            folder.mkdir()
            keys.save_public(folder / "a.pub", THIRD_KEY.public)
            return real(fd)

        with monkeypatch.context() as patch:
            patch.setattr("cogd.bundle.trust.os.listdir", swap)
            assert set(TrustStore.load([folder])) == {A, B}


class TestFind:
    STORE = trust(KEY, revoked=[OTHER_KEY])

    @pytest.mark.parametrize("length", [8, 9, 63, 64])
    def test_by_the_beginning(self, length):
        assert self.STORE.find(A[:length]) == A
        assert self.STORE.find(A[:length].upper()) == A
        assert self.STORE.find(B[:length]) == B

    def test_keys_of_rotations(self):
        store = trust(KEY, rotated=[(KEY, THIRD_KEY)])
        assert store.find(C[:8]) == C

    def test_a_whole_id_that_nobody_knows(self):
        assert self.STORE.find("0" * 64) == "0" * 64

    @pytest.mark.parametrize("text", ["", A[:7], A + "0", "x" * 8, A[:8] + " ", A[:8] + "\n"])
    def test_what_is_no_id(self, text):
        with pytest.raises(ConfigError, match="is no key id"):
            self.STORE.find(text)

    def test_none_and_several(self):
        with pytest.raises(ConfigError, match="0 keys here have ids that begin with 00000000"):
            self.STORE.find("00000000")
        near = [revocation(KEY), Revocation(key_id=A[:8] + "0" * 56, reason="", revoked_at="2026-01-02T03:04:05Z")]
        store = TrustStore(revocations=[(entry, Path("x")) for entry in near])
        with pytest.raises(ConfigError, match="2 keys here") as error:
            store.find(A[:8])
        assert "whole" in error.value.hint
        assert store.find(A[:9]) == A
