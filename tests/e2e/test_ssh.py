"""Installing over SSH: OpenSSH's own server and client, and `cogd` on both sides, each as a process."""

from __future__ import annotations

import itertools
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest

from cogd.bundle import trust_folder
from cogd.bundle.archive import write_archive
from cogd.bundle.keys import save_public
from cogd.bundle.lock import locked
from cogd.bundle.manifest import Golden, Requires, Variant, parse_manifest
from cogd.bundle.store import Store
from tests.bundle import apps as installed_apps
from tests.bundle.factory import KEY, OTHER_KEY, archive_of, sign_anything
from tests.runtime.factory import files_of, runnable_bundle

from .sshd import PATIENCE_S, FarMachine, far_machine, tree, wait_for_end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bundle.factory import Made

PIECE = 64 << 10
APP = "pose-app"

OLD = runnable_bundle(version="1.0.0")
NEW = runnable_bundle(version="1.1.0")
BIG = runnable_bundle(files=files_of("pose", **{"ballast.bin": random.Random(7).randbytes(1_500_000)}), version="1.2.0")


class Device:
    """The far machine's folders, new for each test, and what can be done there over SSH."""

    def __init__(self, machine: FarMachine, root: Path) -> None:
        self.machine, self.apps, self.trust = machine, root / "apps", root / "trust.d"
        for folder in (root, self.apps, self.trust):
            folder.mkdir()
        save_public(self.trust / "publisher.pub", KEY.public)
        machine.settings.write_text(
            f'apps_dir = "{self.apps}"\ntrust_dir = "{self.trust}"\ncontrol_socket = "{root}/control.sock"\n'
        )

    def run(
        self, command: str, given: bytes = b"", *, user: str | None = None, options: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[bytes]:
        """`ssh ... COMMAND`, with `given` as its standard input."""
        words = [*self.machine.ssh(user), command]
        return subprocess.run(
            [*words[:1], *options, *words[1:]], input=given, capture_output=True, check=False, timeout=PATIENCE_S
        )

    def version(self, app: str = APP) -> str | None:
        record = Store(self.apps).installed(app)
        return record.version if record is not None else None

    def garbage(self) -> dict:
        """What lies about of a change that was not finished."""
        return tree(Store(self.apps).layout.staging)


@pytest.fixture(scope="module")
def machine() -> Iterator[FarMachine]:
    with far_machine() as machine:
        yield machine


_numbers = itertools.count()


@pytest.fixture
def device(machine) -> Device:
    return Device(machine, machine.root / f"device-{next(_numbers)}")


@pytest.fixture(scope="module")
def stranger(machine) -> Iterator[str]:
    """A user of the far machine who owns nothing there."""
    if os.geteuid() != 0:
        pytest.skip("only root can make another user")
    name = f"cogd-{os.getpid()}"
    options = {
        "--home-dir": machine.root / "home",
        "--shell": "/bin/sh",
        "--password": "*",  # none; "!", which is the default, is a locked account to sshd
    }
    words = [word for option in options.items() for word in option]
    subprocess.run(["/usr/sbin/useradd", "--system", *words, name], check=True)
    yield name
    subprocess.run(["/usr/sbin/userdel", "--force", name], check=True)


class TestInstallingThroughAPipe:
    def test_puts_the_app_into_place_and_the_list_shows_it(self, device):
        done = device.run("cogd install - --json", BIG.archive)
        assert (done.returncode, done.stderr) == (0, b"")
        facts = json.loads(done.stdout)
        assert (facts["id"], facts["version"], facts["done"]) == (APP, "1.2.0", True)
        (row,) = json.loads(device.run("cogd list --json").stdout)
        assert (row["id"], row["version"], row["digest"]) == (APP, "1.2.0", BIG.verified().digest)
        assert row["state"] == "ok"
        assert (device.apps / APP / "current" / "ballast.bin").read_bytes() == BIG.members["ballast.bin"]

    def test_says_nothing_but_what_came_of_it(self, device):
        done = device.run("cogd install -", NEW.archive)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(b"pose-app 1.1.0 installed\n")
        assert not {*b"\r\x1b\x08"} & {*done.stdout}

    def test_leaves_nothing_in_anybodys_home(self, device):
        assert device.run("cogd install -", NEW.archive).returncode == 0
        assert tree(device.machine.root / "home") == {}

    def test_rehearses_if_it_is_asked_to(self, device):
        before = tree(device.apps)
        done = device.run("cogd install - --dry-run", NEW.archive)
        assert (done.returncode, done.stderr) == (0, b"")
        assert tree(device.apps) == before

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root's sshd may hand over a terminal")
    def test_at_a_terminal_it_shows_how_far_it_is(self, device):
        path = BIG.save(device.machine.root / "bundle.tar")
        done = device.run(f"cogd install {path}", options=("-tt",))
        assert done.returncode == 0
        total = len(BIG.archive) >> 10
        assert f"\rcogd: received 100 % of {total} KiB".encode() in done.stdout
        assert b"proving pose-app 1.2.0 on this device" in done.stdout
        assert b"\x1b" not in done.stdout


def changed(**changes: object) -> bytes:
    """A signed bundle whose manifest nobody checked."""
    members = runnable_bundle(version="2.0.0").members
    manifest = parse_manifest(members.pop("bundle.json"))
    del members["bundle.dsse.json"]
    return archive_of(msgspec.structs.replace(manifest, **changes), members)


def with_member(name: str, data: bytes) -> bytes:
    return write_archive(NEW.members | {name: data})


class Refusal(NamedTuple):
    """A bundle that is refused by a device that holds `OLD`, and how."""

    status: int
    code: str
    archive: bytes
    command: str = "cogd install -"


REFUSALS = [
    Refusal(2, "config", NEW.archive, "cogd install - --wait -1"),
    Refusal(11, "bad-archive", NEW.archive + b"\0"),
    Refusal(11, "bad-archive", b""),
    Refusal(12, "bad-manifest", write_archive(sign_anything(b"{}"))),
    Refusal(13, "bad-signature", with_member("bundle.json", OLD.members["bundle.json"])),
    Refusal(14, "unknown-key", runnable_bundle(version="1.1.0", keys=[OTHER_KEY]).archive),
    Refusal(15, "bad-digest", with_member("MODEL_CARD.md", b"# A dimmy\n")),
    Refusal(16, "requirement", changed(requires=Requires(cogd=">=99.0.0", features=[]))),
    Refusal(17, "golden-mismatch", changed(golden=Golden(file="golden.safetensors", tolerance={"fp32": 1e-300}))),
    Refusal(18, "bad-model", runnable_bundle(files=files_of("pose", **{"model.onnx": b"x"}), version="1.1.0").archive),
    Refusal(
        20,
        "plugin",
        changed(variants=[Variant(backend="abacus", file="model.onnx", precision="fp32", targets=[])]),
    ),
    Refusal(25, "expired", changed(created="2020-01-01T00:00:00Z", expires="2020-01-02T00:00:00Z")),
    Refusal(26, "downgrade", runnable_bundle(version="0.9.0").archive),
    Refusal(27, "same-version", runnable_bundle(files=files_of("pose", x=b"x"), version="1.0.0").archive),
    Refusal(
        28,
        "wrong-architecture",
        changed(variants=[Variant(backend="ort", file="model.onnx", precision="fp32", targets=["abacus"])]),
    ),
    Refusal(29, "unknown-feature", changed(requires=Requires(cogd=">=0.1.0", features=["teleport"]))),
    Refusal(31, "no-space", BIG.archive, "ulimit -f 1024; cogd install -"),
]


def refused(device: Device, refusal: Refusal) -> None:
    """See that it is refused, in so many words, and that nothing has become of it."""
    before = tree(device.apps / APP)
    done = device.run(refusal.command, refusal.archive)
    assert (done.returncode, done.stdout) == (refusal.status, b""), done.stderr
    assert done.stderr.startswith(f"cogd: {refusal.code}: ".encode())
    assert b"\ncogd: hint: " in done.stderr
    assert tree(device.apps / APP) == before
    assert device.garbage() == {}


class TestARefusal:
    @pytest.fixture
    def device(self, device) -> Device:
        installed_apps.install(device.apps, OLD)
        return device

    @pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.code)
    def test_comes_through_with_its_exit_status(self, device, refusal):
        refused(device, refusal)

    def test_by_trust_comes_through(self, device):
        save_public(device.trust / "other.pub", OTHER_KEY.public)
        refused(device, Refusal(23, "pinned-key", runnable_bundle(version="1.1.0", keys=[OTHER_KEY]).archive))
        (device.trust / "threshold").write_text("2\n")
        refused(device, Refusal(24, "threshold", NEW.archive))
        (device.trust / "threshold").unlink()
        trust_folder.revoke(device.trust, KEY.public.key_id, "lost", now_unix_s=time.time())
        refused(device, Refusal(22, "revoked-key", NEW.archive))
        (device.trust / "other.pub").chmod(0o666)
        refused(device, Refusal(19, "bad-key", NEW.archive))

    def test_by_the_lock_comes_through(self, device):
        with locked(Store(device.apps).layout.lock, 0):
            refused(device, Refusal(32, "locked", NEW.archive, "cogd install - --wait 0.1"))

    def test_by_what_somebody_else_has_put_there_comes_through(self, device):
        (device.apps / "count-app").mkdir()
        (device.apps / "count-app" / "foreign").touch()
        refused(device, Refusal(34, "storage", runnable_bundle("count").archive))

    def test_is_json_for_machines(self, device):
        done = device.run("cogd install - --json", runnable_bundle(version="0.9.0").archive)
        assert done.returncode == 26
        assert json.loads(done.stdout)["error"]["code"] == "downgrade"


@contextmanager
def receiving(device: Device, *flags: str, user: str | None = None) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`cogd install -` over SSH, which waits for its standard input; and its process id over there."""
    command = shlex.join(["cogd", "install", "-", *flags])
    client = subprocess.Popen(
        [*device.machine.ssh(user), f"echo $$; exec {command}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    pid = int(client.stdout.readline())
    try:
        yield client, pid
    finally:
        client.kill()
        client.communicate()
        wait_for_end(pid)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


CUTS = [*range(0, len(BIG.archive), PIECE), *(len(BIG.archive) - rest for rest in (1024, 512, 1))]
"""After how many bytes the transfer ends: every 64 KiB, and where only the archive's end is missing."""


def cut_by_its_sender(device: Device, sent: int) -> None:
    done = device.run("cogd install -", BIG.archive[:sent])
    assert (done.returncode, done.stdout) == (11, b"")
    assert done.stderr.startswith(b"cogd: bad-archive: ")


def cut_by_the_death_of_ssh(device: Device, sent: int, side: str) -> None:
    with receiving(device) as (client, pid):
        client.stdin.write(BIG.archive[:sent])
        client.stdin.flush()
        os.kill(client.pid if side == "client" else parent(pid), signal.SIGKILL)
        assert client.wait(PATIENCE_S) == (-signal.SIGKILL if side == "client" else 255)
        wait_for_end(pid)


@pytest.mark.slow
class TestATransferThatIsCut:
    @pytest.fixture
    def device(self, device) -> Device:
        installed_apps.install(device.apps, OLD)
        return device

    @pytest.mark.parametrize("sent", CUTS)
    def test_by_its_sender_changes_nothing(self, device, sent):
        before = tree(device.apps)
        cut_by_its_sender(device, sent)
        assert tree(device.apps) == before

    @pytest.mark.parametrize("sent", CUTS[::4])
    @pytest.mark.parametrize("side", ["client", "server"])
    def test_by_the_death_of_ssh_changes_nothing(self, device, sent, side):
        before = tree(device.apps)
        cut_by_the_death_of_ssh(device, sent, side)
        assert tree(device.apps) == before

    def test_is_not_in_the_way_of_a_whole_one(self, device):
        cut_by_its_sender(device, CUTS[-1])
        cut_by_the_death_of_ssh(device, CUTS[-1], "client")
        cut_by_the_death_of_ssh(device, CUTS[-1], "server")
        assert device.version() == "1.0.0"
        done = device.run("cogd install -", BIG.archive)
        assert (done.returncode, device.version()) == (0, "1.2.0"), done.stderr
        assert {path.name for path in device.apps.iterdir()} == {APP, ".cogd"}
        assert device.garbage() == {}


def test_a_slow_sender_arrives_and_is_in_nobodys_way(device):
    with receiving(device, "--wait", "0") as (slow, _):
        for byte in BIG.archive[:1000]:
            slow.stdin.write(bytes([byte]))
            slow.stdin.flush()
            time.sleep(0.001)
        done = device.run("cogd install - --wait 0", NEW.archive)  # would be refused if the lock were held
        assert (done.returncode, device.version()) == (0, "1.1.0"), done.stderr
        for start in range(1000, len(BIG.archive), PIECE // 2):
            slow.stdin.write(BIG.archive[start : start + PIECE // 2])
            slow.stdin.flush()
            time.sleep(0.03)
        _, err = slow.communicate(timeout=PATIENCE_S)
        assert (slow.returncode, device.version()) == (0, "1.2.0"), err


class TestPermissions:
    def test_that_the_apps_directory_does_not_give_are_asked_for(self, device, stranger):
        done = device.run("cogd install -", NEW.archive, user=stranger)
        assert (done.returncode, done.stdout) == (33, b"")
        assert done.stderr.startswith(b"cogd: no-permission: ")
        assert b"cogd: hint: run the command as root (sudo), or as the owner of the folder" in done.stderr
        assert tree(device.apps) == {}

    def test_that_the_trust_directory_does_not_give_are_asked_for(self, device, stranger):
        shutil.chown(device.apps, stranger)
        device.trust.chmod(0o700)
        done = device.run("cogd install -", NEW.archive, user=stranger)
        assert (done.returncode, done.stdout) == (19, b"")
        assert done.stderr.startswith(f"cogd: bad-key: {device.trust}: Permission denied\n".encode())
        assert b"the trust folder must be a folder that this user may read" in done.stderr
        assert tree(device.apps) == {}

    def test_of_the_owner_are_enough(self, device, stranger):
        shutil.chown(device.apps, stranger)
        done = device.run("cogd install -", NEW.archive, user=stranger)
        assert (done.returncode, done.stderr, device.version()) == (0, b"", "1.1.0")

    def test_of_root_are_given_up_before_a_byte_of_the_bundle_is_read(self, device, stranger):
        device.trust.chmod(0o700)  # root reads it nevertheless, while it is root
        shutil.chown(device.apps, stranger, stranger)
        owner = device.apps.stat()
        with receiving(device) as (client, pid):
            deadline_s = time.monotonic() + PATIENCE_S
            while (ids := identity(pid))["Uid"] == [0, 0, 0, 0]:
                assert time.monotonic() < deadline_s
                time.sleep(0.01)
            assert ids == {"Uid": [owner.st_uid] * 4, "Gid": [owner.st_gid] * 4, "Groups": []}
            assert set(capabilities(pid).values()) == {0}
            _, err = client.communicate(NEW.archive, timeout=PATIENCE_S)
            assert (client.returncode, err) == (0, b"")
        assert device.version() == "1.1.0"
        assert {uid for uid, _ in tree(device.apps).values()} == {owner.st_uid}


def identity(pid: int) -> dict[str, list[int]]:
    """As whom a process runs: real, effective, saved and file system ids, and other groups."""
    return {
        name: [int(number) for number in values.split()]
        for name, _, values in status_lines(pid)
        if name in {"Uid", "Gid", "Groups"}
    }


def capabilities(pid: int) -> dict[str, int]:
    """What a process may do beyond its user's rights."""
    return {name: int(values, 16) for name, _, values in status_lines(pid) if name in {"CapEff", "CapPrm", "CapAmb"}}


def status_lines(pid: int) -> list[tuple[str, str, str]]:
    return [line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines()]


class TestPush:
    def push(self, device: Device, bundle: Made | Path, *flags: str, port: int | None = None):
        path = bundle if isinstance(bundle, Path) else bundle.save(device.apps.parent / "bundle.tar")
        ssh = device.machine.ssh_command
        if port is not None:
            ssh[ssh.index("-p") + 1] = str(port)
        host = device.machine.ssh()[-1]
        return subprocess.run(
            [sys.executable, "-m", "cogd", "push", host, path, "--ssh", shlex.join(ssh), *flags],
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def test_installs_over_there(self, device):
        done = self.push(device, BIG)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(b"pose-app 1.2.0 installed\n")
        assert device.version() == "1.2.0"

    def test_has_the_flags_of_install(self, device):
        installed_apps.install(device.apps, BIG)
        done = self.push(device, NEW, "--dry-run", "--allow-downgrade", "--json", "--wait", "1")
        assert (done.returncode, done.stderr) == (0, b"")
        facts = json.loads(done.stdout)
        assert (facts["version"], facts["change"], facts["done"]) == ("1.1.0", "downgrade", False)
        assert device.version() == "1.2.0"

    @pytest.mark.parametrize("refusal", [r for r in REFUSALS if r.status in {14, 15, 26}], ids=lambda r: r.code)
    def test_ends_as_install_did_over_there(self, device, refusal, tmp_path):
        installed_apps.install(device.apps, OLD)
        (tmp_path / "x.tar").write_bytes(refusal.archive)
        done = self.push(device, tmp_path / "x.tar")
        assert (done.returncode, done.stdout) == (refusal.status, b"")
        assert done.stderr.startswith(f"cogd: {refusal.code}: ".encode())

    def test_says_that_there_is_no_cogd_over_there(self, device):
        done = self.push(device, BIG, "--cogd", "cogd-of-yesterday")
        assert done.returncode == 36
        assert b"no such command: cogd-of-yesterday install -" in done.stderr
        assert b"--cogd" in done.stderr

    def test_says_that_nobody_is_there(self, device):
        done = self.push(device, NEW, port=1)
        assert (done.returncode, done.stdout) == (36, b"")
        assert b"cogd: push: the connection to" in done.stderr

    def test_names_another_cogd_over_there(self, device):
        done = self.push(device, NEW, "--cogd", f"nice -n 1 {device.machine.root}/bin/cogd")
        assert (done.returncode, device.version()) == (0, "1.1.0"), done.stderr
