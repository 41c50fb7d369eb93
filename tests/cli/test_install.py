"""install, rollback, remove and list, as they are typed."""

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import cogd as cogd_package
import cogd_ort
from cogd.bundle.changes import changing
from cogd.bundle.manifest import Requires, Variant
from cogd.bundle.store import Store
from tests.bundle.factory import KEY, OTHER_KEY
from tests.runtime.factory import files_of, runnable_bundle

APP = "pose-app"
NOBODY = 65534


@pytest.fixture
def put(cogd, home, tmp_path):
    """Run `cogd install` on a bundle that is made for it."""

    def install(*words, archive=None, **changes):
        path = tmp_path / "bundle.tar"
        path.write_bytes(runnable_bundle(**changes).archive if archive is None else archive)
        return cogd("install", path, *home.flags, "--wait", "0", *words)

    return install


def shown(cogd, home):
    return {row["id"]: row for row in json.loads(cogd("list", *home.flags, "--json").out)}


def test_install_says_what_it_did(put):
    result = put()
    assert (result.status, result.err) == (0, "")
    first, *rest = result.out.splitlines()
    assert first == "pose-app 1.2.3 installed"
    assert [line.split()[0] for line in rest] == ["digest", "key", "backend", "daemon"]
    assert "golden error" in rest[2]
    assert put(version="2.0.0").out.startswith("pose-app 2.0.0 installed, 1.2.3 before\n")
    assert put(version="2.0.0").out.startswith("pose-app 2.0.0 is installed already\n")


def test_install_for_machines(put):
    put()
    facts = json.loads(put("--json", version="2.0.0").out)
    assert facts.keys() == {
        *("id", "version", "digest", "key_ids", "pinned", "installed_at", "proofs", "older_than"),
        *("change", "previous_version", "done", "daemon"),
    }
    assert (facts["change"], facts["previous_version"], facts["done"], facts["daemon"]) == (
        *("upgrade", "1.2.3", True),
        None,
    )


def test_install_from_standard_input(cogd, home, monkeypatch):
    made = runnable_bundle()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(made.archive)))
    assert cogd("install", "-", *home.flags).status == 0
    assert shown(cogd, home)[APP]["digest"] == made.verified().digest


def test_a_rehearsal(put, home, cogd):
    result = put("--dry-run")
    assert (result.status, os.listdir(home.apps)) == (0, [])
    assert "could be installed (first)" in result.out
    assert "daemon" not in result.out
    assert json.loads(put("--dry-run", "--json").out)["done"] is False
    assert put("--dry-run", keys=[OTHER_KEY]).status == 14


NOT_FOR_THIS = [Variant(backend="ort", file="model.onnx", precision="fp32", targets=["riscv64"])]
CHANGED = bytes(runnable_bundle(version="2.0.0").archive).replace(b"# A dummy", b"# a dummy")
REFUSALS = {
    "bad-archive": (11, {"archive": b"not a tar"}),
    "bad-signature": (
        13,
        {"archive": runnable_bundle(version="2.0.0").archive.replace(b'"version": "2.0.0"', b'"version": "3.0.0"')},
    ),
    "unknown-key": (14, {"keys": [OTHER_KEY], "version": "2.0.0"}),
    "bad-digest": (15, {"archive": CHANGED}),
    "requirement": (16, {"requires": Requires(cogd=">=0.1.0", features=[])}),
    "bad-model": (18, {"files": files_of("pose", **{"model.onnx": b"no model"}), "version": "2.0.0"}),
    "expired": (25, {"expires": "2026-02-01T00:00:00Z", "version": "2.0.0"}),
    "downgrade": (26, {"version": "1.0.0"}),
    "same-version": (27, {"files": files_of("pose", **{"MODEL_CARD.md": b"# Another\n"})}),
    "wrong-architecture": (28, {"variants": NOT_FOR_THIS, "version": "2.0.0"}),
}
del REFUSALS["requirement"]  # pack() makes none that this very cogd could not run; the next test has one


@pytest.mark.parametrize("code", REFUSALS)
def test_every_refusal_has_its_own_status_and_says_what_to_do(put, cogd, home, code):
    put()
    before = shown(cogd, home)
    status, changes = REFUSALS[code]
    result = put("--json", **changes)
    assert result.status == status
    assert result.err.startswith(f"cogd: {code}: ")
    assert "\ncogd: hint: " in result.err
    error = json.loads(result.out)["error"]
    assert (error["code"], error["exit_status"]) == (code, status)
    assert error["message"]
    assert error["hint"]
    assert shown(cogd, home) == before


@pytest.mark.parametrize(
    ("requires", "status"),
    [(Requires(cogd=">=99.0.0", features=[]), 16), (Requires(cogd=">=0.1.0", features=["time-travel"]), 29)],
)
def test_what_this_cogd_can_not_run(put, requires, status):
    from cogd.bundle.archive import write_archive
    from tests.bundle.factory import FILES, encode_manifest, make_bundle, sign_anything

    manifest = make_bundle().verified().manifest
    import msgspec

    members = sign_anything(encode_manifest(msgspec.structs.replace(manifest, requires=requires)), FILES)
    assert put(archive=write_archive(members)).status == status


def test_downgrade_on_purpose_is_logged(put, cogd, home):
    put()
    result = put("--allow-downgrade", version="1.0.0")
    assert result.status == 0
    assert result.err == "cogd: allowed: pose-app 1.0.0, older than 1.2.3\n"
    assert shown(cogd, home)[APP]["older_than"] == "1.2.3"
    result = put("--allow-downgrade", version="1.1.0")  # an upgrade, but below what was there before
    assert result.err == "cogd: allowed: pose-app 1.1.0, older than 1.2.3\n"
    result = put("--allow-downgrade", version="2.0.0")
    assert (result.status, result.err) == (0, "")
    assert shown(cogd, home)[APP]["older_than"] is None


def test_pinned_revoked_and_too_few_keys(put, cogd, home, tmp_path):
    from cogd.bundle.keys import save_public

    save_public(tmp_path / "other.pub", OTHER_KEY.public)
    put()
    assert cogd("trust", "add", tmp_path / "other.pub", "--trust-dir", home.trust).status == 0
    assert put(keys=[OTHER_KEY], version="2.0.0").status == 23
    assert cogd("trust", "threshold", "2", "--trust-dir", home.trust).status == 0
    assert put(version="2.0.0").status == 24
    assert shown(cogd, home)[APP]["state"] == "threshold"
    assert put(keys=[KEY, OTHER_KEY], version="2.0.0").status == 0
    assert cogd("trust", "revoke", KEY.public.key_id, "--trust-dir", home.trust).status == 0
    assert put(version="3.0.0").status == 22
    assert shown(cogd, home)[APP]["state"] in {"threshold", "revoked-key"}


def test_while_another_installs(put, home):
    with changing(Store(home.apps), 0):
        result = put()
    assert result.status == 32
    assert str(os.getpid()) in result.err


@pytest.mark.parametrize("wait", ["-1", "nan", "1e9"])
def test_patience_that_is_none(cogd, home, wait):
    assert cogd("install", "x.tar", *home.flags, "--wait", wait).status == 2


@pytest.mark.parametrize("name", ["absent.tar", "."])
def test_what_is_no_file(cogd, home, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    result = cogd("install", name, *home.flags)
    assert result.status == 11
    assert result.err.startswith("cogd: bad-archive: ")


def test_rollback(put, cogd, home):
    put()
    put(version="2.0.0")
    result = cogd("rollback", APP, *home.flags)
    assert result.out.splitlines()[0] == "pose-app is back at 1.2.3, 2.0.0 before"
    assert cogd("rollback", APP, *home.flags).status == 37
    assert cogd("rollback", "nobody", *home.flags).status == 21
    put(version="2.0.0")
    assert json.loads(cogd("rollback", APP, *home.flags, "--json").out) == {
        "id": APP,
        "version": "1.2.3",
        "previous_version": "2.0.0",
        "daemon": None,
    }


def test_remove(put, cogd, home):
    put()
    assert cogd("remove", APP, *home.flags).out.startswith("pose-app was removed\n")
    assert cogd("remove", APP, *home.flags).status == 21
    put()
    assert json.loads(cogd("remove", APP, *home.flags, "--forget", "--json").out)["forgotten"] is True


def test_list(put, cogd, home):
    assert cogd("list", *home.flags).out == f"no app is installed in {home.apps}\n"
    put()
    put(version="2.0.0")
    (home.install("count") / "current" / ".install.json").unlink()
    home.install("pose", id="stranger", keys=[OTHER_KEY])
    lines = cogd("list", *home.flags).out.splitlines()
    assert lines[0].split()[:2] == ["count-app", "-"]
    assert "storage" in lines[0]
    pose = next(line for line in lines if line.startswith(APP))
    assert pose.split()[1] == "2.0.0"
    assert pose.endswith("ok, on trial  (before: 1.2.3)")
    rows = shown(cogd, home)
    assert {name: row["state"] for name, row in rows.items()} == {
        "count-app": "storage",
        APP: "ok",
        "stranger": "unknown-key",
    }
    assert rows["stranger"]["hint"]
    assert [rows[name]["on_trial"] for name in ("count-app", APP, "stranger")] == [False, True, False]
    assert rows[APP]["proofs"][0]["backend"] == "ort"


COGD = Path(sys.executable).with_name("cogd")


def test_progress_on_a_terminal_and_quiet_over_a_pipe(home, tmp_path):
    bundle = runnable_bundle().save(tmp_path / "b.tar")
    command = [COGD, "install", bundle, *home.flags]
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        out = process.stdout.read()
        seen = b""
        try:
            while piece := os.read(ours, 4096):
                seen += piece
        except OSError:  # the terminal's other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    assert b"received" in seen
    assert b"proving pose-app 1.2.3 on this device" in seen
    assert out.startswith(b"pose-app 1.2.3 installed\n")
    quiet = subprocess.run([*command, "--json"], capture_output=True, check=True)
    assert quiet.stderr == b""


def others_can_read(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in [path, *path.resolve().parents])


def everyones_cogd() -> list[str]:
    """`cogd` by an interpreter that every user can run: this one, or the system's of the same version."""
    own = Path(sys.executable).resolve()
    if others_can_read(own.parent) and others_can_read(Path(sys.base_prefix)):
        return [sys.executable, "-m", "cogd"]
    system = Path(f"/usr/bin/python3.{sys.version_info.minor}")
    return [str(system), "-m", "cogd"] if system.exists() else []


def everyones_environment() -> dict[str, str]:
    places = [Path(cogd_package.__file__).parents[1], Path(cogd_ort.__file__).parents[1]]
    packages = [path for path in sys.path if path.endswith("site-packages")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, places), *packages])}


for_another_user = pytest.mark.skipif(
    os.geteuid() != 0 or not everyones_cogd() or not others_can_read(Path(sys.prefix)),
    reason="needs root, and Python and a virtual environment that other users can read: not below /root",
)


@for_another_user
def test_root_becomes_the_owner_of_the_apps_directory(home, tmp_path):
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == 0 and folder != Path("/") and folder.is_relative_to("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    os.chown(home.apps, NOBODY, NOBODY)
    home.trust.chmod(0o700)  # root's own
    bundle = runnable_bundle().save(tmp_path / "b.tar")
    bundle.chmod(0o600)
    command = [*everyones_cogd(), "install", bundle, *home.flags]
    subprocess.run(command, capture_output=True, check=True, env=everyones_environment())
    for path in home.apps.rglob("*"):
        assert (path.lstat().st_uid, path.lstat().st_gid) == (NOBODY, NOBODY), path


@for_another_user
def test_where_this_user_may_not_write(open_home):
    bundle = runnable_bundle().save(open_home.apps.parent / "b.tar")
    bundle.chmod(0o644)
    command = [*everyones_cogd(), "install", bundle, *open_home.flags]
    options = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "env": everyones_environment()}
    result = subprocess.run(command, capture_output=True, check=False, text=True, cwd="/", **options)
    assert result.returncode == 33
    assert "sudo" in result.stderr


def test_closed_standard_input(cogd, home, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    result = cogd("install", "-", *home.flags)
    assert (result.status, "standard input is closed" in result.err) == (11, True)


@pytest.mark.parametrize("verb", ["remove", "rollback"])
@pytest.mark.parametrize("app_id", ["../other", "nobody"])
def test_looking_for_an_app_makes_nothing(cogd, tmp_path, verb, app_id):
    result = cogd(verb, app_id, "--apps-dir", tmp_path / "apps", "--trust-dir", tmp_path / "trust")
    assert result.status == 21
    assert not (tmp_path / "apps").exists()


class TestWhatADaemonAnswers:
    """Whatever it is, there is no traceback, and nothing is left that it refused."""

    @pytest.fixture
    def answers(self, monkeypatch):
        asked = []

        def say(*answers):
            def request(_path, command, _timeout_s):
                asked.append(command)
                return answers[min(len(asked), len(answers)) - 1]

            monkeypatch.setattr("cogd.cli.apps.request", request)
            return asked

        return say

    @pytest.mark.parametrize(
        "answer",
        [{}, {"apps": []}, {"apps": {APP: []}}, {"apps": {APP: {}}}, {"apps": {APP: {"outcome": ["x"]}}}, {"apps": {}}],
    )
    def test_that_does_not_name_the_app(self, put, answers, answer):
        answers(answer)
        result = put()
        assert result.status == 0
        assert "runs other apps than those of" in result.out

    def test_again_is_told_again(self, put, answers):
        put()
        asked = answers({"apps": {APP: {"outcome": "unchanged"}}})
        result = put()
        assert (result.status, len(asked)) == (0, 1)
        assert "is installed already" in result.out
        assert "runs it already" in result.out
        put("--dry-run")
        assert len(asked) == 1

    def test_no_to_what_was_there_before_takes_nothing_back(self, put, home, answers):
        put()
        put(version="2.0.0")
        answers({"apps": {APP: {"outcome": "rejected", "reason": "no"}}}, None)
        assert put(version="2.0.0").status == 35
        assert Store(home.apps).installed(APP).version == "2.0.0"

    @pytest.mark.parametrize("outcome", ["rejected", "removed"])
    def test_no_to_a_first_installation_leaves_what_was_there(self, put, home, answers, outcome):
        (home.apps / APP).mkdir()
        (home.apps / APP / "config.json").write_text("{}")
        asked = answers({"apps": {APP: {"outcome": outcome, "reason": "no"}}}, None)
        result = put()
        assert (result.status, len(asked)) == (35, 2)
        assert [path.name for path in (home.apps / APP).iterdir()] == ["config.json"]
        assert Store(home.apps).memory(APP) is None

    def test_no_to_an_upgrade_leaves_the_version_from_before(self, put, home, answers):
        put()
        answers({"apps": {APP: {"outcome": "rejected", "reason": "no"}}}, None)
        assert put(version="2.0.0").status == 35
        assert Store(home.apps).installed(APP).version == "1.2.3"
