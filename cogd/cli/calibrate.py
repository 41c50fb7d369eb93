"""`cogd calibrate`: let the running daemon watch a quiet room, so that it knows motion from none there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogd.bundle.utc import utc_text
from cogd.cli.apps import say
from cogd.control.client import request
from cogd.control.wire import MAX_CALIBRATION_S, MIN_CALIBRATION_S
from cogd.errors import (
    CalibrationError,
    ConfigError,
    ControlError,
    NoAppError,
    NoSpaceError,
    PermissionDeniedError,
    StorageError,
)
from cogd.settings import load_settings

if TYPE_CHECKING:
    import argparse

    from cogd.errors import CogdError

_ANSWER_S = 30.0
"""What the daemon gets beyond the time that it watches: to store what it measured, and to answer."""

_REFUSALS: dict[str, type[CogdError]] = {
    kind.code: kind for kind in (CalibrationError, NoAppError, NoSpaceError, PermissionDeniedError, StorageError)
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which nodes, for which app, for how long; or what is stored."""
    parser.add_argument(
        "nodes", nargs="*", metavar="NODE", help="as events name it, SOURCE/ID; without any, every node that is live"
    )
    parser.add_argument("--app", metavar="ID", help="for this app; without it, for every one that has a use for it")
    parser.add_argument("--seconds", type=float, metavar="S", help="watch for so long, 2 to 600 (default 10)")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--list", action="store_true", dest="listing", help="show what was measured")
    other.add_argument("--forget", action="store_true", help="forget what was measured of the nodes that are named")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (default /etc/cogd/cogd.toml)")
    parser.add_argument("--control-socket", metavar="PATH", help="of the daemon that is to do it")
    parser.add_argument("--json", action="store_true", help="for machines")


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon and print what it says, a line for each node and app."""
    settings = load_settings({"control_socket": arguments.control_socket}, arguments.config).settings
    ask = _Daemon(settings.control_socket)
    if arguments.listing:
        return _show(arguments, _list(ask, arguments))
    if arguments.forget:
        return _show(arguments, _forget(ask, arguments))
    return _show(arguments, _calibrate(ask, arguments))


class _Daemon:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, command: dict[str, object], seconds: float = 0.0) -> dict[str, Any]:
        """The daemon's answer.

        Raises:
            ControlError: there is no daemon, or it does not answer.
            CogdError: it refused.
        """
        try:
            answer = request(self._path, command, seconds + _ANSWER_S)
        except ControlError as refused:
            if (kind := _REFUSALS.get(refused.refusal)) is None:
                raise
            raise kind(refused.said, hint=refused.hint) from refused
        if answer is None:
            raise ControlError(f"no daemon listens on {self._path}", hint="start it: systemctl start cogd")
        return answer


def _calibrate(ask: _Daemon, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    seconds: float = 10.0 if arguments.seconds is None else arguments.seconds
    if not MIN_CALIBRATION_S <= seconds <= MAX_CALIBRATION_S:
        raise ConfigError(
            f"--seconds {seconds:g} is too {'long' if seconds > MAX_CALIBRATION_S else 'short'}",
            hint=f"give {MIN_CALIBRATION_S:g} to {MAX_CALIBRATION_S:g}",
        )
    say(f"watching for {seconds:g} s; nothing should move")
    command = {"command": "calibrate", "nodes": arguments.nodes, "app": arguments.app, "seconds": seconds}
    return list(ask(command, seconds)["baselines"])


def _forget(ask: _Daemon, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    if not arguments.nodes or arguments.seconds is not None:
        raise ConfigError("--forget wants nodes, and no --seconds", hint="cogd calibrate --list names the nodes")
    return list(ask({"command": "forget", "nodes": arguments.nodes, "app": arguments.app})["forgotten"])


def _list(ask: _Daemon, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    if arguments.seconds is not None:
        raise ConfigError("--list takes no --seconds", hint="leave it out")
    wanted = set(arguments.nodes)
    return [
        one
        for one in ask({"command": "baselines"})["baselines"]
        if (not wanted or one["node"] in wanted) and arguments.app in {None, one["app"]}
    ]


def _show(arguments: argparse.Namespace, baselines: list[dict[str, Any]]) -> int:
    if arguments.json:
        print(json.dumps(baselines, indent=2))
        return 0
    for one in baselines:
        state = "used" if one.get("used", True) else "of a version that does not serve"
        print(
            f"{one['node']}  {one['app']}  {one['score']:.3f} +- {one['spread']:.3f}  {one['n']} windows in "
            f"{one['seconds']:g} s, {one['origin']}, {utc_text(one['time'])}  "
            f"{'forgotten' if arguments.forget else state}"
        )
    if not baselines:
        print("no baseline was measured yet")
    return 0
