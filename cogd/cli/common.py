"""What several verbs share: where settings, apps and trust come from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cogd import demo
from cogd.bundle.trust import TrustStore
from cogd.errors import CogdError, NoAppError
from cogd.settings import Loaded, Settings, load_settings

if TYPE_CHECKING:
    from cogd.bundle.load import RejectedApp
    from cogd.runtime.app import App
    from cogd.runtime.catalogue import AppsCatalogue
    from cogd.runtime.crashes import CrashMemory


def add_settings_arguments(parser: argparse.ArgumentParser) -> None:
    """Where settings, apps and trust come from; or the packaged apps."""
    add_folder_arguments(parser)
    add_demo_argument(parser)


def add_folder_arguments(parser: argparse.ArgumentParser) -> None:
    """Where settings, apps and trust come from."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (default /etc/cogd/cogd.toml)")
    parser.add_argument("--apps-dir", metavar="DIR", help="folder of installed apps")
    parser.add_argument("--trust-dir", metavar="DIR", help="folder of trusted public keys, *.pub")
    add_trust_argument(parser)


def add_every_setting(parser: argparse.ArgumentParser) -> None:
    """A flag for every setting; lists are given word by word, `--source URL --source URL`."""
    add_settings_arguments(parser)
    for key, field in Settings.model_fields.items():
        if key in {"apps_dir", "trust_dir"}:
            continue
        flag, text = "--" + key.replace("_", "-"), (field.description or "").replace("%", "%%")
        if isinstance(field.default, tuple):
            metavar = "NAME=FILE" if key == "sink_credentials" else "URL"
            parser.add_argument(flag.removesuffix("s"), action="append", dest=key, metavar=metavar, help=text)
        elif isinstance(field.default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            parser.add_argument(flag, metavar="VALUE", help=f"{text} (default {field.default})")


def add_trust_argument(parser: argparse.ArgumentParser) -> None:
    """Whom to trust beyond the trust directory."""
    parser.add_argument(
        "--trust", type=Path, action="append", default=[], metavar="FILE", help="trust this public key too"
    )


def add_demo_argument(parser: argparse.ArgumentParser) -> None:
    """The packaged bundles, for verbs that change nothing."""
    parser.add_argument(
        "--demo", action="store_true", help="use the packaged bundles, and trust the key that signed them"
    )


def read_settings(arguments: argparse.Namespace) -> Loaded:
    """Settings of all layers; the flags are those arguments that are named as a setting is."""
    flags = {key: getattr(arguments, key, None) for key in Settings.model_fields}
    preset = {"apps_dir": str(demo.APPS), "sources": demo.SOURCES} if _is_demo(arguments) else None
    return load_settings(flags, arguments.config, preset)


def read_trust(arguments: argparse.Namespace, directory: Path) -> TrustStore:
    """The trust directory's keys, those named by `--trust`, and with `--demo` the key of the packaged bundles."""
    extra = [demo.PUBLIC_KEY] if _is_demo(arguments) else []
    return TrustStore.load([directory], files=[*arguments.trust, *extra])


def _is_demo(arguments: argparse.Namespace) -> bool:
    return getattr(arguments, "demo", False)


def catalogue(
    arguments: argparse.Namespace,
    settings: Settings,
    trust: TrustStore | None = None,
    crashes: CrashMemory | None = None,
) -> AppsCatalogue:
    """The apps that the settings name: installed ones; with `--demo`, the packaged archives.

    Args:
        arguments: of the verb.
        settings: of all layers.
        trust: whose signatures count; None: the trust directory as it is each time that the apps are read.
        crashes: remembers the versions over which daemons died.
    """
    from cogd.runtime.catalogue import AppsCatalogue

    archives = demo.archives() if settings.apps_dir == demo.APPS else None

    def keys() -> TrustStore:
        return read_trust(arguments, settings.trust_dir) if trust is None else trust

    return AppsCatalogue(settings.apps_dir, keys, archives=archives, crashes=crashes)


def load_all(apps_catalogue: AppsCatalogue, *, for_daemon: bool = False) -> tuple[list[App], list[RejectedApp]]:
    """Every app that can run, and every one that can't, with the reason; for the daemon, those that it begins with."""
    from cogd.bundle.load import RejectedApp

    if for_daemon:
        bundles, rejected = apps_catalogue.scan_first()
        apps, failed = apps_catalogue.load_first(bundles)
        return apps, rejected + failed
    bundles, rejected = apps_catalogue.scan()
    apps = []
    for bundle in bundles:
        try:
            apps.append(apps_catalogue.load(bundle))
        except CogdError as error:
            rejected.append(RejectedApp(bundle.manifest.id, error, id=bundle.manifest.id))
    return apps, rejected


def no_app(settings: Settings, rejected: list[RejectedApp]) -> CogdError:
    """Why there is nothing to run: the only bundle's own error, or that there is none."""
    if len(rejected) == 1:
        return rejected[0].error
    if rejected:
        return NoAppError(
            f"none of the {len(rejected)} apps in {settings.apps_dir} can run",
            hint="; ".join(f"{item.path}: {item.error}" for item in rejected),
        )
    return NoAppError(f"no app is installed in {settings.apps_dir}")
