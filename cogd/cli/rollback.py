"""`cogd rollback ID`: go back to the version before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cogd.bundle.store import Store
from cogd.cli.apps import act_as_owner, add_change_arguments, check_wait, describe_daemon, say, tell_daemon
from cogd.cli.common import read_settings, read_trust
from cogd.installer import roll_back

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which app."""
    parser.add_argument("id", help="the app's id")
    add_change_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Verify and prove the version before, switch, and have a running daemon take it."""
    settings, wait_s = read_settings(arguments).settings, check_wait(arguments)
    trust = read_trust(arguments, settings.trust_dir)
    act_as_owner(settings.apps_dir)
    result = roll_back(arguments.id, Store(settings.apps_dir), trust, wait_s=wait_s, say=say)
    daemon = tell_daemon(settings, arguments.id)
    version, before = result.record.version, result.previous_version
    if arguments.json:
        print(json.dumps({"id": arguments.id, "version": version, "previous_version": before, "daemon": daemon}))
    else:
        print(f"{arguments.id} is back at {version}, {before} before\n  daemon   {describe_daemon(settings, daemon)}")
    return 0
