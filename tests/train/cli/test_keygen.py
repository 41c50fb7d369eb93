import pytest

from cogd.bundle.keys import load_private, load_public
from tests.train.factory import run_cli

pytestmark = pytest.mark.train


@pytest.mark.parametrize("name", ["publisher", "publisher.2026", "v0.1"])
def test_a_key_pair_is_written_under_the_name_that_was_given(tmp_path, name):
    ran = run_cli("keygen", "--out", tmp_path / name)

    assert ran.status == 0, ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.pem", f"{name}.pub"]
    secret, public = load_private(tmp_path / f"{name}.pem"), load_public(tmp_path / f"{name}.pub")
    assert secret.public == public
    assert f"key id {public.key_id}\n" in ran.out
    assert (tmp_path / f"{name}.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("there", ["publisher.pem", "publisher.pub"])
def test_no_key_is_ever_overwritten(tmp_path, there):
    (tmp_path / there).write_text("old")

    ran = run_cli("keygen", "--out", tmp_path / "publisher")

    assert ran.status == 19
    assert there in ran.err
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {there: "old"}


def test_no_two_keys_are_the_same(tmp_path):
    for name in ("one", "other"):
        run_cli("keygen", "--out", tmp_path / name)

    assert load_public(tmp_path / "one.pub") != load_public(tmp_path / "other.pub")


def test_a_folder_that_is_not_there_is_said_to_be_so(tmp_path):
    ran = run_cli("keygen", "--out", tmp_path / "missing" / "publisher")

    assert ran.status == 19
    assert "No such file" in ran.err
