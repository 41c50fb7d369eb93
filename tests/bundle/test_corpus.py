"""What fuzzing has found worth keeping is tried again, without the fuzzer."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from cogd.bundle.archive import read_archive, write_archive
from cogd.errors import ManifestError
from tests.fuzz import properties
from tests.fuzz.mutate_json import mutate_json
from tests.fuzz.properties import MADE, OTHER, PROPERTIES
from tests.fuzz.seeds import SEEDS, main

from .factory import make_bundle

FUZZ = Path(__file__).parents[1] / "fuzz"
CORPUS = {target: sorted((FUZZ / "corpus" / target).iterdir()) for target in PROPERTIES}


@pytest.mark.parametrize(
    ("target", "path"),
    [pytest.param(target, path, id=f"{target}-{path.name[:8]}") for target in CORPUS for path in CORPUS[target]],
)
def test_kept(target, path):
    PROPERTIES[target](path.read_bytes())


@pytest.mark.parametrize("target", PROPERTIES)
def test_seeds(target, tmp_path):
    main(tmp_path)
    assert sorted(path.read_bytes() for path in (tmp_path / target).iterdir()) == sorted(SEEDS[target])
    for raw in SEEDS[target]:
        PROPERTIES[target](raw)


def test_there_is_one_of_each():
    assert SEEDS.keys() == PROPERTIES.keys() == {path.stem.removeprefix("fuzz_") for path in FUZZ.glob("fuzz_*.py")}
    assert {path.name for path in (FUZZ / "corpus").iterdir()} == set(PROPERTIES)
    assert all(CORPUS.values())
    for script in ("run", "merge"):
        assert " ".join(PROPERTIES) in (FUZZ / script).read_text()


def test_the_corpus_is_small():
    files = [path for paths in CORPUS.values() for path in paths]
    assert len(files) < 1000
    assert sum(path.stat().st_size for path in files) < 1_500_000


def test_the_fuzzer_is_not_needed():
    code = "import sys, tests.fuzz.seeds, tests.bundle.test_corpus; sys.exit('atheris' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=FUZZ.parents[1], check=True)


class TestTheProperties:
    """Each notices what it is there for."""

    def test_archive(self, monkeypatch):
        monkeypatch.setattr(properties, "write_archive", lambda files: write_archive(files) + b"\0")
        with pytest.raises(AssertionError):
            properties.archive(SEEDS["archive"][0])

    def test_archive_in_pieces(self, monkeypatch):
        monkeypatch.setattr(properties, "read_archive", lambda raw: read_archive(raw) | {"a": b"x"})
        monkeypatch.setattr(properties, "write_archive", lambda files: SEEDS["archive"][0])
        with pytest.raises(AssertionError):
            properties.archive(SEEDS["archive"][0])

    def test_archive_with_its_checksums_made_right(self):
        assert properties.repaired(MADE.archive[:148] + b"00000000" + MADE.archive[156:]) == MADE.archive
        for garbage in (b"", b"x" * 100, b"x" * 2000, bytes(5000)):
            properties.repaired(garbage)

    def test_manifest(self, monkeypatch):
        raw = MADE.members["bundle.json"]
        monkeypatch.setattr(properties, "encode_manifest", lambda _: OTHER.members["bundle.json"])
        with pytest.raises(AssertionError):
            properties.manifest(raw)

        def crash(_):
            raise ZeroDivisionError

        monkeypatch.setattr(properties, "parse_manifest", crash)
        with pytest.raises(ZeroDivisionError):
            properties.manifest(raw)

    def test_envelope(self):
        with pytest.raises(AssertionError):  # KEY has signed it, but not here
            properties.envelope(make_bundle(version="9.9.9").members["bundle.dsse.json"])

    def test_bundle(self, monkeypatch):
        monkeypatch.setattr(properties, "MADE", make_bundle(version="9.9.9"))
        with pytest.raises(AssertionError):
            properties.bundle(b"")
        monkeypatch.undo()
        monkeypatch.setattr(properties, "TRUST", properties.trust(properties.OTHER_KEY))
        with pytest.raises(AssertionError):
            properties.bundle(b"")

    def test_messages(self):
        properties._check_message(ManifestError("a"))
        for text in ("", "x" * 1001):  # others can no longer be made
            with pytest.raises(AssertionError):
                properties._check_message(ManifestError(text))


@pytest.mark.parametrize("raw", [SEEDS["manifest"][0], SEEDS["envelope"][0]])
def test_changes_of_json_are_many_and_repeatable(raw):
    made = [mutate_json(raw, 4000, seed, shorter) for seed in range(100)]
    assert made == [mutate_json(raw, 4000, seed, shorter) for seed in range(100)]
    assert len(set(made)) > 40
    assert any(json.loads(one) != json.loads(raw) for one in made if one.endswith(b"}"))


@pytest.mark.parametrize("raw", [SEEDS["manifest"][0], b"{", b"", b"1", b"[]", b"[" * 5000, b"9" * 4300])
def test_changes_of_json_keep_to_the_length_that_is_allowed(raw):
    assert all(len(mutate_json(raw, 1000, seed, shorter)) <= 1000 for seed in range(100))


def shorter(data: bytes, size: int) -> bytes:
    return data[: min(size, len(data) // 2)]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="pip install atheris")
def test_the_fuzzer_runs(tmp_path):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run([FUZZ / "run", "1", tmp_path], env=os.environ | {"PATH": path}, check=True)
    assert list((tmp_path / "crashes").iterdir()) == []
    assert {path.stem for path in tmp_path.glob("*.log")} == set(PROPERTIES)
