"""The file of the memory of crashes: what it holds while a daemon runs, and where it can't be kept."""

import os
import stat
import threading

import pytest
import structlog

from cogd.errors import ModelError
from cogd.runtime.crashes import CrashMemory, ask_to_forget, boot_id, note_path
from tests.bundle.factory import make_manifest

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
MANIFEST = make_manifest()


@pytest.fixture
def path(tmp_path):
    return note_path(tmp_path, tmp_path / "apps")


def die(path, during, boot="a boot"):
    """A daemon that dies: its file is what it was then."""
    memory = CrashMemory(path, boot)
    with memory.running([A, B]), during(memory):
        kept = path.read_bytes()
    path.write_bytes(kept)


def refused(path, *digests):
    memory, found = CrashMemory(path, "a boot"), []
    with memory.running([A, B]):
        for digest in digests or (A, B):
            try:
                memory.check(digest, MANIFEST)
            except ModelError:
                found.append(digest)
    return found


@pytest.mark.parametrize("during", [lambda m: m.loading(B), lambda m: m.first_inference(B)])
def test_three_deaths_leave_it_out(path, during):
    for _ in range(3):
        assert refused_now(path) == []
        die(path, during)
    assert refused(path) == [B]
    assert refused(path) == [B]


def refused_now(path):
    """As `refused`, of the file as it is, which stays."""
    kept = path.read_bytes() if path.exists() else None
    found = refused(path)
    if kept is not None:
        path.write_bytes(kept)
    else:
        path.unlink()
    return found


def test_what_has_inferred_is_blamed_later(path):
    def ran(memory):
        with memory.first_inference(B):
            pass
        return threading.Lock()

    for _ in range(3):
        die(path, ran)
    assert refused(path) == [B]


def test_the_error_says_what_to_do(path):
    for _ in range(3):
        die(path, lambda m: m.loading(B))
    memory = CrashMemory(path, "a boot")
    with memory.running([A, B]), pytest.raises(ModelError) as raised:
        memory.check(B, MANIFEST)
    assert str(raised.value).endswith("is left out: 3 starts of the daemon ended without run.stopped over it")
    assert "cogd install" in raised.value.hint


def test_an_exception_is_no_death(path):
    for _ in range(5):
        memory = CrashMemory(path, "a boot")
        with pytest.raises(KeyboardInterrupt), memory.running([A]), memory.loading(A):
            raise KeyboardInterrupt
    assert refused(path) == []


def test_forgetting_while_no_daemon_runs_and_while_one_does(path, tmp_path):
    apps = tmp_path / "apps"
    assert not ask_to_forget(tmp_path, apps, B)
    for _ in range(3):
        die(path, lambda m: m.loading(B))
    assert ask_to_forget(tmp_path, apps, B)
    assert refused(path) == []
    for _ in range(3):
        die(path, lambda m: m.loading(B))
    memory = CrashMemory(path, "a boot")
    with memory.running([A, B]):
        with pytest.raises(ModelError):
            memory.check(B, MANIFEST)
        assert ask_to_forget(tmp_path, apps, B)
        memory.check(B, MANIFEST)
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, path.with_suffix(".lock").name])


def test_the_daemons_of_other_apps_have_other_files(tmp_path):
    assert note_path(tmp_path, tmp_path / "one") != note_path(tmp_path, tmp_path / "other")
    (tmp_path / "link").symlink_to(tmp_path / "one")
    assert note_path(tmp_path, tmp_path / "one") == note_path(tmp_path, tmp_path / "link")


@pytest.mark.parametrize("raw", [b"", b"\0" * 99, b"[]", b"\xff", b'{"format":"cogd.crashes/2"}'])
def test_a_damaged_file_is_none(path, raw):
    path.write_bytes(raw)
    assert refused(path) == []


class TestWhereNothingCanBeRemembered:
    @pytest.fixture(autouse=True)
    def every_level(self):
        """Tests of the command line set a level, below which nothing would be captured."""
        before = structlog.get_config()
        structlog.reset_defaults()
        yield
        structlog.configure(**before)

    def said(self, memory):
        with structlog.testing.capture_logs() as logs, memory.running([A]), memory.loading(A):
            memory.check(A, MANIFEST)
            memory.confirm()
            assert memory.confirm_s is None
        return [log["message"] for log in logs]

    def test_for_want_of_a_folder(self, tmp_path):
        assert "No such file" in self.said(CrashMemory(tmp_path / "none" / "crashes.json", "a boot"))[0]

    def test_for_want_of_a_boot_id(self, path):
        assert self.said(CrashMemory(path, None)) == ["the machine's boot id is not known"]

    def test_because_another_daemon_does(self, path):
        with CrashMemory(path, "a boot").running([A]):
            assert "another daemon" in self.said(CrashMemory(path, "a boot"))[0]

    def test_because_nothing_is_to_be(self, tmp_path):
        assert self.said(CrashMemory(None, "a boot")) == []
        assert os.listdir(tmp_path) == []

    def test_because_the_disk_fails_later(self, path):
        memory = CrashMemory(path, "a boot")
        with structlog.testing.capture_logs() as logs, memory.running([A]):
            path.parent.joinpath(path.stem + ".new").mkdir()
            with memory.loading(A), memory.first_inference(A):
                pass
        assert [log["event"] for log in logs] == ["crashes are not remembered any more"]


def test_the_files_are_readable_and_the_lock_is_not(path):
    with CrashMemory(path, "a boot").running([A]):
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert stat.S_IMODE(path.with_suffix(".lock").stat().st_mode) == 0o600


def test_the_boot_id_is_the_units_or_the_kernels(monkeypatch):
    monkeypatch.delenv("COGD_BOOT_ID", raising=False)
    kernels = boot_id()
    assert kernels
    assert kernels == boot_id()
    monkeypatch.setenv("COGD_BOOT_ID", "0123")
    assert boot_id() == "0123"
