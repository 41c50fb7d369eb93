"""What the verbs share that change the apps directory: as whom they do it, how they talk, and whom they tell."""

from __future__ import annotations

import contextlib
import os
import pwd
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cogd
from cogd.bundle.durable import storage_error
from cogd.cli.common import add_folder_arguments
from cogd.control.client import request
from cogd.errors import ConfigError, PermissionDeniedError, RolledBackError

if TYPE_CHECKING:
    import argparse

    from cogd.settings import Settings

_ANSWER_S = 200.0
"""What a daemon may need, beyond its canary window, to read and load apps and to answer."""

_SERVICE_USER = "cogd"
"""Whom the apps directory belongs to; systemd/cogd.sysusers makes it."""


def add_change_arguments(parser: argparse.ArgumentParser) -> None:
    """Where, with what patience, and for whom."""
    add_folder_arguments(parser)
    parser.add_argument(
        "--wait", type=float, default=30.0, metavar="SECONDS", help="for another installation to end (%(default)g)"
    )
    parser.add_argument("--control-socket", metavar="PATH", help="of the daemon that is to be told")
    parser.add_argument("--json", action="store_true", help="for machines")


def check_wait(arguments: argparse.Namespace) -> float:
    """The patience that was asked for.

    Raises:
        ConfigError: it is none.
    """
    wait_s: float = arguments.wait
    if not 0 <= wait_s <= 86400:
        raise ConfigError(f"--wait {wait_s:g} is not within 0..86400", hint="give seconds")
    return wait_s


def act_as_owner(directory: Path, *, create: bool = False) -> None:
    """As root, become the owner of the apps directory before anything of a bundle is looked at.

    What is written then belongs to the daemon's user, a bundle never meets root's rights, and no link that this user
    might have put into its own folder leads root anywhere.

    Args:
        directory: the apps directory.
        create: make it where it is missing, as the service's user's.

    Raises:
        PermissionDeniedError: that owner can't read cogd itself, and so could not run the apps either.
        StorageError: the directory can't be made.
    """
    os.umask(0o022)  # the appliance's dashboard reads what is written here as another user
    if os.geteuid() != 0:
        return
    if create and not directory.exists():
        _make_for_service(directory)
    with contextlib.suppress(FileNotFoundError):
        owner = directory.stat()
        if owner.st_uid != 0:
            os.setgroups([])
            os.setgid(owner.st_gid)
            os.setuid(owner.st_uid)
            if not os.access(cogd.__file__, os.R_OK):
                raise PermissionDeniedError(
                    f"{Path(cogd.__file__).parent}: can't be read by the owner of {directory}, who runs the apps",
                    hint="install cogd where every user can read it, for example into /opt/cogd",
                )


def _make_for_service(directory: Path) -> None:
    with contextlib.suppress(KeyError):  # no such user: the daemon is not a service here
        user = pwd.getpwnam(_SERVICE_USER)
        try:
            directory.mkdir(mode=0o755, parents=True)
            os.chown(directory, user.pw_uid, user.pw_gid)
        except OSError as error:
            raise storage_error(error, f"the apps directory {directory}") from error


def say(text: str) -> None:
    """Tell somebody at a terminal what is being done; quiet over a pipe."""
    if sys.stderr.isatty():
        print(f"cogd: {text} ...", file=sys.stderr)


def tell_daemon(settings: Settings, app_id: str, *, to_run: bool = False) -> dict[str, object] | None:
    """Have a running daemon take what has changed; returns what became of the app there, None without a daemon.

    With `to_run`, an app that was removed meanwhile counts as refused.

    Raises:
        RolledBackError: it went back, or refused the app; the message has its reason.
        ControlError, PermissionDeniedError: it does not answer.
    """
    say("telling the running daemon, if there is one")
    answer = request(settings.control_socket, {"command": "reload"}, settings.canary_s + _ANSWER_S)
    if answer is None:
        return None
    apps = answer.get("apps")
    found = apps.get(app_id) if isinstance(apps, dict) else None
    outcome: dict[str, object] = found if isinstance(found, dict) else {"outcome": "unknown"}
    if outcome.get("outcome") in ("rolled_back", "rejected", *(("removed",) if to_run else ())):
        raise RolledBackError(f"{app_id}: the running daemon did not keep it: {outcome.get('reason')}")
    return outcome


def describe_daemon(settings: Settings, outcome: dict[str, object] | None) -> str:
    """One line for people."""
    if outcome is None:
        return f"no daemon listens on {settings.control_socket}"
    return {
        "confirmed": "took it over",
        "pending": "took it; it goes back by itself if the new version fails once there is live input",
        "added": "runs it",
        "removed": "runs it no more",
        "unchanged": "runs it already",
    }.get(str(outcome.get("outcome")), f"answers, but runs other apps than those of {settings.apps_dir}")
