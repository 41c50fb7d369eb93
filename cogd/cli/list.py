"""`cogd list`: what is installed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from cogd.bundle.load import load_apps
from cogd.bundle.probation import is_on_trial
from cogd.bundle.store import Store
from cogd.cli.common import add_folder_arguments, read_settings, read_trust
from cogd.errors import CogdError, visible

if TYPE_CHECKING:
    import argparse

    from cogd.bundle.record import Record


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to look."""
    add_folder_arguments(parser)
    parser.add_argument("--json", action="store_true", help="for machines")


def run(arguments: argparse.Namespace) -> int:
    """Verify every installed app and print a line for each; exit status 0 whatever is found."""
    settings = read_settings(arguments).settings
    store = Store(settings.apps_dir)
    apps, rejected = load_apps(settings.apps_dir, read_trust(arguments, settings.trust_dir))
    errors: dict[str, CogdError | None] = {app.bundle.manifest.id: None for app in apps}
    errors |= {str(item.id): item.error for item in rejected}
    rows = [_row(store, app_id, error) for app_id, error in sorted(errors.items())]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        print(_text(row))
    if not rows:
        print(f"no app is installed in {settings.apps_dir}")
    return 0


def _row(store: Store, app_id: str, error: CogdError | None) -> dict[str, object]:
    try:
        record, previous, on_trial = store.installed(app_id), store.previous(app_id), is_on_trial(store, app_id)
    except CogdError as damage:
        record, previous, on_trial, error = None, None, False, error or damage
    return {
        "id": app_id,
        **_facts(record),
        "previous_version": previous.version if previous is not None else None,
        "on_trial": on_trial,
        "state": "ok" if error is None else error.code,
        "message": str(error) if error is not None else None,
        "hint": error.hint if error is not None else None,
    }


def _facts(record: Record | None) -> dict[str, object]:
    if record is None:
        return dict.fromkeys(("version", "digest", "key_ids", "installed_at", "older_than", "proofs"))
    return {
        "version": record.version,
        "digest": record.digest,
        "key_ids": record.key_ids,
        "installed_at": record.installed_at,
        "older_than": record.older_than,
        "proofs": [msgspec.to_builtins(proof) for proof in record.proofs],
    }


def _text(row: dict[str, object]) -> str:
    at = row["installed_at"]
    when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC") if isinstance(at, int) else "-"
    line = f"{visible(str(row['id'])):24} {row['version'] or '-':16} {when:20}  {row['state']}"
    if row["on_trial"]:
        line += ", on trial"
    if row["previous_version"] is not None:
        line += f"  (before: {row['previous_version']})"
    return line + (f"\n    {row['message']}\n    hint: {row['hint']}" if row["message"] is not None else "")
