"""Bundles on disk, beside what others leave there."""

import os
from pathlib import Path

import pytest

from cogd.bundle.store import load_apps, load_bundle
from cogd.bundle.verify import verify_bundle
from cogd.errors import ArchiveError, BundleError, DigestError, ManifestError, SignatureError, UnknownKeyError

from .factory import KEY, OTHER_KEY, make_bundle, sign_anything, trust

MADE = make_bundle()
APPLIANCE = {"manifest.json": "{}", "config.json": "not json", "pid": "1", "output.log": "", "error.log": "x"}


def installed(apps: Path, made=MADE) -> Path:
    """Unpacked as an installation does it, with the appliance's files beside."""
    directory = made.unpack(apps / made.verified().manifest.id)
    for name, text in APPLIANCE.items():
        (directory / name).write_text(text)
    return directory


def test_archive_and_directory_are_the_same(tmp_path):
    one = load_bundle(MADE.save(tmp_path / "a.tar"), trust())
    two = load_bundle(installed(tmp_path), trust())
    assert one.digest == two.digest == MADE.verified().digest
    assert one.members() == two.members() == MADE.members


def test_only_signed_names_are_opened(tmp_path, monkeypatch):
    directory = installed(tmp_path)
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
    directory = installed(tmp_path)
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
    directory = installed(tmp_path)
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
    directory = installed(tmp_path)
    newer = make_bundle({**MADE.verified().files, "model.onnx": b"new"}, version="2.0.0")
    newer.unpack(tmp_path / "new")
    real = load_bundle.__globals__["verify_manifest"]

    def swap(*args, **kwargs):
        directory.rename(tmp_path / "old")
        (tmp_path / "new").rename(directory)
        return real(*args, **kwargs)

    monkeypatch.setattr("cogd.bundle.store.verify_manifest", swap)
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
    installed(tmp_path, made["zebra"])
    made["alpha"].save(tmp_path / "x.tar")
    installed(tmp_path, made["mouse"])
    # Bad ones, each in its own way.
    (tmp_path / "garbage.tar").write_bytes(b"garbage")
    (tmp_path / "empty.tar").write_bytes(b"")
    (tmp_path / "loop.tar").symlink_to("loop.tar")
    make_bundle(id="stranger", keys=[OTHER_KEY]).save(tmp_path / "stranger.tar")
    make_bundle(id="original").unpack(tmp_path / "renamed")
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "bundle.json").write_text("{}")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "bundle.json").symlink_to("nowhere")
    (tmp_path / "nonsense").mkdir()
    for name, data in sign_anything(b"{}").items():
        (tmp_path / "nonsense" / name).write_bytes(data)
    # What is no app.
    (tmp_path / "ha-matter").mkdir()
    (tmp_path / "ha-matter" / "manifest.json").write_text("{}")
    make_bundle(id="staged").unpack(tmp_path / ".staged")
    make_bundle(id="staged").save(tmp_path / ".staged.tar")
    (tmp_path / "notes.txt").write_text("x")

    bundles, rejected = load_apps(tmp_path, trust())
    assert [bundle.manifest.id for bundle in bundles] == ["alpha", "mouse", "zebra"]
    assert [(entry.path.name, type(entry.error)) for entry in rejected] == [
        ("empty.tar", ArchiveError),
        ("garbage.tar", ArchiveError),
        ("hollow", DigestError),
        ("linked", DigestError),
        ("loop.tar", ArchiveError),
        ("nonsense", ManifestError),
        ("renamed", BundleError),
        ("stranger.tar", UnknownKeyError),
    ]
    assert load_apps(tmp_path, trust())[0][0].digest == bundles[0].digest


@pytest.mark.parametrize("names", [("a", "b", "c"), ("c", "b", "a"), ("b", "c", "a")])
def test_the_highest_version_is_kept(tmp_path, names):
    for name, version in zip(names, ("1.10.0-rc.1", "1.9.0", "1.10.0"), strict=True):
        make_bundle(version=version).save(tmp_path / f"{name}.tar")
    bundles, rejected = load_apps(tmp_path, trust())
    assert [bundle.manifest.version for bundle in bundles] == ["1.10.0"]
    assert [entry.path.stem for entry in rejected] == sorted(names[:2])
    for entry in rejected:
        assert "person-count 1." in str(entry.error)
        assert type(entry.error) is BundleError


def test_equal_versions_keep_the_first_by_name(tmp_path):
    installed(tmp_path)
    MADE.save(tmp_path / "person-count.tar")
    bundles, rejected = load_apps(tmp_path, trust())
    assert len(bundles) == 1
    assert [entry.path.name for entry in rejected] == ["person-count.tar"]
    assert "1.2.3 from person-count is used" in str(rejected[0].error)


def test_an_untrusted_higher_version_does_not_displace_the_trusted_one(tmp_path):
    installed(tmp_path)
    make_bundle(version="9.0.0", keys=[OTHER_KEY]).save(tmp_path / "person-count-9.tar")
    bundles, rejected = load_apps(tmp_path, trust())
    assert [bundle.manifest.version for bundle in bundles] == ["1.2.3"]
    assert [type(entry.error) for entry in rejected] == [UnknownKeyError]


def test_a_version_of_cogd_may_be_given(tmp_path):
    path = MADE.save(tmp_path / "a.tar")
    with pytest.raises(BundleError, match=r"this is 0\.0\.9"):
        load_bundle(path, trust(), cogd_version="0.0.9")
    assert load_apps(tmp_path, trust(), cogd_version="0.0.9")[0] == []
    assert verify_bundle(MADE.members, {KEY.public.key_id: KEY.public}, cogd_version="7.0.0").manifest.id


def test_a_directory_without_permission_is_rejected_not_hidden(open_path, ordinary_user):
    directory = installed(open_path)
    directory.chmod(0)
    try:
        with ordinary_user():
            assert [entry.path for entry in load_apps(open_path, trust())[1]] == [directory]
    finally:
        directory.chmod(0o755)
