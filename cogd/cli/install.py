"""`cogd install BUNDLE`: verify, prove on this device, switch, and see it run."""

from __future__ import annotations

import contextlib
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
from cogd.errors import ArchiveError, CogdError, NothingToRollBackError, RolledBackError
from cogd.installer import Installation, install
from cogd.runtime.crashes import ask_to_forget

if TYPE_CHECKING:
    import argparse

    from cogd.bundle.record import Memory, Record
    from cogd.bundle.trust import TrustStore
    from cogd.bundle.verify import VerifiedBundle
    from cogd.settings import Settings


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
        act_as_owner(settings.apps_dir, create=not arguments.dry_run)
        bundle = _receive(stream, trust)
    store = Store(settings.apps_dir)
    memory = store.memory(bundle.manifest.id)
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
    if installation.done and record.older_than is not None:
        print(f"cogd: allowed: {record.id} {record.version}, older than {record.older_than}", file=sys.stderr)
    daemon = None
    if not arguments.dry_run:
        _forget_deaths(settings, record)
        try:
            daemon = tell_daemon(settings, record.id, to_run=True)
        except RolledBackError:
            if installation.done:
                _take_back(store, record, memory, wait_s)
            with contextlib.suppress(CogdError):  # so that the version from before runs again, if it was stopped
                tell_daemon(settings, record.id)
            raise
    print(_as_json(installation, daemon) if arguments.json else _as_text(installation, arguments.dry_run))
    if not arguments.json and not arguments.dry_run:
        print(f"  daemon   {describe_daemon(settings, daemon)}")
    return 0


def _open(name: str) -> IO[bytes]:
    if name == "-":
        if sys.stdin is None:
            raise ArchiveError("standard input is closed", hint="for example: cogd install - < bundle.tar")
        return sys.stdin.buffer
    try:
        return os.fdopen(os.open(Path(name), os.O_RDONLY | os.O_CLOEXEC), "rb", buffering=0)
    except OSError as error:
        raise ArchiveError(f"{name}: {error.strerror}", hint="give the path of a bundle.tar, or -") from error


def _receive(stream: IO[bytes], trust: TrustStore) -> VerifiedBundle:
    """Receive with progress on a terminal."""
    shown = -1

    def progress(received: int, expected: int) -> None:
        nonlocal shown
        percent = 100 * received // max(expected, 1)
        if percent != shown and sys.stderr.isatty():
            print(f"\rcogd: received {percent} % of {expected >> 10} KiB", end="", file=sys.stderr, flush=True)
            shown = percent

    try:
        return receive_bundle(stream, trust, progress=progress)
    finally:
        if shown >= 0:
            print(file=sys.stderr)


def _forget_deaths(settings: Settings, record: Record) -> None:
    """Let the daemon try the version again, if daemons have died over it: it has just passed its check."""
    try:
        if ask_to_forget(settings.state_dir, settings.apps_dir, record.digest):
            say(f"{record.id} {record.version} was left out after deaths of the daemon; it is tried again")
    except OSError as error:
        print(f"cogd: the daemon may leave it out: {settings.state_dir}: {error.strerror}", file=sys.stderr)


def _take_back(store: Store, record: Record, memory: Memory | None, wait_s: float) -> None:
    """What the daemon refuses must not stay; it may have gone back itself."""
    with changing(store, wait_s) as changes:
        installed = store.installed(record.id)
        if installed is None or installed.digest != record.digest:
            return
        try:
            changes.roll_back(record.id)
        except NothingToRollBackError:
            changes.undo_first(record.id, memory)


def _as_json(installation: Installation, daemon: dict[str, object] | None) -> str:
    facts = msgspec.to_builtins(installation.record) | {
        "change": installation.change,
        "previous_version": installation.previous_version,
        "done": installation.done,
        "daemon": daemon,
    }
    return json.dumps({key: value for key, value in facts.items() if key not in {"format", "previous", "last_good"}})


def _as_text(installation: Installation, dry_run: bool) -> str:  # noqa: FBT001
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
    return "\n".join(lines)
