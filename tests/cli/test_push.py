"""`cogd push` with programs that stand in for ssh; tests/e2e/test_ssh.py has the real one."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from tests.bundle.factory import FILES, make_bundle, sign_anything, write_archive
from tests.cli.test_dispatch import imported_by

BIG = make_bundle(FILES | {"model.onnx": os.urandom(1 << 20)})
"""More than a pipe holds: who does not read it breaks the pipe."""


@pytest.fixture
def bundle(tmp_path):
    return BIG.save(tmp_path / "bundle.tar")


@pytest.fixture
def program(tmp_path):
    """Makes an executable of a shell script's lines."""

    def make(*lines: str, name: str = "ssh") -> str:
        path = tmp_path / name
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture
def listener(program, tmp_path):
    """An ssh that takes everything; `sent()` is its arguments and its standard input."""

    class Listener:
        ssh = program(f"printf '%s\\0' \"$@\" > {tmp_path}/words", f"cat > {tmp_path}/input")

        def sent(self) -> tuple[list[str], bytes]:
            words = (tmp_path / "words").read_text().split("\0")
            return words[:-1], (tmp_path / "input").read_bytes()

    return Listener()


class TestWhatIsSent:
    def test_is_the_file_to_cogd_install(self, cogd, bundle, listener):
        result = cogd("push", "root@seed", bundle, "--ssh", listener.ssh)
        assert (result.status, result.out, result.err) == (0, "", "")
        assert listener.sent() == (["root@seed", "cogd install -"], BIG.archive)

    def test_follows_a_link_of_this_users(self, cogd, bundle, listener, tmp_path):
        (tmp_path / "latest.tar").symlink_to(bundle)
        assert cogd("push", "root@seed", tmp_path / "latest.tar", "--ssh", listener.ssh).status == 0
        assert listener.sent()[1] == BIG.archive

    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            (["--dry-run"], "--dry-run"),
            (["--allow-downgrade"], "--allow-downgrade"),
            (["--json"], "--json"),
            (["--wait", "2.5"], "--wait 2.5"),
            (["--wait", "0"], "--wait 0.0"),
            (["--wait", "1", "--json", "--dry-run"], "--dry-run --json --wait 1.0"),
        ],
    )
    def test_has_the_flags_of_install(self, cogd, bundle, listener, flags, words):
        assert cogd("push", "root@seed", bundle, "--ssh", listener.ssh, *flags).status == 0
        assert listener.sent()[0] == ["root@seed", f"cogd install - {words}"]

    def test_goes_through_the_ssh_that_was_named_with_its_options(self, cogd, bundle, listener):
        ssh = f"{listener.ssh} -p 2222 -i 'my key' -o 'ProxyCommand=nc %h %p'"
        assert cogd("push", "root@seed", bundle, "--ssh", ssh).status == 0
        words = ["-p", "2222", "-i", "my key", "-o", "ProxyCommand=nc %h %p", "root@seed", "cogd install -"]
        assert listener.sent()[0] == words

    def test_reaches_the_cogd_that_was_named_through_the_shell_over_there(self, cogd, bundle, program, tmp_path):
        odd = tmp_path / "it's $HOME; (odd)"
        odd.mkdir()
        program('echo $# $* > $(dirname "$0")/words', "cat > /dev/null", "exit 27", name=f"{odd.name}/cogd")
        far_shell = program('for last; do :; done; exec sh -c "$last"')
        result = cogd(
            "push", "root@seed", bundle, "--ssh", far_shell, "--cogd", shlex.quote(f"{odd}/cogd"), "--json", "--dry-run"
        )
        assert result.status == 27
        assert (odd / "words").read_text() == "4 install - --dry-run --json\n"


class TestTheFarSide:
    @pytest.mark.parametrize("status", [0, 1, 2, 11, 14, 26, 35, 38, 126, 130])
    def test_decides_the_exit_status(self, cogd, bundle, program, status):
        assert cogd("push", "root@seed", bundle, "--ssh", program("cat > /dev/null", f"exit {status}")).status == status

    def test_may_end_before_it_has_read_everything(self, cogd, bundle, program):
        result = cogd("push", "root@seed", bundle, "--ssh", program("exec 0<&-", "exit 14"))
        assert (result.status, result.out, result.err) == (14, "", "")

    def test_is_heard_as_it_speaks(self, bundle, program):
        ssh = program("cat > /dev/null", "printf 'out\\n{}'", "printf 'err\\r' >&2", "exit 24")
        done = subprocess.run(
            [sys.executable, "-m", "cogd", "push", "root@seed", bundle, "--ssh", ssh],
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (24, b"out\n{}", b"err\r")

    def test_without_cogd_is_told_with_what_to_do(self, cogd, bundle, program):
        result = cogd("push", "root@seed", bundle, "--ssh", program("exit 127"), "--cogd", "/opt/x/cogd")
        assert (result.status, result.out) == (36, "")
        first, second = result.err.splitlines()
        assert first == "cogd: push: root@seed has no such command: /opt/x/cogd install -"
        assert second.startswith("cogd: hint: ")
        assert "--cogd" in second

    @pytest.mark.parametrize(("end", "why"), [("exit 255", "status 255"), ("kill -9 $$", "signal 9")])
    def test_that_can_not_be_reached_is_told_with_what_to_try(self, cogd, bundle, program, end, why):
        ssh = program(end)
        result = cogd("push", "root@seed", bundle, "--ssh", f"{ssh} -p 22")
        assert (result.status, result.out) == (36, "")
        first, second = result.err.splitlines()
        assert first.startswith("cogd: push: the connection to root@seed failed")
        assert why in first
        assert f"`{ssh} -p 22 root@seed 'cogd version'`" in second

    def test_is_not_reached_without_ssh(self, cogd, bundle, tmp_path):
        for absent in (tmp_path / "no-ssh", bundle, tmp_path):  # missing, not executable, a folder
            result = cogd("push", "root@seed", bundle, "--ssh", absent)
            assert (result.status, result.out) == (36, "")
            assert "openssh-client" in result.err

    def test_that_fails_is_told_to_machines_too(self, cogd, bundle, program):
        result = cogd("push", "root@seed", bundle, "--ssh", program("exit 255"), "--json")
        assert json.loads(result.out)["error"]["code"] == "push"


class TestBeforeAnythingIsSent:
    @pytest.fixture
    def never(self, program, tmp_path):
        """An ssh that must not be called."""
        yield program(f"touch {tmp_path}/called")
        assert not (tmp_path / "called").exists()

    @pytest.mark.parametrize(
        ("content", "status"),
        [
            (b"", 11),
            (b"not a tar", 11),
            (BIG.archive[:-1], 11),
            (BIG.archive + b"\0", 11),
            (BIG.archive[: 1 << 19], 11),
            (write_archive(sign_anything(b'{"format": 1}')), 12),
        ],
    )
    def test_a_file_that_is_no_bundle_is_refused(self, cogd, never, tmp_path, content, status):
        (tmp_path / "x.tar").write_bytes(content)
        result = cogd("push", "root@seed", tmp_path / "x.tar", "--ssh", never)
        assert (result.status, result.out) == (status, "")

    def test_what_is_no_file_is_refused(self, cogd, never, tmp_path):
        os.mkfifo(tmp_path / "fifo")
        for path in (tmp_path / "absent.tar", tmp_path, tmp_path / "fifo", "/dev/zero"):
            result = cogd("push", "root@seed", path, "--ssh", never)
            assert (result.status, result.out) == (11, "")
            assert str(path) in result.err

    def test_a_bundle_whose_signer_is_not_known_here_passes(self, cogd, bundle, listener):
        """Whom to trust is for the machine to say that installs it."""
        assert cogd("push", "root@seed", bundle, "--ssh", listener.ssh).status == 0

    @pytest.mark.parametrize("host", ["-oProxyCommand=touch called", "-p", ""])
    def test_a_host_that_ssh_would_take_for_an_option_is_refused(self, cogd, never, bundle, host):
        result = cogd("push", "--ssh", never, "--", host, bundle)
        assert (result.status, result.out) == (2, "")
        assert result.err.startswith("cogd: config: ")

    @pytest.mark.parametrize("command", ["", "  ", "-oProxyCommand=x", "'half a word"])
    @pytest.mark.parametrize("flag", ["--ssh", "--cogd"])
    def test_a_command_that_is_none_is_refused(self, cogd, never, bundle, flag, command):
        flags = {"--ssh": never, "--cogd": "cogd"} | {flag: command}
        result = cogd("push", "root@seed", bundle, *(f"{name}={value}" for name, value in flags.items()))
        assert (result.status, result.out) == (2, "")
        assert flag in result.err


def test_it_needs_neither_numpy_nor_a_backend(bundle):
    loaded = imported_by("push", "root@seed", str(bundle), "--ssh", "true")
    assert not loaded & {"numpy", "onnxruntime", "torch", "pydantic", "nacl", "aiohttp", "structlog"}
