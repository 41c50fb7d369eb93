"""Changes of a trust folder: what each does, what it refuses, and what a machine that stops half-way leaves."""

import errno
import os
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from cogd.bundle import durable, keys, trust_folder
from cogd.bundle.revocation import encode_revocation
from cogd.bundle.rotation import make_rotation
from cogd.bundle.trust import TrustStore
from cogd.bundle.verify import verify_bundle
from cogd.errors import (
    ConfigError,
    KeyFileError,
    NoSpaceError,
    PermissionDeniedError,
    RevokedKeyError,
    StorageError,
    ThresholdError,
    UnknownKeyError,
)

from .factory import KEY, OTHER_KEY, THIRD_KEY, make_bundle, revocation

A, B, C = (key.public.key_id for key in (KEY, OTHER_KEY, THIRD_KEY))
NOW_S = 1767323045.9
CREATED = "2026-01-02T03:04:05Z"
STATEMENT = make_rotation(KEY, OTHER_KEY, CREATED)


@pytest.fixture
def pub(tmp_path):
    """Public key files outside of the trust folder, by key."""
    outside = tmp_path / "outside"
    outside.mkdir()

    def path(key):
        file = outside / f"{key.public.key_id}.pub"
        if not file.exists():
            keys.save_public(file, key.public)
        return file

    return path


@pytest.fixture
def folder(tmp_path, pub):
    """A trust folder with one key."""
    trust_folder.add(tmp_path / "trust.d", pub(KEY))
    return tmp_path / "trust.d"


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class TestAdd:
    def test_names_the_file_after_the_key(self, folder):
        assert content(folder) == {f"{A[:16]}.pub": KEY.public.to_pem().encode()}
        assert (folder / f"{A[:16]}.pub").stat().st_mode & 0o7777 == 0o644
        assert list(TrustStore.load([folder])) == [A]

    def test_under_a_name(self, folder, pub):
        added = trust_folder.add(folder, pub(OTHER_KEY), "lab.2026")
        assert added == (OTHER_KEY.public, folder / "lab.2026.pub", False)
        assert set(TrustStore.load([folder])) == {A, B}

    def test_makes_the_folder_for_its_owner_to_write_alone(self, tmp_path, pub):
        old = os.umask(0)
        try:
            trust_folder.add(tmp_path / "etc" / "cogd" / "trust.d", pub(KEY))
        finally:
            os.umask(old)
        assert (tmp_path / "etc/cogd").stat().st_mode & 0o777 == 0o755
        assert list(TrustStore.load([tmp_path / "etc/cogd/trust.d"])) == [A]

    def test_under_a_name_with_its_suffix(self, folder, pub):
        assert trust_folder.add(folder, pub(OTHER_KEY), "bob.pub").path.name == "bob.pub"

    def test_in_a_folder_named_from_here(self, tmp_path, pub, monkeypatch):
        monkeypatch.chdir(tmp_path)
        added = trust_folder.add(Path("here"), pub(KEY))
        assert added.path == Path("here") / f"{A[:16]}.pub"
        assert added.path.exists()

    def test_again_changes_nothing(self, folder, pub):
        before = content(folder)
        assert trust_folder.add(folder, pub(KEY), "other") == (KEY.public, folder / f"{A[:16]}.pub", True)
        assert content(folder) == before

    def test_refuses_a_private_key(self, folder, tmp_path):
        keys.save_private(tmp_path / "secret.pem", OTHER_KEY)
        with pytest.raises(KeyFileError, match=r"secret\.pem: is a private key"):
            trust_folder.add(folder, tmp_path / "secret.pem")
        assert len(content(folder)) == 1

    def test_refuses_a_revoked_key_by_whatever_name(self, folder, pub):
        trust_folder.revoke(folder, B, "", NOW_S)
        before = content(folder)
        with pytest.raises(RevokedKeyError, match=f"{B} is revoked since {CREATED}") as error:
            trust_folder.add(folder, pub(OTHER_KEY), "again")
        assert str(folder / f"{B}.revoked") in error.value.hint
        assert content(folder) == before

    @pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../a", "/tmp/a", "a b", "a\n", "x" * 97, "é"])
    def test_refuses_what_is_no_name(self, folder, pub, name):
        with pytest.raises(ConfigError, match="can't name a file"):
            trust_folder.add(folder, pub(OTHER_KEY), name)

    def test_overwrites_nothing(self, folder, pub):
        with pytest.raises(KeyFileError, match="is another key"):
            trust_folder.add(folder, pub(OTHER_KEY), A[:16])
        trust_folder.add(folder, pub(OTHER_KEY), "taken")
        before = content(folder)
        with pytest.raises(KeyFileError, match=r"taken\.pub: is another key"):
            trust_folder.add(folder, pub(THIRD_KEY), "taken")
        assert content(folder) == before

    def test_does_not_touch_a_folder_that_can_not_be_trusted(self, folder, pub):
        (folder / "x.revoked").write_text("{}")
        for change in (
            lambda: trust_folder.add(folder, pub(OTHER_KEY)),
            lambda: trust_folder.revoke(folder, A, "", NOW_S),
            lambda: trust_folder.rotate(folder, STATEMENT),
            lambda: trust_folder.set_threshold(folder, 1),
        ):
            with pytest.raises(KeyFileError, match=r"x\.revoked"):
                change()
        assert len(content(folder)) == 2


class TestRevoke:
    @pytest.mark.parametrize("start", [A[:8], A[:20].upper(), A])
    def test_by_the_beginning_of_its_id(self, folder, start):
        made = trust_folder.revoke(folder, start, "stolen", NOW_S)
        assert made == revocation(KEY)
        assert (folder / f"{A}.revoked").read_bytes() == encode_revocation(made)
        store = TrustStore.load([folder])
        assert (len(store), store.revoked) == (0, {A: made})
        with pytest.raises(RevokedKeyError, match="stolen"):
            verify_bundle(make_bundle().members, store)

    def test_in_advance_needs_the_whole_id(self, folder, tmp_path):
        with pytest.raises(ConfigError, match="0 keys here"):
            trust_folder.revoke(folder, B[:16], "", NOW_S)
        trust_folder.revoke(folder, B, "", NOW_S)
        trust_folder.revoke(tmp_path / "new" / "trust.d", B, "", NOW_S)
        for place in (folder, tmp_path / "new/trust.d"):
            assert list(TrustStore.load([place]).revoked) == [B]

    def test_again_keeps_the_first(self, folder):
        first = trust_folder.revoke(folder, A, "first", NOW_S)
        before = content(folder)
        assert trust_folder.revoke(folder, A[:8], "second", NOW_S + 100) == first
        assert content(folder) == before

    def test_of_a_key_whose_id_begins_alike_undoes_no_other(self, folder):
        alike = A[:63] + ("0" if A[63] != "0" else "1")
        trust_folder.revoke(folder, A, "", NOW_S)
        trust_folder.revoke(folder, alike, "", NOW_S)
        assert TrustStore.load([folder]).revoked.keys() == {A, alike}

    @pytest.mark.parametrize("reason", ["two\nlines", "\x1b[31m", "x" * 201, "\ud800", "\x85"])
    def test_needs_a_reason_that_can_be_shown(self, folder, reason):
        with pytest.raises(ConfigError, match="the reason can't be written down") as error:
            trust_folder.revoke(folder, A, reason, NOW_S)
        assert "one line" in error.value.hint
        assert list(TrustStore.load([folder])) == [A]

    def test_is_allowed_below_the_threshold(self, folder, pub):
        trust_folder.add(folder, pub(OTHER_KEY))
        trust_folder.set_threshold(folder, 2)
        trust_folder.revoke(folder, A, "", NOW_S)
        with pytest.raises(ThresholdError):
            verify_bundle(make_bundle(keys=[KEY, OTHER_KEY]).members, TrustStore.load([folder]))


class TestRotate:
    def test_trusts_the_new_key_and_retires_the_old(self, folder):
        rotation = trust_folder.rotate(folder, STATEMENT)
        assert (rotation.old, rotation.new) == (KEY.public, OTHER_KEY.public)
        store = TrustStore.load([folder])
        assert (set(store), store.retired, store.current(store)) == ({A, B}, {A: B}, {B})
        assert sorted(content(folder)) == sorted([f"{A[:16]}.pub", f"{B[:16]}.pub", f"{A}.rotation.json"])
        assert verify_bundle(make_bundle(keys=[OTHER_KEY]).members, store).key_ids == (B,)

    def test_to_a_key_that_is_trusted_already(self, folder, pub):
        trust_folder.add(folder, pub(OTHER_KEY), "b")
        trust_folder.rotate(folder, STATEMENT)
        assert sorted(content(folder)) == sorted([f"{A[:16]}.pub", "b.pub", f"{A}.rotation.json"])

    def test_again_does_no_harm_and_mends(self, folder):
        trust_folder.rotate(folder, STATEMENT)
        before = content(folder)
        trust_folder.rotate(folder, STATEMENT)
        assert content(folder) == before
        (folder / f"{B[:16]}.pub").unlink()
        trust_folder.rotate(folder, STATEMENT)
        assert content(folder) == before

    def test_goes_on_from_the_new_key(self, folder):
        trust_folder.rotate(folder, STATEMENT)
        trust_folder.rotate(folder, make_rotation(OTHER_KEY, THIRD_KEY, CREATED))
        store = TrustStore.load([folder])
        assert (store.successors([A]), store.current(store)) == ({A, B, C}, {C})

    def test_refuses_an_old_key_that_is_not_trusted(self, folder, tmp_path):
        with pytest.raises(UnknownKeyError, match=f"{B}, which is to be replaced, is not trusted"):
            trust_folder.rotate(folder, make_rotation(OTHER_KEY, THIRD_KEY, CREATED))
        with pytest.raises(UnknownKeyError):
            trust_folder.rotate(tmp_path / "missing", STATEMENT)
        assert len(content(folder)) == 1

    @pytest.mark.parametrize("key", [A, B])
    def test_refuses_revoked_keys(self, folder, key):
        trust_folder.revoke(folder, key, "", NOW_S)
        with pytest.raises(RevokedKeyError, match=key):
            trust_folder.rotate(folder, STATEMENT)
        assert len(content(folder)) == 2

    def test_refuses_a_second_successor(self, folder):
        trust_folder.rotate(folder, STATEMENT)
        before = content(folder)
        with pytest.raises(KeyFileError, match=f"{A} has been replaced by {B}"):
            trust_folder.rotate(folder, make_rotation(KEY, THIRD_KEY, CREATED))
        assert content(folder) == before

    def test_refuses_a_way_back(self, folder):
        trust_folder.rotate(folder, STATEMENT)
        with pytest.raises(KeyFileError, match=f"{A} has itself been replaced by {B}"):
            trust_folder.rotate(folder, make_rotation(OTHER_KEY, KEY, CREATED))
        trust_folder.rotate(folder, make_rotation(OTHER_KEY, THIRD_KEY, CREATED))
        with pytest.raises(KeyFileError, match="has itself been replaced"):
            trust_folder.rotate(folder, make_rotation(THIRD_KEY, KEY, CREATED))

    def test_refuses_what_is_no_statement(self, folder):
        with pytest.raises(KeyFileError, match="not a statement"):
            trust_folder.rotate(folder, b"{}")

    def test_then_revoking_the_old_key_keeps_the_new_one(self, folder):
        trust_folder.rotate(folder, STATEMENT)
        trust_folder.revoke(folder, A, "", NOW_S)
        store = TrustStore.load([folder])
        assert (set(store), store.current(store), store.successors([A])) == ({B}, {B}, {A, B})


class TestThreshold:
    def test_is_written(self, folder, pub):
        trust_folder.add(folder, pub(OTHER_KEY))
        for k in (2, 1):
            trust_folder.set_threshold(folder, k)
            assert (folder / "threshold").read_bytes() == b"%d\n" % k
            assert TrustStore.load([folder]).threshold == k

    @pytest.mark.parametrize("k", [-1, 0, 9])
    def test_is_1_to_8(self, folder, k):
        with pytest.raises(ConfigError, match=r"not within 1\.\.8"):
            trust_folder.set_threshold(folder, k)

    def test_is_no_more_than_can_sign(self, folder, pub, tmp_path):
        with pytest.raises(ConfigError, match="2 keys can't sign: 1 "):
            trust_folder.set_threshold(folder, 2)
        trust_folder.rotate(folder, STATEMENT)  # one publisher has two keys now
        with pytest.raises(ConfigError, match="2 keys can't sign: 1 "):
            trust_folder.set_threshold(folder, 2)
        trust_folder.add(folder, pub(THIRD_KEY))
        trust_folder.revoke(folder, C, "", NOW_S)
        with pytest.raises(ConfigError, match="2 keys can't sign: 1 "):
            trust_folder.set_threshold(folder, 2)
        with pytest.raises(ConfigError, match="1 keys can't sign: 0 "):
            trust_folder.set_threshold(tmp_path / "missing", 1)


CHANGES = {
    "add": lambda folder, pub: trust_folder.add(folder, pub(THIRD_KEY)),
    "revoke": lambda folder, pub: trust_folder.revoke(folder, A, "stolen", NOW_S),
    "rotate": lambda folder, pub: trust_folder.rotate(folder, STATEMENT),
    "threshold": lambda folder, pub: trust_folder.set_threshold(folder, 1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
class TestWhatCanNotBeWritten:
    @pytest.mark.parametrize(
        ("number", "kind"),
        [
            (errno.EACCES, PermissionDeniedError),
            (errno.EPERM, PermissionDeniedError),
            (errno.EROFS, StorageError),
            (errno.ENOSPC, NoSpaceError),
            (errno.EDQUOT, NoSpaceError),
            (errno.EIO, StorageError),
        ],
    )
    def test_has_its_error_and_leaves_nothing(self, folder, pub, change, number, kind, monkeypatch):
        before = content(folder)
        pub(THIRD_KEY)

        def fail(fd):
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr("cogd.bundle.durable.os.fsync", fail)
            with pytest.raises(kind, match=str(folder)):
                change(folder, pub)
        assert content(folder) == before

    def test_because_of_the_folder(self, open_path, ordinary_user, pub, change):
        folder = open_path / "trust.d"
        trust_folder.add(folder, pub(KEY))
        folder.chmod(0o555)
        third = open_path / "third.pub"
        keys.save_public(third, THIRD_KEY.public)
        with ordinary_user(), pytest.raises(PermissionDeniedError):
            change(folder, lambda key: third)
        folder.chmod(0o755)

    def test_every_machine_that_stops_leaves_a_folder_that_can_be_read(self, tmp_path, pub, change, monkeypatch):
        """Stopped before each of its system calls in turn, the same command completes it afterwards."""

        class Stop(BaseException):
            pass

        pub(THIRD_KEY)
        whole = None
        for at in count():
            folder = tmp_path / str(at)
            trust_folder.add(folder, pub(KEY))
            calls = count()

            def stopping(real, at=at, calls=calls):
                def call(*args, **kwargs):
                    if next(calls) >= at:
                        raise Stop
                    return real(*args, **kwargs)

                return call

            names = ("open", "write", "fsync", "fchmod", "rename", "mkdir", "chmod", "unlink", "close")
            fake = SimpleNamespace(**vars(os) | {name: stopping(getattr(os, name)) for name in names})
            with monkeypatch.context() as patch:
                patch.setattr(durable, "os", fake)
                try:
                    change(folder, pub)
                    stopped = False
                except Stop:
                    stopped = True
            store = TrustStore.load([folder])
            assert A in store or A in store.revoked
            assert store.current(store) or A in store.revoked
            change(folder, pub)
            result = {name: data for name, data in content(folder).items() if not name.startswith(".")}
            whole = whole or result
            assert result == whole
            if not stopped:
                break
        assert at > 5


def test_in_the_place_of_a_folder_is_something_else(tmp_path, pub):
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError, match="Not a directory"):
        trust_folder.add(tmp_path / "file", pub(KEY))
    with pytest.raises((StorageError, KeyFileError)):
        trust_folder.add(tmp_path / "file" / "trust.d", pub(KEY))
