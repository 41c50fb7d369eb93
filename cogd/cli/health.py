"""`cogd health`: verify every app, load it, reproduce its golden pair; or ask the running daemon to.

What is here is the ordinary way, and the judge: `cogd.probe` hands over whatever it can't prove by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogd.cli.common import add_settings_arguments, catalogue, no_app, read_settings, read_trust
from cogd.clock import SystemClock
from cogd.control.client import request
from cogd.errors import CogdError, ControlError, NoAppError, visible
from cogd.events import Emitter, HealthFailed, HealthOk, encode
from cogd.probe import live
from cogd.probe.not_quick import NotQuick, Unheard
from cogd.runtime.golden_process import check_in_child

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from cogd.bundle.trust import TrustStore
    from cogd.bundle.verify import VerifiedBundle


_LEISURE_S = 1.0
"""What a daemon gets to say at least that it is there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which app; all if none is named."""
    parser.add_argument("id", nargs="?", help="the app's id; every app without it")
    add_settings_arguments(parser)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--live", action="store_true", help="ask the running daemon: a forward pass there, and its input")
    way.add_argument("--ordinary", action="store_true", help="load the apps as an installation does, not the quick way")
    parser.add_argument("--control-socket", metavar="PATH", help="of the daemon that --live asks")


def run(arguments: argparse.Namespace) -> int:
    """Print one `health.ok` or `health.failed` an app; exit 1 if any failed or there is none."""
    settings = read_settings(arguments).settings
    fallback: NotQuick | None = getattr(arguments, "fallback", None)
    if arguments.live:
        return _live(settings.control_socket, arguments.id, fallback)
    reason = None if arguments.ordinary or fallback is None else str(fallback)
    trust = read_trust(arguments, settings.trust_dir)
    bundles, rejected = catalogue(arguments, settings, trust).scan()
    if arguments.id is not None:
        bundles = [bundle for bundle in bundles if bundle.manifest.id == arguments.id]
        rejected = [item for item in rejected if item.id == arguments.id] if not bundles else []
    results: list[HealthOk | HealthFailed] = [_check(bundle, trust, reason) for bundle in bundles]
    results += [_failed(item.id or item.path, item.error, reason) for item in rejected]
    if not results:
        error = no_app(settings, []) if arguments.id is None else NoAppError(f"there is no app {arguments.id}")
        results = [_failed(None if arguments.id is None else visible(arguments.id), error, reason)]
    results.sort(key=lambda result: isinstance(result, HealthFailed))  # what failed comes last
    healthy = not any(isinstance(result, HealthFailed) for result in results)
    return live.tell(b"".join(map(_event, results)), healthy=healthy)


def _check(bundle: VerifiedBundle, trust: TrustStore, reason: str | None) -> HealthOk | HealthFailed:
    """Check one app in a child process: whatever its model does there, the others are checked all the same."""
    manifest = bundle.manifest
    try:
        checked = check_in_child(bundle, trust)
    except CogdError as error:
        return _failed(manifest.id, error, reason)
    return HealthOk(
        app=manifest.id,
        version=manifest.version,
        digest=bundle.digest,
        backend=checked.backend,
        golden_error=checked.golden_error,
        golden_tolerance=checked.golden_tolerance,
        golden_ms=None if checked.golden_ms is None else round(checked.golden_ms, 3),
        way="ordinary",
        fallback_reason=reason,
    )


def _live(path: Path, app_id: str | None, fallback: NotQuick | None) -> int:
    """What the daemon says; where it can't be had, why."""
    try:
        if isinstance(fallback, Unheard):
            raise fallback  # it was asked already
        healthy, lines = live.ask(str(path), app_id)
    except NotQuick as reason:
        healthy, lines = False, _event(_unheard(path, app_id, str(reason)))
    return live.tell(lines, healthy=healthy)


def _unheard(path: Path, app_id: str | None, reason: str) -> HealthFailed:
    """Why there is no answer: asked once more, at leisure."""
    error: CogdError = ControlError(reason)
    try:
        if request(path, {"command": "status"}, _LEISURE_S) is None:
            error = ControlError(f"no daemon listens on {path}", hint="start it: systemctl start cogd")
    except CogdError as said:
        error = said
    return HealthFailed(
        app=None if app_id is None else visible(app_id),
        code=error.code,
        message=str(error),
        hint=error.hint,
        way="live",
        fallback_reason=None,
    )


def _event(fields: HealthOk | HealthFailed) -> bytes:
    lines: list[bytes] = []
    Emitter(SystemClock(), lambda event: lines.append(encode(event))).emit(fields)
    return lines[0]


def _failed(app: str | None, error: CogdError, reason: str | None) -> HealthFailed:
    return HealthFailed(
        app=app, code=error.code, message=str(error), hint=error.hint, way="ordinary", fallback_reason=reason
    )
