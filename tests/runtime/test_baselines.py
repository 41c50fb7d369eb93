"""What is kept of quiet rooms: the file, which versions, and what is used."""

import json
import os

import msgspec
import pytest

from cogd.errors import CogdError, PermissionDeniedError, StorageError
from cogd.runtime.baselines import FILE_NAME, Baselines, Measured


def measured(node="a/1", digest="sha256:1", app="motion-app", score=-3.5, **changes) -> Measured:
    one = Measured(
        app=app, digest=digest, node=node, score=score, spread=0.1, n=200, seconds=10.0, time=1000.0, origin="live"
    )
    return msgspec.structs.replace(one, **changes)


def store(baselines: Baselines, *new: Measured) -> None:
    merged = baselines.with_measured(new)
    baselines.write(merged)
    baselines.take(merged)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


class TestTheFile:
    def test_gives_back_what_was_stored(self, folder):
        one, two = measured(), measured("a/2", score=1e-6)
        store(Baselines(folder), one, two)
        again = Baselines(folder)
        again.load()
        assert list(again) == [one, two]
        assert again.of("motion-app", "sha256:1") == {"a/1": one, "a/2": two}

    def test_that_is_not_there_holds_nothing(self, folder):
        baselines = Baselines(folder)
        baselines.load()
        assert not list(baselines)
        assert not folder.exists()

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda raw: raw[:-5],
            lambda raw: b"",
            lambda raw: b"\xff",
            lambda raw: b"[" * 100_000,
            lambda raw: raw.replace(b"cogd.baselines/1", b"cogd.baselines/2"),
            lambda raw: raw.replace(b'"n": 200', b'"n": 0'),
            lambda raw: raw.replace(b'"n": 200', b'"n": 200, "more": 1'),
            lambda raw: raw.replace(b'"score": -3.5', b'"score": null'),
        ],
    )
    def test_that_is_damaged_is_an_error_that_says_what_to_do(self, folder, spoil):
        store(Baselines(folder), measured())
        path = folder / FILE_NAME
        path.write_bytes(spoil(path.read_bytes()))
        baselines = Baselines(folder)
        with pytest.raises(StorageError) as caught:
            baselines.load()
        assert "cogd calibrate" in caught.value.hint
        assert not list(baselines)

    def test_that_is_a_link_or_a_pipe_is_not_read(self, folder):
        folder.mkdir()
        os.mkfifo(folder / FILE_NAME)
        with pytest.raises(StorageError):
            Baselines(folder).load()

    def test_is_for_people_too(self, folder):
        store(Baselines(folder), measured())
        text = (folder / FILE_NAME).read_text()
        assert json.loads(text)["baselines"][0]["node"] == "a/1"
        assert text.endswith("}\n")
        assert [path.name for path in folder.iterdir()] == [FILE_NAME]

    def test_that_can_not_be_written_leaves_everything_as_it_was(self, tmp_path):
        (tmp_path / "state").touch()
        baselines = Baselines(tmp_path / "state")
        with pytest.raises(CogdError, match="the baselines were not stored"):
            baselines.write([measured()])
        assert not list(baselines)

    def test_that_could_not_be_written_is_told_before(self, tmp_path, monkeypatch):
        Baselines(tmp_path / "state").check_writable()  # it would be made
        with pytest.raises(PermissionDeniedError, match="may not write") as caught:
            Baselines(tmp_path / "none" / "state").check_writable()
        assert "state_dir" in caught.value.hint
        assert not list(tmp_path.iterdir())


class TestWhatIsUsed:
    def test_is_of_the_very_bundle_and_of_the_node(self, folder):
        baselines = Baselines(folder)
        used = baselines.of("motion-app", "sha256:1")
        store(baselines, measured(), measured("a/2", "sha256:2"), measured("a/3", app="other"))
        assert set(used) == {"a/1"}  # it was asked for before it was measured

    def test_is_the_newest_measurement(self, folder):
        baselines = Baselines(folder)
        used = baselines.of("motion-app", "sha256:1")
        store(baselines, measured(score=1.0))
        store(baselines, measured(score=2.0, time=5.0))  # the clock was set back
        assert used["a/1"].score == 2.0
        assert len(list(baselines)) == 1

    def test_is_no_longer_what_was_taken_away(self, folder):
        baselines = Baselines(folder)
        used = baselines.of("motion-app", "sha256:1")
        store(baselines, measured())
        baselines.take([])
        assert not used


def test_of_an_app_and_node_the_newest_two_bundles_are_kept(folder):
    baselines = Baselines(folder)
    for digest in ("1", "2", "3"):
        store(baselines, measured(digest=digest), measured("a/2", digest=digest, app="other"))
    assert [(one.node, one.digest) for one in baselines] == [("a/1", "2"), ("a/1", "3"), ("a/2", "2"), ("a/2", "3")]
    store(baselines, measured(digest="2"), measured(digest="4"))
    assert [one.digest for one in baselines if one.node == "a/1"] == ["2", "4"]
