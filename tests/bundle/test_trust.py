"""Which keys are trusted."""

from pathlib import Path

import pytest

from cogd.bundle import keys
from cogd.bundle.trust import TrustStore
from cogd.errors import KeyFileError

from .factory import KEY, OTHER_KEY


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
    keys.save_public(open_path / "a.pub", KEY.public)
    (open_path / "a.pub").chmod(0)
    with ordinary_user(), pytest.raises(KeyFileError, match=r"a\.pub: Permission denied"):
        TrustStore.load([open_path])


def test_it_is_immutable():
    store = TrustStore([(KEY.public, Path("a.pub"))])
    with pytest.raises(TypeError):
        store["x"] = OTHER_KEY.public
    with pytest.raises(TypeError):
        store._keys["x"] = OTHER_KEY.public
    with pytest.raises(AttributeError):
        store.more = 1
