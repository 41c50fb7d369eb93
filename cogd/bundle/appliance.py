"""The two files that the appliance's dashboard and gateway look for in an app's folder (ADR-100).

`manifest.json` is made here for them; nothing here reads it. `config.json` is the user's, or the appliance's.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from cogd.bundle.archive import write_archive
from cogd.bundle.layout import CONFIG_NAME
from cogd.bundle.regular import read_regular_file
from cogd.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from cogd.bundle.verify import VerifiedBundle

_MAX_CONFIG_BYTES = 64 << 10

DEFAULT_CONFIG = b'{\n  "min_confidence": 0\n}\n'
"""What an app's `config.json` is when it is first installed: nothing is held back."""


class AppConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`config.json`, with ADR-100's keys and limits.

    Only `min_confidence` has an effect: sources and beat are the daemon's settings, the model is the signed one.

    Attributes:
        min_confidence: events whose confidence is lower are counted and not emitted; those without one are emitted.
        sensing_url: without effect.
        model_path: without effect.
        poll_ms: without effect.
    """

    min_confidence: Annotated[float, Meta(ge=0, le=1)] = 0.0
    sensing_url: Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9+.-]*:", max_length=2000)] | None = None
    model_path: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    poll_ms: Annotated[int, Meta(ge=10, le=1000)] | None = None


def adr100_manifest(bundle: VerifiedBundle, installed_at: int) -> bytes:
    """`manifest.json` with ADR-100's eight fields and no other, because published readers refuse others.

    The "binary" is the bundle's archive. There is no address that it could be had from again, and ADR-100's signature
    is over a program that does not exist here: both are empty, as in ADR-100's template. `bundle.dsse.json` is signed.
    """
    archive = write_archive(bundle.members())
    fields = {
        "id": bundle.manifest.id,
        "version": bundle.manifest.version,
        "binary_url": "",
        "binary_bytes": len(archive),
        "binary_sha256": sha256(archive).hexdigest(),
        "binary_signature": "",
        "installed_at": installed_at,
        "status": "installed",
    }
    return json.dumps(fields, indent=2).encode() + b"\n"


def read_config(folder: Path) -> AppConfig:
    """The `config.json` in an app's folder; the defaults where there is none.

    Raises:
        ConfigError: a key is unknown, twice there or out of its range (the message names it), or it can't be read.
    """
    path = folder / CONFIG_NAME
    try:
        raw = read_regular_file(path, limit=_MAX_CONFIG_BYTES, follow=True).data
    except FileNotFoundError:
        return AppConfig()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="mend it, or take it away") from error
    hint = f"the keys are: {', '.join(AppConfig.__struct_fields__)}; docs/install.md has their limits"
    try:
        config = msgspec.json.decode(raw, type=AppConfig)
        keys = [key for key, _ in json.loads(raw, object_pairs_hook=list)]
    except (ValueError, RecursionError) as error:  # ValueErrors: what msgspec, json and UTF-8 decoding raise
        raise ConfigError(f"{path}: {str(error)[:300]}", hint=hint) from error
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ConfigError(f"{path}: the key `{twice[0]}` is there twice", hint=hint)
    return config
