"""Bundles on disk, beside what others leave there."""

import os
from pathlib import Path

import pytest

from cogd.bundle.appliance import AppConfig
from cogd.bundle.changes import changing
from cogd.bundle.folder import app_names
from cogd.bundle.load import load_apps, load_archives, load_bundle
from cogd.bundle.probation import note_proven
from cogd.bundle.store import Store
from cogd.errors import (
    ArchiveError,
    BundleError,
    ConfigError,
    DigestError,
    ManifestError,
    SignatureError,
    UnknownKeyError,
)

from .apps import install, installed
from .factory import OTHER_KEY, make_bundle, sign_anything, trust

MADE = make_bundle()


def unpacked(apps: Path, made=MADE) -> Path:
    """The bundle's files, with files that were not signed beside."""
    directory = made.unpack(apps / made.verified().manifest.id)
    for name in ("manifest.json", "config.json", "pid", "output.log"):
        (directory / name).write_text("not json")
    return directory


def test_archive_and_directory_are_the_same(tmp_path):
    one = load_bundle(MADE.save(tmp_path / "a.tar"), trust())
    two = load_bundle(unpacked(tmp_path), trust())
    assert one.digest == two.digest == MADE.verified().digest
    assert one.members() == two.members() == MADE.members


def test_only_signed_names_are_opened(tmp_path, monkeypatch):
    directory = unpacked(tmp_path)
    opened = []
    real = os.open

    def spy(path, flags, *args, **kwargs):
        opened.append(str(path))
        return real(path, flags, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr("cogd.bundle.regular.os.open", spy)
        load_bundle(directory, trust())
        assert sorted(opened) == sorted([*MADE.members, str(directory)])
        opened.clear()
        with pytest.raises(UnknownKeyError):
            load_bundle(directory, trust(OTHER_KEY))
        assert sorted(opened) == sorted(["bundle.json", "bundle.dsse.json", str(directory)])


@pytest.mark.parametrize("name", sorted(MADE.members))
def test_file_that_is_gone_changed_or_a_link(tmp_path, name):
    directory = unpacked(tmp_path)
    path = directory / name
    original = path.read_bytes()

    path.write_bytes(original + b"x")
    if name in MADE.verified().files:
        with pytest.raises(DigestError, match=f"{name}: has {len(original) + 1} bytes, more than {len(original)}"):
            load_bundle(directory, trust())
    else:
        with pytest.raises(SignatureError):
            load_bundle(directory, trust())
    path.unlink()
    with pytest.raises(DigestError, match=f"{name}: is missing"):
        load_bundle(directory, trust())
    (tmp_path / "elsewhere").write_bytes(original)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DigestError, match=f"{name}: is a symbolic link"):
        load_bundle(directory, trust())
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DigestError, match=f"{name}: is not a regular file"):
        load_bundle(directory, trust())
    path.unlink()
    path.write_bytes(original)
    assert load_bundle(directory, trust()).members() == MADE.members


def test_large_files_are_not_read(tmp_path, monkeypatch):
    directory = unpacked(tmp_path)
    for name in MADE.members:
        with (directory / name).open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.truncate(1 << 40)
        with pytest.raises(DigestError, match=f"{name}: has 1099511627776 bytes"):
            load_bundle(directory, trust())
        os.truncate(directory / name, size)
    with (tmp_path / "a.tar").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ArchiveError, match="has 1099511627776 bytes"):
        load_bundle(tmp_path / "a.tar", trust())


def test_directory_swapped_while_it_is_read(tmp_path, monkeypatch):
    directory = unpacked(tmp_path)
    newer = make_bundle({**MADE.verified().files, "model.onnx": b"new"}, version="2.0.0")
    newer.unpack(tmp_path / "new")
    real = load_bundle.__globals__["verify_manifest"]

    def swap(*args, **kwargs):
        directory.rename(tmp_path / "old")
        (tmp_path / "new").rename(directory)
        return real(*args, **kwargs)

    monkeypatch.setattr("cogd.bundle.load.verify_manifest", swap)
    assert load_bundle(directory, trust()).manifest.version == "1.2.3"
    monkeypatch.undo()
    assert load_bundle(directory, trust()).manifest.version == "2.0.0"


def test_no_path(tmp_path):
    with pytest.raises(ArchiveError, match="No such file"):
        load_bundle(tmp_path / "missing", trust())
    (tmp_path / "link.tar").symlink_to(MADE.save(tmp_path / "a.tar"))
    with pytest.raises(ArchiveError, match="symbolic link"):
        load_bundle(tmp_path / "link.tar", trust())


def test_no_apps(tmp_path):
    assert load_apps(tmp_path / "missing", trust()) == ([], [])
    assert load_apps(tmp_path, trust()) == ([], [])
    with pytest.raises(BundleError, match="Not a directory"):
        load_apps(MADE.save(tmp_path / "a.tar"), trust())


def test_good_ones_beside_bad_ones(tmp_path):
    made = {name: make_bundle(id=name) for name in ("zebra", "alpha", "mouse")}
    for one in made.values():
        installed(tmp_path, one)
    (tmp_path / "mouse" / "config.json").write_text('{"min_confidence": 0.5}')
    # Bad ones, each in its own way.
    installed(tmp_path, make_bundle(id="stranger", keys=[OTHER_KEY]))
    installed(tmp_path, make_bundle(id="original")).rename(tmp_path / "renamed")
    (installed(tmp_path, make_bundle(id="configured")) / "config.json").write_text('{"volume": 11}')
    (installed(tmp_path, make_bundle(id="hollow")) / "current" / "bundle.json").write_text("{}")
    nonsense = installed(tmp_path, make_bundle(id="nonsense"))
    for name, data in sign_anything(b"{}").items():
        (nonsense / "current" / name).write_bytes(data)
    astray = {"dangling": "versions/7-1.0.0", "outside": "../alpha/current", "absolute": "/etc", "looped": "current"}
    for name, target in astray.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "current").symlink_to(target)
    # What is no app.
    (tmp_path / "ha-matter").mkdir()
    (tmp_path / "ha-matter" / "manifest.json").write_text("{}")
    make_bundle(id="unpacked").unpack(tmp_path / "unpacked")
    make_bundle(id="copied").save(tmp_path / "copied.tar")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "current").mkdir()
    installed(tmp_path, make_bundle(id="hidden")).rename(tmp_path / ".hidden")

    apps, rejected = load_apps(tmp_path, trust())
    assert [app.bundle.manifest.id for app in apps] == ["alpha", "mouse", "zebra"]
    assert [app.config.min_confidence for app in apps] == [0, 0.5, 0]
    assert [(entry.id, type(entry.error)) for entry in rejected] == [
        ("absolute", DigestError),
        ("configured", ConfigError),
        ("dangling", DigestError),
        ("hollow", SignatureError),
        ("looped", DigestError),
        ("nonsense", ManifestError),
        ("outside", DigestError),
        ("renamed", BundleError),
        ("stranger", UnknownKeyError),
    ]
    assert app_names(tmp_path) == sorted([entry.id for entry in rejected] + ["alpha", "mouse", "zebra"])


def test_an_app_is_read_through_its_pointer(tmp_path):
    folder = installed(tmp_path)
    assert load_bundle(folder, trust()).digest == MADE.verified().digest
    # The links beside it are for others: what they lead to does not matter.
    (folder / "bundle.json").unlink()
    (folder / "bundle.json").write_text("{}")
    assert load_bundle(folder, trust()).digest == MADE.verified().digest


def test_the_version_is_taken_away_while_it_is_read(tmp_path, monkeypatch):
    folder = installed(tmp_path)
    newer = make_bundle(version="2.0.0")
    real = load_bundle.__globals__["load_folder"]

    def replaced(path, *args, **kwargs):
        monkeypatch.undo()
        for made in (newer, make_bundle(version="3.0.0"), make_bundle(version="4.0.0")):
            store, _ = install(tmp_path, made)
            note_proven(store, "person-count", made.verified().digest)
        assert not path.exists()
        return real(path, *args, **kwargs)

    monkeypatch.setattr("cogd.bundle.load.load_folder", replaced)
    assert load_bundle(folder, trust()).manifest.version == "4.0.0"


def test_the_app_is_removed_while_it_is_read(tmp_path, monkeypatch):
    folder = installed(tmp_path)
    real = load_bundle.__globals__["load_folder"]

    def removed(path, *args, **kwargs):
        monkeypatch.undo()
        with changing(Store(tmp_path), 0) as changes:
            changes.remove("person-count", forget=False)
        return real(path, *args, **kwargs)

    monkeypatch.setattr("cogd.bundle.load.load_folder", removed)
    with pytest.raises(DigestError, match="current: No such file"):
        load_bundle(folder, trust())


def test_archives_that_are_run_as_they_are(tmp_path):
    good, bad = MADE.save(tmp_path / "good.tar"), tmp_path / "bad.tar"
    bad.write_bytes(b"")
    apps, rejected = load_archives([good, bad], trust())
    assert [(app.bundle.digest, app.config) for app in apps] == [(MADE.verified().digest, AppConfig())]
    assert [(entry.path, type(entry.error)) for entry in rejected] == [(str(bad), ArchiveError)]


def test_a_version_of_cogd_may_be_given(tmp_path):
    with pytest.raises(BundleError, match=r"this is 0\.0\.9"):
        load_bundle(MADE.save(tmp_path / "a.tar"), trust(), cogd_version="0.0.9")
    installed(tmp_path / "apps")
    assert load_apps(tmp_path / "apps", trust(), cogd_version="0.0.9")[0] == []
    assert len(load_apps(tmp_path / "apps", trust(), cogd_version="7.0.0")[0]) == 1


def test_a_folder_without_permission_is_rejected_not_hidden(open_path, ordinary_user):
    folder = installed(open_path)
    folder.chmod(0)
    try:
        with ordinary_user():
            assert [entry.path for entry in load_apps(open_path, trust())[1]] == [str(folder)]
    finally:
        folder.chmod(0o755)
