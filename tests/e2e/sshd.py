"""Another machine, as far as SSH can tell: OpenSSH's server on the loopback, with keys, home and `cogd` of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import select
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SSHD = Path("/usr/sbin/sshd")
PATIENCE_S = 30.0
"""How long a test waits for what should be quick; not a limit that is tested."""

ROOT = Path(__file__).parents[2]
_PRIVILEGE_SEPARATION = Path("/run/sshd")  # where root's sshd locks its unprivileged part in; systemd makes it, or we
_NOT_NEEDED = ("site-packages", "test", "torch", "torchgen", "functorch", "onnx", "onnxscript", "sympy", "*fuzzer*")


def require_sshd() -> None:
    """Skip where there is no server; in CI, where it must be there, fail."""
    if SSHD.exists() and shutil.which("ssh"):
        return
    reason = "OpenSSH's server and client are not installed: apt-get install openssh-server"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class FarMachine:
    """A running server.

    Attributes:
        root: everything that is the machine's; any user may look into it.
        settings: the settings file that every `cogd` over there reads.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.settings = root, root / "cogd.toml"
        for folder in ("bin", "home"):
            (root / folder).mkdir()
        self._install_cogd(root / "bin" / "cogd")
        for key in ("host_key", "user_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", root / key], check=True)
        shutil.copy(root / "user_key.pub", root / "authorized_keys")
        self.port = _free_port()
        (root / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {(root / 'host_key.pub').read_text()}")
        (root / "sshd_config").write_text(
            f"""Port {self.port}
ListenAddress 127.0.0.1
HostKey {root}/host_key
PidFile {root}/sshd.pid
AuthorizedKeysFile {root}/authorized_keys
AuthenticationMethods publickey
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PrintMotd no
PrintLastLog no
SetEnv "PATH={root}/bin:/usr/bin:/bin" "HOME={root}/home" "COGD_CONFIG={self.settings}"
"""
        )
        if os.geteuid() == 0:
            _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        self._server = [SSHD, "-f", root / "sshd_config"]
        # From OpenSSH 9.8 on, it would lock out whoever it finds has made its sessions crash. An older one does not
        # know the option.
        lenient = [*self._server, "-o", "PerSourcePenalties=no"]
        if subprocess.run([*lenient, "-t"], capture_output=True, check=False).returncode == 0:
            self._server = lenient

    def ssh(self, user: str | None = None) -> list[str]:
        """The command that logs in, but for the command that is to be run there."""
        return [*self.ssh_command, f"{user or _user()}@127.0.0.1"]

    @property
    def ssh_command(self) -> list[str]:
        """`ssh` and its options."""
        options = {
            "BatchMode": "yes",
            "IdentityAgent": "none",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": str(self.root / "known_hosts"),
            "LogLevel": "ERROR",
        }
        words = ["ssh", "-F", "none", "-p", str(self.port), "-i", str(self.root / "user_key")]
        return words + [word for key, value in options.items() for word in ("-o", f"{key}={value}")]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Serve until the block ends."""
        with subprocess.Popen([*self._server, "-D", "-e"], stderr=subprocess.PIPE, text=True) as server:
            listens, log = threading.Event(), []

            def read() -> None:
                for line in server.stderr:
                    log.append(line)
                    if "Server listening" in line:
                        listens.set()
                listens.set()

            reader = threading.Thread(target=read)
            reader.start()
            try:
                assert listens.wait(PATIENCE_S)
                assert "Server listening" in "".join(log), log
                yield
            finally:
                server.terminate()
                reader.join(PATIENCE_S)

    def _install_cogd(self, path: Path) -> None:
        """A `cogd` that other users can run, too, even if this interpreter is within somebody's home."""
        python, site, base = Path(sys.executable), Path(sysconfig.get_paths()["purelib"]), Path(sys.base_prefix)
        environment: dict[str, str] = {}
        if os.geteuid() == 0 and not all(map(_is_open, (base, site, ROOT))):
            if not _is_open(base):
                _mirror(base, self.root / "python")
                base = self.root / "python"
            _mirror(site, self.root / "site")
            for package in ("cogd", "plugins"):
                _mirror(ROOT / package, self.root / package)
            python = base / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
            environment["PYTHONPATH"] = ":".join(str(self.root / folder) for folder in ("site", ".", "plugins"))
            environment["LD_LIBRARY_PATH"] = str(base / "lib")
        words = ["env", *(f"{name}={value}" for name, value in environment.items()), str(python), "-m", "cogd"]
        path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        path.chmod(0o755)


@contextlib.contextmanager
def far_machine() -> Iterator[FarMachine]:
    """A machine that can be reached until the block ends."""
    require_sshd()
    # Not below pytest's temporary folder, which is closed to other users.
    with tempfile.TemporaryDirectory(prefix="cogd-far-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        machine = FarMachine(root)
        with machine.running():
            yield machine


def tree(folder: Path) -> dict[str, tuple[int, bytes | str | None]]:
    """Everything below `folder`: its owner, and its content or where it leads to."""
    found: dict[str, tuple[int, bytes | str | None]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content: bytes | str | None = None
        if stat.S_ISLNK(status.st_mode):
            content = str(path.readlink())
        elif stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        found[str(path.relative_to(folder))] = (status.st_uid, content)
    return found


def wait_for_end(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], PATIENCE_S)[0], f"process {pid} does not end"
    finally:
        os.close(descriptor)


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _is_open(path: Path) -> bool:
    """Whether every user can reach `path`."""
    resolved = path.resolve()
    return all(part.stat().st_mode & 0o005 == 0o005 for part in (resolved, *resolved.parents))


def _mirror(source: Path, target: Path) -> None:
    """The same files in another place; as links, where that can be done."""

    def put(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)

    shutil.copytree(source, target, symlinks=True, copy_function=put, ignore=shutil.ignore_patterns(*_NOT_NEEDED))
