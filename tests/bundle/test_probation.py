import pytest

from cogd.bundle.layout import PROBATION_NAME
from cogd.bundle.probation import is_on_trial, note_proven
from cogd.errors import StorageError

from .apps import install
from .factory import make_bundle

APP = "person-count"
ONE, TWO, THREE = (make_bundle(version=version) for version in ("1.0.0", "2.0.0", "3.0.0"))


@pytest.fixture
def store(tmp_path):
    install(tmp_path, ONE)
    return install(tmp_path, TWO)[0]


def test_only_what_came_over_another_is_on_trial(tmp_path):
    store, _ = install(tmp_path, ONE)
    assert not is_on_trial(store, APP)
    assert not is_on_trial(store, "nobody")
    install(tmp_path, TWO)
    assert is_on_trial(store, APP)


def test_until_it_has_proven_itself(tmp_path, store):
    note_proven(store, APP, ONE.verified().digest)  # not the one that is installed
    assert is_on_trial(store, APP)
    note_proven(store, APP, TWO.verified().digest)
    assert not is_on_trial(store, APP)
    install(tmp_path, THREE)
    assert is_on_trial(store, APP)


@pytest.mark.parametrize("raw", [b"", b"\0" * 20, b"[]", b"\xff", b'{"proven": -1}'])
def test_what_is_damaged_begins_anew(tmp_path, store, raw):
    (tmp_path / APP / "current" / PROBATION_NAME).write_bytes(raw)
    assert is_on_trial(store, APP)


def test_what_can_not_be_noted(tmp_path, store, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("cogd.bundle.durable.replace_file", fail)
    with pytest.raises(StorageError, match="the trial of person-count was not noted"):
        note_proven(store, APP, TWO.verified().digest)
