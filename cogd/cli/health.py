"""`cogd health`: verify every app, load it, reproduce its golden pair."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from cogd.cli.common import add_settings_arguments, catalogue, load_all, no_app, read_settings
from cogd.errors import NoAppError
from cogd.events import Event, HealthFailed, HealthOk, encode

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which app; all if none is named."""
    parser.add_argument("id", nargs="?", help="the app's id; every app without it")
    add_settings_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print one `health.ok` or `health.failed` an app; exit 1 if any failed or there is none."""
    settings = read_settings(arguments).settings
    apps, rejected = load_all(catalogue(arguments, settings))
    if arguments.id is not None:
        apps = [app for app in apps if app.id == arguments.id]
        rejected = [item for item in rejected if item.id == arguments.id] if not apps else []
    failures = [HealthFailed(app=r.path, code=r.error.code, message=str(r.error), hint=r.error.hint) for r in rejected]
    if not apps and not failures:
        error = no_app(settings, []) if arguments.id is None else NoAppError(f"there is no app {arguments.id}")
        failures = [HealthFailed(app=arguments.id, code=error.code, message=str(error), hint=error.hint)]
    for app in apps:
        fields = HealthOk(
            app=app.id,
            version=app.bundle.manifest.version,
            digest=app.bundle.digest,
            backend=app.backend,
            golden_error=app.golden_error,
            golden_tolerance=app.golden_tolerance,
        )
        sys.stdout.buffer.write(encode(Event(ts=time.time(), level="info", event="health.ok", fields=fields)))
    for failed in failures:
        sys.stdout.buffer.write(encode(Event(ts=time.time(), level="error", event="health.failed", fields=failed)))
    sys.stdout.buffer.flush()
    return 1 if failures else 0
