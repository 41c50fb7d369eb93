import numpy as np
import pytest

from cogd.errors import TrainError
from cogd.train.data import cache

from .test_dataset import make_track

pytestmark = pytest.mark.train


def test_what_was_stored_comes_back_memory_mapped(tmp_path):
    track = make_track(moving=np.zeros(12, dtype=np.int8), left_out={"late": 3})

    cache.store(tmp_path / "new", "key", track)
    found = cache.fetch(tmp_path / "new", "key")

    assert isinstance(found.amplitude, np.memmap)
    assert not found.amplitude.flags.writeable
    np.testing.assert_array_equal(found.amplitude, track.amplitude)
    np.testing.assert_array_equal(found.moving, track.moving)
    assert (found.kinds, found.left_out, found.persons) == (track.kinds, track.left_out, None)
    assert cache.fetch(tmp_path / "new", "other") is None


def test_the_faster_of_two_wins_and_nothing_is_left_over(tmp_path):
    cache.store(tmp_path, "key", make_track(first=1.0))
    cache.store(tmp_path, "key", make_track(first=2.0))

    assert cache.fetch(tmp_path, "key").amplitude[0, 0] == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_track_that_could_not_be_written_whole_is_not_there(tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.np, "save", full)
    with pytest.raises(TrainError, match="can't be written: No space left on device"):
        cache.store(tmp_path, "key", make_track())

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["amplitude.npy", "rest.json"])
def test_a_broken_entry_is_told_and_not_decoded_around(tmp_path, name):
    cache.store(tmp_path, "key", make_track())
    (tmp_path / "key" / name).write_bytes(b"")

    with pytest.raises(TrainError, match=r"cached track .*key is broken") as told:
        cache.fetch(tmp_path, "key")
    assert told.value.hint == "delete that folder"


def test_a_key_covers_contents_and_words(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    keys = {cache.key_of(*args) for args in [([one],), ([two],), ([one, two],), ([one], "a"), ([one], "a", "b")]}

    assert len(keys) == 5
    with pytest.raises(TrainError, match="missing can't be read"):
        cache.key_of([tmp_path / "missing"])


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert cache.default_folder() == tmp_path / "cogd" / "tracks"
    assert cache.chosen_folder(None, None) is None
    assert cache.chosen_folder("on", None) == cache.default_folder()
    assert cache.chosen_folder("off", cache.default_folder()) is None
    assert cache.chosen_folder("/a/b", None).as_posix() == "/a/b"
