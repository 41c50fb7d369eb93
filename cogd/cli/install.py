"""`cogd install BUNDLE`: verify, prove on this device, switch, and see it run."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from cogd.bundle.changes import changing
from cogd.bundle.receive import receive_bundle
from cogd.bundle.store import Store
from cogd.cli.apps import act_as_owner, add_change_arguments, check_wait, describe_daemon, say, tell_daemon
from cogd.cli.common import read_settings, read_trust
from cogd.errors import ArchiveError, NothingToRollBackError, RolledBackError
from cogd.installer import Installation, install

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to install, and how far to go."""
    parser.add_argument("bundle", help="bundle.tar, or - for standard input")
    add_change_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="verify, judge and prove, but change nothing")
    parser.add_argument("--allow-downgrade", action="store_true", help="let an older version pass; it is logged")


def run(arguments: argparse.Namespace) -> int:
    """Install; exit status 0 only if the app is in place and, where a daemon runs, runs there."""
    settings, wait_s = read_settings(arguments).settings, check_wait(arguments)
    trust = read_trust(arguments, settings.trust_dir)
    with _open(arguments.bundle) as stream:
        act_as_owner(settings.apps_dir)
        bundle = receive_bundle(stream, trust, progress=_progress)
    store = Store(settings.apps_dir)
    installation = install(
        bundle,
        store,
        trust,
        now_unix_s=time.time(),
        wait_s=wait_s,
        allow_downgrade=arguments.allow_downgrade,
        rehearse=arguments.dry_run,
        say=say,
    )
    record = installation.record
    if record.older_than is not None:
        print(f"cogd: allowed: {record.id} {record.version}, older than {record.older_than}", file=sys.stderr)
    daemon = None
    if installation.done:
        try:
            daemon = tell_daemon(settings, record.id)
        except RolledBackError:
            _take_back(store, record.id, record.digest, wait_s)
            raise
    print(_as_json(installation, daemon) if arguments.json else _as_text(installation, daemon, arguments.dry_run))
    return 0


def _open(name: str) -> IO[bytes]:
    if name == "-":
        return sys.stdin.buffer
    try:
        return os.fdopen(os.open(Path(name), os.O_RDONLY | os.O_CLOEXEC), "rb", buffering=0)
    except OSError as error:
        raise ArchiveError(f"{name}: {error.strerror}", hint="give the path of a bundle.tar, or -") from error


def _progress(received: int, expected: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if received >= expected else ""
        print(f"\rcogd: received {received >> 10} of {expected >> 10} KiB", end=end, file=sys.stderr, flush=True)


def _take_back(store: Store, app_id: str, digest: str, wait_s: float) -> None:
    """What the daemon refuses must not stay; it may have gone back itself."""
    with changing(store, wait_s) as changes:
        installed = store.installed(app_id)
        if installed is None or installed.digest != digest:
            return
        try:
            changes.roll_back(app_id)
        except NothingToRollBackError:
            changes.remove(app_id, forget=False)


def _as_json(installation: Installation, daemon: dict[str, object] | None) -> str:
    facts = msgspec.to_builtins(installation.record) | {
        "change": installation.change,
        "previous_version": installation.previous_version,
        "done": installation.done,
        "daemon": daemon,
    }
    return json.dumps({key: value for key, value in facts.items() if key not in {"format", "previous"}})


def _as_text(installation: Installation, daemon: dict[str, object] | None, dry_run: bool) -> str:  # noqa: FBT001
    record, before = installation.record, installation.previous_version
    change = {
        "first": "installed",
        "upgrade": f"installed, {before} before",
        "downgrade": f"installed, {before} before",
        "same": "installed again" if installation.done else "is installed already",
    }[installation.change]
    if dry_run:
        change = f"could be installed ({installation.change})"
    lines = [f"{record.id} {record.version} {change}", f"  digest   {record.digest}"]
    lines += [f"  key      {key_id}" for key_id in record.key_ids]
    lines += [
        f"  backend  {proof.backend} ({proof.file}, {proof.precision}): golden error {proof.golden_error:.2g} of"
        f" {proof.golden_tolerance:g}, {proof.latency_p50_ms:g} ms median of {proof.runs}"
        for proof in record.proofs
    ]
    if installation.done:
        lines.append(f"  daemon   {describe_daemon(daemon)}")
    return "\n".join(lines)
