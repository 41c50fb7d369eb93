"""Installing, going back, removing. (tests/crash interrupts all of it at every step.)"""

import errno
import json
import os
import stat

import msgspec
import pytest

from cogd.bundle.changes import changing
from cogd.bundle.load import load_apps, load_bundle
from cogd.bundle.probation import note_proven
from cogd.bundle.record import Record
from cogd.bundle.store import Store
from cogd.errors import (
    LockedError,
    NoAppError,
    NoSpaceError,
    NothingToRollBackError,
    PermissionDeniedError,
    StorageError,
)

from .apps import install, installed, record_of
from .factory import make_bundle, trust

ONE, TWO, THREE = (make_bundle(version=version) for version in ("1.0.0", "2.0.0", "3.0.0"))
APP = "person-count"


def files(folder):
    """Every path below `folder` but the lock, with what it holds or leads to."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_bytes()
    found.pop(".cogd/lock", None)
    return found


def roll_back(store):
    with changing(store, 0) as changes:
        changes.roll_back(APP)


def remove(store, *, forget=False):
    with changing(store, 0) as changes:
        changes.remove(APP, forget=forget)


def failing_at(monkeypatch, call, number=errno.EIO, *, after=0):
    """Make a call of `durable` fail, but for the first `after` times."""
    real, left = getattr(os, call), [after]

    def fail(*args, **kwargs):
        if left[0] == 0:
            raise OSError(number, os.strerror(number), "/somewhere")
        left[0] -= 1
        return real(*args, **kwargs)

    monkeypatch.setattr(f"cogd.bundle.durable.os.{call}", fail)


def test_the_layout(tmp_path):
    folder = installed(tmp_path, ONE)
    found = files(tmp_path)
    version = f"{APP}/versions/1-1.0.0"
    assert set(found) == {
        f".cogd/memory/{APP}.json",
        f"{APP}/current",
        f"{APP}/bundle.json",
        f"{APP}/bundle.dsse.json",
        f"{APP}/manifest.json",
        f"{APP}/config.json",
        f"{version}/.install.json",
        f"{version}/manifest.json",
        *(f"{version}/{name}" for name in ONE.members),
    }
    assert found[f"{APP}/current"] == "-> versions/1-1.0.0"
    for name, data in ONE.members.items():
        assert found[f"{version}/{name}"] == data
    for name in ("bundle.json", "bundle.dsse.json", "manifest.json"):
        assert found[f"{APP}/{name}"] == f"-> current/{name}"
    assert json.loads((folder / "manifest.json").read_bytes())["version"] == "1.0.0"
    assert (folder / "bundle.json").read_bytes() == ONE.members["bundle.json"]


def test_others_may_read_it_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        installed(tmp_path / "deep" / "apps", ONE)
    finally:
        os.umask(before)
    for path in (tmp_path / "deep").rglob("*"):
        if not path.is_symlink() and path.name != "lock":
            assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


def versions(folder):
    return sorted(path.name for path in (folder / APP / "versions").iterdir())


def proven(store):
    """A daemon has seen the installed version work."""
    note_proven(store, APP, store.installed(APP).digest)


def test_upgrades_keep_the_version_before_and_no_other(tmp_path):
    for made in (ONE, TWO, THREE):
        store, _ = install(tmp_path, made)
        proven(store)
    with changing(store, 0):
        assert versions(tmp_path) == ["2-2.0.0", "3-3.0.0"]
    assert (store.installed(APP).version, store.previous(APP).version) == ("3.0.0", "2.0.0")
    assert load_bundle(tmp_path / APP, trust()).manifest.version == "3.0.0"


def test_while_one_is_on_trial_everything_can_be_as_it_was(tmp_path):
    """Its failure goes back to the version before, and that can then go back to its own."""
    for made in (ONE, TWO):
        store, _ = install(tmp_path, made)
        proven(store)
    before = files(tmp_path / APP)
    install(tmp_path, THREE)
    assert versions(tmp_path) == ["1-1.0.0", "2-2.0.0", "3-3.0.0"]
    with changing(store, 0) as changes:
        changes.go_back(APP, store.last_good_folder(APP).name)
    assert files(tmp_path / APP) == before
    roll_back(store)
    assert store.installed(APP).version == "1.0.0"


def test_what_has_not_proven_itself_is_nothing_to_go_back_to_for_a_daemon(tmp_path):
    install(tmp_path, ONE)
    install(tmp_path, TWO)
    store, _ = install(tmp_path, THREE)
    assert (store.previous(APP).version, store.last_good(APP).version) == ("2.0.0", "1.0.0")
    install(tmp_path, make_bundle(version="4.0.0"))
    assert (store.previous(APP).version, store.last_good(APP).version) == ("3.0.0", "1.0.0")
    assert versions(tmp_path) == ["1-1.0.0", "3-3.0.0", "4-4.0.0"]
    roll_back(store)
    assert (store.installed(APP).version, store.last_good(APP).version) == ("3.0.0", "1.0.0")


def test_the_same_bundle_again_keeps_what_it_goes_back_to(tmp_path):
    install(tmp_path, ONE)
    install(tmp_path, TWO)
    (tmp_path / APP / "current" / "model.onnx").write_bytes(b"damaged")
    store, verdict = install(tmp_path, TWO)
    assert verdict.change == "same"
    assert store.previous(APP).version == "1.0.0"
    assert load_bundle(tmp_path / APP, trust()).digest == TWO.verified().digest


def test_roll_back_goes_back_once(tmp_path):
    store, _ = install(tmp_path, ONE)
    with pytest.raises(NothingToRollBackError, match=r"person-count 1\.0\.0: no earlier version is kept"):
        roll_back(store)
    before = files(tmp_path / APP)
    install(tmp_path, TWO)
    roll_back(store)
    assert files(tmp_path / APP) == before
    assert store.memory(APP).highest[ONE.keys[0].public.key_id].version == "2.0.0"
    with pytest.raises(NothingToRollBackError):
        roll_back(store)
    with pytest.raises(NoAppError, match="there is no app nobody"), changing(store, 0) as changes:
        changes.roll_back("nobody")


def test_remove_and_forget(tmp_path):
    store, _ = install(tmp_path, ONE)
    memory = files(tmp_path)[f".cogd/memory/{APP}.json"]
    remove(store)
    assert files(tmp_path) == {f".cogd/memory/{APP}.json": memory}
    with pytest.raises(NoAppError):
        remove(store)
    remove(store, forget=True)
    assert files(tmp_path) == {}
    with pytest.raises(NoAppError):
        remove(store, forget=True)
    install(tmp_path, ONE)
    remove(store, forget=True)
    assert files(tmp_path) == {}


def test_the_users_config_survives(tmp_path):
    store, _ = install(tmp_path, ONE)
    config = tmp_path / APP / "config.json"
    assert json.loads(config.read_bytes()) == {"min_confidence": 0}
    config.write_text('{"min_confidence": 0.4}')
    inode = config.stat().st_ino
    install(tmp_path, TWO)
    roll_back(store)
    assert (config.read_text(), config.stat().st_ino) == ('{"min_confidence": 0.4}', inode)
    config.unlink()
    install(tmp_path, TWO)
    assert not config.exists()


def test_a_folder_that_the_appliance_has_made(tmp_path):
    folder = tmp_path / APP
    folder.mkdir()
    for name in ("config.json", "manifest.json", "output.log", "error.log", "pid"):
        (folder / name).write_text("theirs")
    install(tmp_path, ONE)
    assert (folder / "config.json").read_text() == (folder / "output.log").read_text() == "theirs"
    assert json.loads((folder / "manifest.json").read_bytes())["id"] == APP
    assert load_bundle(folder, trust()).digest == ONE.verified().digest


def test_a_folder_of_another_program(tmp_path):
    folder = tmp_path / APP
    folder.mkdir()
    (folder / f"cog-{APP}-arm").write_bytes(b"\x7fELF")
    (folder / "config.json").write_text("{}")
    before = files(folder)
    with pytest.raises(StorageError, match=r"holds cog-person-count-arm, which cogd did not put there") as caught:
        install(tmp_path, ONE)
    assert "remove it first" in caught.value.hint
    assert files(folder) == before
    with changing(Store(tmp_path), 0):
        assert files(folder) == before


def test_a_link_that_was_replaced_is_put_back_by_the_next_installation(tmp_path):
    folder = installed(tmp_path, ONE)
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_text("the gateway's")
    install(tmp_path, TWO)
    assert json.loads((folder / "manifest.json").read_bytes())["version"] == "2.0.0"


def test_left_overs_are_cleared_and_nothing_else(tmp_path):
    store, _ = install(tmp_path, ONE)
    install(tmp_path, TWO)
    (tmp_path / "ha-matter" / "versions" / "1-1.0.0").mkdir(parents=True)
    (tmp_path / "ha-matter" / "versions" / "notes").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    before = files(tmp_path)
    staging = tmp_path / ".cogd" / "staging"
    for path in (staging / "new" / "versions", staging / "removed", tmp_path / APP / "versions" / "9-9.0.0"):
        path.mkdir(parents=True)
        (path / "file").touch()
    (tmp_path / APP / f".{'0' * 16}").symlink_to("versions/9-9.0.0")
    (tmp_path / APP / f".{'1' * 16}").symlink_to("current/bundle.json")
    (tmp_path / ".cogd" / "memory" / f".{'a' * 16}").touch()
    (tmp_path / APP / ".keep").touch()
    with changing(store, 0):
        pass
    assert files(tmp_path) == before | {f"{APP}/.keep": b""}


def test_the_beginning_of_a_first_installation_is_cleared(tmp_path):
    """Into a folder that was there: the version is in its place, the pointer is not."""
    folder = installed(tmp_path, ONE)
    (folder / "current").unlink()
    assert load_apps(tmp_path, trust()) == ([], [])
    with changing(Store(tmp_path), 0):
        assert os.listdir(folder) == ["config.json"]


def test_what_had_no_time_to_be_remembered_is(tmp_path):
    store, _ = install(tmp_path, ONE)
    before = store.memory(APP)
    store.layout.memory(APP).unlink()
    with changing(store, 0):
        assert store.memory(APP) == before


def test_a_damaged_record_keeps_everything(tmp_path):
    store, _ = install(tmp_path, ONE)
    install(tmp_path, TWO)
    (tmp_path / APP / "current" / ".install.json").write_bytes(b"\0" * 100)
    before = files(tmp_path)
    with pytest.raises(StorageError, match="is damaged"):
        install(tmp_path, THREE)
    with pytest.raises(StorageError):
        roll_back(store)
    assert files(tmp_path) == before
    remove(store)
    assert install(tmp_path, THREE)[1].change == "first"


def test_a_damaged_pointer(tmp_path):
    store, _ = install(tmp_path, ONE)
    pointer = tmp_path / APP / "current"
    pointer.unlink()
    pointer.symlink_to("/etc")
    before = files(tmp_path)
    with pytest.raises(StorageError, match="leads to '/etc', which is no version"):
        install(tmp_path, TWO)
    assert files(tmp_path) == before
    remove(store)


def test_while_another_changes(tmp_path):
    store, _ = install(tmp_path, ONE)
    with changing(store, 0), pytest.raises(LockedError):
        install(tmp_path, TWO)
    install(tmp_path, TWO)


def test_numbers_go_on(tmp_path):
    store, _ = install(tmp_path, ONE)
    install(tmp_path, TWO)
    roll_back(store)
    install(tmp_path, TWO)
    assert sorted(os.listdir(tmp_path / APP / "versions")) == ["1-1.0.0", "2-2.0.0"]


def test_an_installation_that_fails_takes_everything_away_again(tmp_path, monkeypatch):
    store, _ = install(tmp_path, ONE)
    before = files(tmp_path)
    for call, number, kind in (
        ("write", errno.ENOSPC, NoSpaceError),
        ("rename", errno.EACCES, PermissionDeniedError),
        ("symlink", errno.EDQUOT, NoSpaceError),
    ):
        failing_at(monkeypatch, call, number)
        with pytest.raises(kind, match=r"person-count 2\.0\.0 was not installed: .*\(/somewhere\)"):
            install(tmp_path, TWO)
        monkeypatch.undo()
        assert files(tmp_path) == before
    assert store.installed(APP).version == "1.0.0"
    install(tmp_path, TWO)


def test_what_was_changed_last_must_be_durable_before_anything_else(tmp_path, monkeypatch):
    install(tmp_path, ONE)
    before = files(tmp_path)
    failing_at(monkeypatch, "fsync")
    with pytest.raises(StorageError, match=r"the apps directory .*\(/somewhere\)"):
        install(tmp_path, TWO)
    monkeypatch.undo()
    assert files(tmp_path) == before


def test_a_switch_that_is_not_durable_is_taken_back(tmp_path, monkeypatch):
    """The pointer was renamed, but its folder can't be synced."""
    store, _ = install(tmp_path, ONE)
    install(tmp_path, TWO)
    from cogd.bundle import durable

    real = durable.make_link

    def not_durable(path, target):
        real(path, target)
        monkeypatch.undo()
        raise OSError(errno.EIO, "Input/output error")

    for change in (lambda: roll_back(store), lambda: install(tmp_path, THREE)):
        monkeypatch.setattr("cogd.bundle.durable.make_link", not_durable)
        with pytest.raises(StorageError):
            change()
        assert store.installed(APP).version == "2.0.0"


def test_a_first_installation_that_is_not_durable_is_taken_back(tmp_path, monkeypatch):
    from cogd.bundle import durable

    real = durable.move

    def not_durable(source, target):
        real(source, target)
        monkeypatch.undo()
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("cogd.bundle.durable.move", not_durable)
    with pytest.raises(StorageError):
        install(tmp_path, ONE)
    assert load_apps(tmp_path, trust()) == ([], [])
    assert files(tmp_path) == {}


def test_a_pointer_into_an_appliance_folder_that_is_not_durable_is_taken_back(tmp_path, monkeypatch):
    (tmp_path / APP).mkdir()
    (tmp_path / APP / "config.json").write_text("{}")
    from cogd.bundle import durable

    real = durable.make_link

    def not_durable(path, target):
        real(path, target)
        if path.name == "current":
            monkeypatch.undo()
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("cogd.bundle.durable.make_link", not_durable)
    with pytest.raises(StorageError):
        install(tmp_path, ONE)
    assert files(tmp_path) == {f"{APP}/config.json": b"{}"}


def test_a_removal_that_fails_leaves_the_app(tmp_path, monkeypatch):
    store, _ = install(tmp_path, ONE)
    before = files(tmp_path)
    failing_at(monkeypatch, "rename")
    with pytest.raises(StorageError, match="person-count was not removed"):
        remove(store)
    monkeypatch.undo()
    assert files(tmp_path) == before


def test_memory_that_can_not_be_written_now_is_written_later(tmp_path, monkeypatch):
    from cogd.bundle import durable

    real = durable.move

    def fail(*_arguments, **_keywords):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(durable, "replace_file", fail)
    monkeypatch.setattr(durable, "move", lambda a, b: fail() if b.parent.name == "memory" else real(a, b))
    store, _ = install(tmp_path, ONE)
    assert store.memory(APP) is None
    with changing(store, 0):  # still not, but this is no reason to stop
        assert store.memory(APP) is None
    with pytest.raises(StorageError, match="person-count was not removed"):  # but to forget is
        remove(store)
    monkeypatch.undo()
    with changing(store, 0):
        assert store.memory(APP) is not None


def test_forgetting_that_fails_takes_the_removal_back(tmp_path, monkeypatch):
    store, _ = install(tmp_path, ONE)
    before = files(tmp_path)
    from cogd.bundle import durable

    real = durable.move

    def move(source, target):
        real(source, target)
        if target.name.endswith("forgotten"):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(durable, "move", move)
    with pytest.raises(StorageError):
        remove(store, forget=True)
    monkeypatch.undo()
    assert files(tmp_path) == before


def test_clearing_that_fails_is_left_for_the_next_time(tmp_path, monkeypatch):
    for made in (ONE, TWO):
        proven(install(tmp_path, made)[0])
    proven(install(tmp_path, THREE)[0])
    failing_at(monkeypatch, "rmdir")
    store, _ = install(tmp_path, make_bundle(version="4.0.0"))
    assert store.installed(APP).version == "4.0.0"
    monkeypatch.undo()
    with changing(store, 0):
        assert versions(tmp_path) == ["2-2.0.0", "3-3.0.0", "4-4.0.0"]


def test_what_can_not_be_cleared_away_is_in_nobodys_way(tmp_path, monkeypatch):
    store, _ = install(tmp_path, ONE)
    monkeypatch.setattr("cogd.bundle.durable.remove_tree", lambda _path: (_ for _ in ()).throw(OSError(1, "no")))
    for _ in range(2):
        remove(store)
        install(tmp_path, ONE)
    monkeypatch.undo()
    with changing(store, 0):
        assert not list(store.layout.staging.iterdir())


def test_nothing_of_others_is_cleared_away(tmp_path):
    apps, outside = tmp_path / "apps", tmp_path / "outside"
    install(apps, ONE)
    outside.mkdir()
    for folder in (outside, apps / APP, apps / "other"):
        folder.mkdir(exist_ok=True)
        (folder / f".{'0' * 16}").write_text("precious")
        (folder / f".{'1' * 16}").symlink_to("/etc")
    (apps / "linked").symlink_to(outside)
    before = files(tmp_path)
    with changing(Store(apps), 0):
        pass
    assert files(tmp_path) == before


@pytest.mark.parametrize("app_id", ["../other", "..", ".", "a", "", "/etc", "A-B", "x" * 33, "a/b", ".cogd"])
def test_ids_that_lead_elsewhere(tmp_path, app_id):
    store, _ = install(tmp_path / "apps", ONE)
    installed(tmp_path, make_bundle(id="other"))
    before = files(tmp_path)
    for forget in (False, True):
        with changing(store, 0) as changes, pytest.raises(NoAppError, match="is no app's id"):
            changes.remove(app_id, forget=forget)
    with pytest.raises(NoAppError):
        store.installed(app_id)
    assert files(tmp_path) == before


class TestUndoingTheFirst:
    def undo(self, store, memory):
        with changing(store, 0) as changes:
            changes.undo_first(APP, memory)

    def test_leaves_nothing(self, tmp_path):
        store, _ = install(tmp_path, ONE)
        self.undo(store, None)
        assert files(tmp_path) == {}

    def test_leaves_what_the_appliance_had_there(self, tmp_path):
        (tmp_path / APP).mkdir()
        for name in ("config.json", "output.log"):
            (tmp_path / APP / name).write_text("theirs")
        before = files(tmp_path)
        store, _ = install(tmp_path, ONE)
        self.undo(store, None)
        assert files(tmp_path) == before

    def test_leaves_what_was_remembered(self, tmp_path):
        store, _ = install(tmp_path, ONE)
        remove(store)
        before, memory = files(tmp_path), store.memory(APP)
        install(tmp_path, TWO)
        self.undo(store, memory)
        assert files(tmp_path) == before

    def test_may_fail(self, tmp_path, monkeypatch):
        store, _ = install(tmp_path, ONE)
        (tmp_path / APP / "output.log").touch()
        failing_at(monkeypatch, "unlink")
        with changing(store, 0) as changes, pytest.raises(StorageError, match="was not taken back"):
            changes.undo_first(APP, None)


def test_no_place_for_the_apps_directory(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="the apps directory"):
        install(tmp_path / "file" / "apps", ONE)
    install(tmp_path / "apps", ONE)
    monkeypatch.setattr("pathlib.Path.iterdir", lambda self: (_ for _ in ()).throw(PermissionError(13, "denied")))
    with changing(Store(tmp_path / "apps"), 0):
        pass


def test_previous_that_is_no_longer_there(tmp_path):
    store, _ = install(tmp_path, ONE)
    install(tmp_path, TWO)
    import shutil

    shutil.rmtree(tmp_path / APP / "versions" / "1-1.0.0")
    assert store.previous(APP) is None
    with pytest.raises(NothingToRollBackError):
        roll_back(store)
    assert store.installed("nobody") is store.previous("nobody") is None


def test_a_version_before_that_can_not_be_looked_at(tmp_path, monkeypatch):
    install(tmp_path, ONE)
    store, _ = install(tmp_path, TWO)

    def fail(_path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("pathlib.Path.is_dir", fail)
    with pytest.raises(StorageError, match=r"1-1\.0\.0: Input/output error"):
        store.previous(APP)


def test_records_that_can_not_be_read(tmp_path):
    store, _ = install(tmp_path, ONE)
    record = tmp_path / APP / "current" / ".install.json"
    record.unlink()
    with pytest.raises(StorageError, match="is missing") as caught:
        store.installed(APP)
    assert "cogd remove person-count" in caught.value.hint
    record.mkdir()
    with pytest.raises(StorageError, match="is not a regular file"):
        store.installed(APP)


def test_the_record_tells_what_was_measured(tmp_path):
    store, _ = install(tmp_path, ONE)
    record = store.installed(APP)
    assert record == msgspec.structs.replace(record_of(ONE), previous=None)
    assert isinstance(record, Record)
    assert record.proofs[0].runs == 100


def test_a_folder_without_permission(open_path, ordinary_user):
    folder = installed(open_path, ONE)
    folder.chmod(0)
    try:
        with ordinary_user(), pytest.raises(PermissionDeniedError, match="person-count/current"):
            Store(open_path).installed(APP)
    finally:
        folder.chmod(0o755)


def test_an_appliance_folder_keeps_its_own_files_beside_a_cleared_beginning(tmp_path):
    folder = installed(tmp_path, ONE)
    (folder / "current").unlink()
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_text("theirs")
    with changing(Store(tmp_path), 0):
        assert sorted(os.listdir(folder)) == ["config.json", "manifest.json"]
