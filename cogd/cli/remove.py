"""`cogd remove ID`: take an app away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cogd.bundle.changes import changing
from cogd.bundle.folder import is_installed
from cogd.bundle.store import Store
from cogd.cli.apps import act_as_owner, add_change_arguments, check_wait, describe_daemon, tell_daemon
from cogd.cli.common import read_settings
from cogd.errors import NoAppError

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which app, and whether its publisher's keys are forgotten too."""
    parser.add_argument("id", help="the app's id")
    add_change_arguments(parser)
    parser.add_argument(
        "--forget",
        action="store_true",
        help="forget whose app it was and its highest version too, so that another publisher's can be installed",
    )


def run(arguments: argparse.Namespace) -> int:
    """Remove the app's folder with its `config.json`, and have a running daemon stop it."""
    settings, wait_s = read_settings(arguments).settings, check_wait(arguments)
    act_as_owner(settings.apps_dir)
    store = Store(settings.apps_dir)
    if not is_installed(store.layout.app(arguments.id)) and not (arguments.forget and store.memory(arguments.id)):
        raise NoAppError(f"there is no app {arguments.id} in {settings.apps_dir}")  # and nothing is made to find out
    with changing(store, wait_s) as changes:
        changes.remove(arguments.id, forget=arguments.forget)
    daemon = tell_daemon(settings, arguments.id)
    if arguments.json:
        print(json.dumps({"id": arguments.id, "removed": True, "forgotten": arguments.forget, "daemon": daemon}))
    else:
        print(f"{arguments.id} was removed\n  daemon   {describe_daemon(settings, daemon)}")
    return 0
