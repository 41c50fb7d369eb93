"""`cogd trust` and `cogd-train rotate`, as a person uses them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cogd.bundle.keys import save_private, save_public
from cogd.bundle.trust import TrustStore
from cogd.train.cli import main as train
from tests.bundle.factory import KEY, OTHER_KEY, THIRD_KEY

A, B, C = (key.public.key_id for key in (KEY, OTHER_KEY, THIRD_KEY))
RELOAD = "systemctl reload cogd"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A publisher's folder: both halves of two keys and a statement; it is where the commands run."""
    outside = tmp_path / "publisher"
    outside.mkdir()
    monkeypatch.chdir(outside)
    for name, key in (("old", KEY), ("new", OTHER_KEY)):
        save_private(outside / f"{name}.pem", key)
        save_public(outside / f"{name}.pub", key.public)
    assert train(["rotate", "--old", "old.pem", "--new", "new.pem", "--out", "rotation.json"]) == 0
    return outside


@pytest.fixture
def trust(cogd, tmp_path, capsys):
    """Run `cogd trust` on one folder."""
    folder = tmp_path / "trust.d"

    def run(*words):
        capsys.readouterr()
        return cogd("trust", *words, "--trust-dir", folder)

    run.folder = folder
    return run


def test_nothing_is_trusted_at_first(trust):
    result = trust("list")
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == [
        f"no key is trusted: there is none in {trust.folder}",
        "threshold 1: a bundle needs the signature of one of them",
    ]


def test_from_the_first_key_to_its_end(trust, files):
    result = trust("add", "old.pub", "--name", "lab")
    assert (result.status, result.err) == (0, "")
    assert f"{A} is trusted: {trust.folder}/lab.pub" in result.out
    assert RELOAD in result.out
    again = trust("add", "old.pub")
    assert (again.status, "was trusted already" in again.out, RELOAD in again.out) == (0, True, False)
    assert f"{A}  {trust.folder}/lab.pub  trusted\n" in trust("list").out

    result = trust("rotate", "rotation.json")
    assert (result.status, f"{B} has taken the place of {A}" in result.out, RELOAD in result.out) == (0, True, True)
    assert f"{A}  {trust.folder}/lab.pub  retired -> {B}\n" in trust("list").out

    result = trust("revoke", A[:8], "--reason", "left in a taxi")
    assert result.status == 0
    assert re.search(rf"^{A} is revoked since 20\S+Z: left in a taxi$", result.out, re.MULTILINE)
    assert f"it had handed over to {B} (trusted): revoke that too" in result.out
    assert RELOAD in result.out
    listed = trust("list").out
    assert re.search(rf"^{A}  {trust.folder}/{A}\.revoked  revoked since \S+: left in a taxi$", listed, re.MULTILINE)
    assert f"{B}  {trust.folder}/{B[:16]}.pub  trusted\n" in listed
    assert trust("add", "old.pub").status == 22


def test_list_for_machines(trust, files):
    trust("add", "old.pub")
    trust("rotate", "rotation.json")
    trust("revoke", C, "--reason", "x")
    facts = json.loads(trust("list", "--json").out)
    assert (facts["folder"], facts["threshold"]) == (str(trust.folder), 1)
    by_id = {entry.pop("key_id"): entry for entry in facts["keys"]}
    nothing = {"successor": None, "revoked_at": None, "reason": None}
    assert by_id[A] == nothing | {"state": "retired", "file": f"{trust.folder}/{A[:16]}.pub", "successor": B}
    assert by_id[B] == nothing | {"state": "trusted", "file": f"{trust.folder}/{B[:16]}.pub"}
    assert (by_id[C]["state"], by_id[C]["reason"], by_id[C]["revoked_at"][-1]) == ("revoked", "x", "Z")


class TestShow:
    def test_a_key_that_is_trusted(self, trust, files):
        trust("add", "old.pub")
        for named in (A, A[:8].upper(), "old.pub"):
            result = trust("show", named)
            assert result.status == 0
            assert f"key id     {A}\nstate      trusted\nfile       {trust.folder}/{A[:16]}.pub\n" in result.out
            assert result.out.endswith(KEY.public.to_pem())
            facts = json.loads(trust("show", named, "--json").out)
            assert (facts["key_id"], facts["state"], facts["pem"]) == (A, "trusted", KEY.public.to_pem())

    def test_a_key_that_is_not(self, trust, files):
        assert json.loads(trust("show", "new.pub", "--json").out)["state"] == "unknown"
        assert json.loads(trust("show", B, "--json").out)["state"] == "unknown"
        trust("revoke", B)
        facts = json.loads(trust("show", B[:9], "--json").out)
        assert (facts["state"], "pem" in facts) == ("revoked", False)

    def test_a_statement(self, trust, files):
        trust("add", "old.pub")
        result = trust("show", "rotation.json")
        assert f"old        {A}\nold state  trusted\nnew        {B}\nnew state  unknown\n" in result.out
        assert json.loads(trust("show", "rotation.json", "--json").out)["new"] == B

    @pytest.mark.parametrize(("name", "status"), [("old.pem", 19), ("bad.json", 19), ("missing", 19), ("0" * 8, 2)])
    def test_what_is_neither(self, trust, files, name, status):
        (files / "bad.json").write_text("{}")
        result = trust("show", name)
        assert result.status == status
        assert name in result.err
        assert "cogd: hint: " in result.err


def test_threshold(trust, files):
    trust("add", "old.pub")
    assert trust("threshold", "2").status == 2
    trust("add", "new.pub")
    result = trust("threshold", "2")
    assert (result.status, RELOAD in result.out) == (0, True)
    assert "a bundle needs signatures by 2 different publishers" in result.out
    assert "threshold 2: a bundle needs signatures by 2 different publishers\n" in trust("list").out
    for out in (trust("revoke", A).out, trust("list").out):
        assert "nothing can be installed: 2 must sign, and only 1 can" in out
    assert trust("threshold", "none").status == 2


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("add", "old.pem"), 19, "bad-key: old.pem: is a private key"),
        (("add", "missing.pub"), 19, "No such file"),
        (("add", "old.pub", "--name", "../x"), 2, "can't name a file"),
        (("rotate", "rotation.json"), 14, "is not trusted here"),
        (("rotate", "missing"), 19, "missing: No such file"),
        (("rotate", "old.pub"), 19, "not a statement of rotation"),
        (("revoke", "zz"), 2, "is no key id"),
        (("revoke", A[:8]), 2, "0 keys here"),
        (("revoke", A, "--reason", "two\nlines"), 2, "the reason can't"),
        (("threshold", "1"), 2, "1 keys can't sign"),
        (("no-such-action",), 2, "usage: cogd trust"),
    ],
)
def test_what_is_refused_leaves_no_folder(trust, files, words, status, said):
    result = trust(*words)
    assert (result.status, result.out) == (status, "")
    assert said in result.err
    assert not trust.folder.exists()


def test_the_folder_is_that_of_the_settings(cogd, tmp_path, files, monkeypatch):
    (tmp_path / "cogd.toml").write_text(f'trust_dir = "{tmp_path}/named"\n')
    assert cogd("trust", "add", "old.pub", "--config", tmp_path / "cogd.toml").status == 0
    assert list(TrustStore.load([tmp_path / "named"])) == [A]
    monkeypatch.setenv("COGD_TRUST_DIR", str(tmp_path / "from-environment"))
    assert cogd("trust", "add", "old.pub").status == 0
    assert (tmp_path / "from-environment").is_dir()


def test_it_is_light():
    code = "import sys, cogd.cli.trust; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"numpy", "onnxruntime", "aiohttp", "uvloop", "torch"} & set(done.stdout.split())


class TestTrainRotate:
    def test_overwrites_nothing(self, files, capsys):
        before = (files / "rotation.json").read_bytes()
        assert train(["rotate", "--old", "old.pem", "--new", "new.pem", "--out", "rotation.json"]) == 19
        assert "rotation.json: exists already" in capsys.readouterr().err
        assert (files / "rotation.json").read_bytes() == before

    def test_needs_two_private_keys(self, files, capsys):
        for old, new, said in (("old.pub", "new.pem", "this is a public key"), ("old.pem", "old.pem", "by itself")):
            assert train(["rotate", "--old", old, "--new", new, "--out", "x.json"]) == 19
            assert said in capsys.readouterr().err
        assert not (files / "x.json").exists()

    def test_says_which_keys(self, files, capsys):
        assert train(["rotate", "--old", "old.pem", "--new", "new.pem", "--out", "x.json"]) == 0
        out = capsys.readouterr().out
        assert f"old {A}\nnew {B}\n" in out
        assert (files / "x.json").stat().st_mode & 0o777 == 0o644


DOCS = (Path(__file__).parents[2] / "docs/trust.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("action", ["list", "show", "add", "revoke", "rotate", "threshold"])
def test_every_action_is_documented(action, cogd):
    assert f"cogd trust {action}" in DOCS
    assert action in cogd("trust", "--help").out


def test_what_the_docs_show_is_what_is_written():
    for word in ("*.pub", "*.revoked", "*.rotation.json", "threshold", "cogd-train rotate", "expires", RELOAD):
        assert word in DOCS
    shown = re.search(r"```json\n(\{\n  \"format\": \"cogd\.revocation/1\".*?)```", DOCS, re.DOTALL)
    from cogd.bundle.revocation import parse_revocation

    assert parse_revocation(shown[1].encode()).reason
