"""What several verbs share: where settings, apps and trust come from."""

from __future__ import annotations

import argparse
from pathlib import Path

from cogd import demo
from cogd.bundle.store import load_apps
from cogd.bundle.trust import TrustStore
from cogd.errors import CogdError, NoAppError
from cogd.runtime.app import App, load_app
from cogd.runtime.daemon import RejectedApp
from cogd.settings import Loaded, Settings, load_settings


def add_settings_arguments(parser: argparse.ArgumentParser) -> None:
    """Where settings, apps and trust come from."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (default /etc/cogd/cogd.toml)")
    parser.add_argument("--apps-dir", metavar="DIR", help="folder of bundles: *.tar and <id>/")
    parser.add_argument("--trust-dir", metavar="DIR", help="folder of trusted public keys, *.pub")
    add_trust_arguments(parser)


def add_every_setting(parser: argparse.ArgumentParser) -> None:
    """A flag for every setting; lists are given word by word, `--source URL --source URL`."""
    add_settings_arguments(parser)
    for key, field in Settings.model_fields.items():
        if key in {"apps_dir", "trust_dir"}:
            continue
        flag, text = "--" + key.replace("_", "-"), (field.description or "").replace("%", "%%")
        if isinstance(field.default, tuple):
            parser.add_argument(flag.removesuffix("s"), action="append", dest=key, metavar="URL", help=text)
        elif isinstance(field.default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            parser.add_argument(flag, metavar="VALUE", help=f"{text} (default {field.default})")


def add_trust_arguments(parser: argparse.ArgumentParser) -> None:
    """Whom to trust beyond the trust directory."""
    parser.add_argument(
        "--trust", type=Path, action="append", default=[], metavar="FILE", help="trust this public key too"
    )
    parser.add_argument(
        "--demo", action="store_true", help="use the packaged bundles, and trust the key that signed them"
    )


def read_settings(arguments: argparse.Namespace) -> Loaded:
    """Settings of all layers; the flags are those arguments that are named as a setting is."""
    flags = {key: getattr(arguments, key, None) for key in Settings.model_fields}
    preset = {"apps_dir": str(demo.APPS), "sources": demo.SOURCES} if arguments.demo else None
    return load_settings(flags, arguments.config, preset)


def read_trust(arguments: argparse.Namespace, directory: Path) -> TrustStore:
    """The trust directory's keys, those named by `--trust`, and with `--demo` the demo key."""
    extra = [demo.PUBLIC_KEY] if arguments.demo else []
    return TrustStore.load([directory], files=[*arguments.trust, *extra])


def load_all(settings: Settings, trust: TrustStore) -> tuple[list[App], list[RejectedApp]]:
    """Every app that can run, and every bundle that can't, with the reason."""
    bundles, refused = load_apps(settings.apps_dir, trust)
    apps: list[App] = []
    rejected = [RejectedApp(str(item.path), item.error) for item in refused]
    for bundle in bundles:
        try:
            apps.append(load_app(bundle))
        except CogdError as error:
            rejected.append(RejectedApp(bundle.manifest.id, error))
    return apps, rejected


def no_app(settings: Settings, rejected: list[RejectedApp]) -> CogdError:
    """Why there is nothing to run: the only bundle's own error, or that there is none."""
    if len(rejected) == 1:
        return rejected[0].error
    if rejected:
        return NoAppError(
            f"none of the {len(rejected)} bundles in {settings.apps_dir} can run",
            hint="; ".join(f"{item.path}: {item.error}" for item in rejected),
        )
    return NoAppError(f"there is no bundle in {settings.apps_dir}")
