"""Settings: defaults < file < environment < flags, and where each value came from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from cogd.defaults import APPS_DIR, CONTROL_SOCKET, PREFIX, SETTINGS_FILE, STATE_DIR, TRUST_DIR
from cogd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_FILE = Path(SETTINGS_FILE)
NOT_SETTINGS = frozenset({"COGD_BOOT_ID", "COGD_CONFIG", "COGD_DATA"})
"""Variables with our prefix that are no settings: what names the machine's start (set by the unit, see
`cogd.runtime.crashes`), the file's place, and recordings that tests read."""

_SHOW = "see `cogd config show` for every key, its value and where it came from"

_Words = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Every setting. In the environment a list is words with spaces between."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, validate_default=True)

    sources: _Words = Field(
        default=("udp://0.0.0.0:5005",),
        min_length=1,
        description="where frames come from, as URLs; `#name` names one",
    )
    sinks: _Words = Field(default=("stdout:",), min_length=1, description="where events go, as URLs")
    sink_credentials: _Words = Field(
        default=(), description="files with sinks' credentials, as NAME=FILE with the sink's name"
    )
    apps_dir: Path = Field(default=Path(APPS_DIR), description="folder of installed apps")
    trust_dir: Path = Field(default=Path(TRUST_DIR), description="folder of trusted public keys, *.pub")
    tick_ms: int = Field(default=40, ge=5, le=1000, description="the beat: servers are polled and links checked on it")
    batch_ms: int = Field(
        default=5, ge=0, le=1000, description="least time between two ticks: what comes meanwhile is inferred together"
    )
    max_pending: int = Field(
        default=4096, ge=1, le=65536, description="windows that may wait for a tick; more sheds the oldest"
    )
    max_wait_ms: int = Field(
        default=300,
        ge=10,
        le=60000,
        description="age of a live frame at which its window is shed, if no tick had time",
    )
    stale_after_s: float = Field(default=2.0, gt=0, le=3600, description="silence after which a link is stale")
    absent_after_s: float = Field(default=10.0, gt=0, le=86400, description="silence after which a link is absent")
    frozen_after: int = Field(default=10, ge=2, le=10000, description="identical frames after which a link is frozen")
    believe_simulated: bool = Field(
        default=False, description="infer from frames that a server marks as simulated (`sim:` always is)"
    )
    http_timeout_s: float = Field(default=2.0, gt=0, le=60, description="how long one poll may take")
    http_token_file: Path | None = Field(default=None, description="file with the bearer token of the one HTTP source")
    control_socket: Path = Field(default=Path(CONTROL_SOCKET), description="where the running daemon takes commands")
    canary_s: float = Field(
        default=10.0, gt=0, le=3600, description="how long a new version of an app is watched before the old one goes"
    )
    state_dir: Path = Field(default=Path(STATE_DIR), description="folder where the daemon keeps what it measured")
    fuse_counts: bool = Field(
        default=True, description="combine events of all nodes of a source (count.fused); they must see the same space"
    )
    log_level: Literal["debug", "info", "warn", "error"] = Field(default="info", description="what goes to stderr")

    @field_validator("sources", "sinks", "sink_credentials", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value


@dataclass(frozen=True)
class Loaded:
    """Settings and the origin of each: `flag`, `flag --demo`, `environment COGD_X`, `file PATH` or `default`."""

    settings: Settings
    origins: Mapping[str, str]


def load_settings(
    flags: Mapping[str, object], file: Path | None = None, demo: Mapping[str, object] | None = None
) -> Loaded:
    """Read all layers.

    Args:
        flags: settings given on the command line; None means not given.
        file: the file to read; where None, that of COGD_CONFIG, else the default one if it is there.
        demo: what `--demo` sets, if it was given; only flags override it.

    Raises:
        ConfigError: a key is unknown or has no usable value; the message names key and origin.
    """
    path = _file(file)
    given = {key: value for key, value in flags.items() if value is not None}
    layers: list[tuple[str, PydanticBaseSettingsSource]] = [
        ("flag", InitSettingsSource(Settings, init_kwargs=given)),
        ("flag --demo", InitSettingsSource(Settings, init_kwargs=dict(demo or {}))),
        ("environment", EnvSettingsSource(Settings, env_prefix=PREFIX)),
    ]
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    try:
        if path is not None:
            layers.append((f"file {path}", TomlConfigSettingsSource(Settings, toml_file=path)))
        for name, layer in layers:
            for key, value in layer().items():
                if key not in values:
                    values[key] = value
                    origins[key] = f"environment {PREFIX}{key.upper()}" if name == "environment" else name
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise _explain(error, origins) from error
    except (SettingsError, ValueError, OSError) as error:
        raise ConfigError(f"{path or 'the environment'}: {error}", hint=_SHOW) from error
    if settings.absent_after_s < settings.stale_after_s:
        raise ConfigError("absent_after_s is less than stale_after_s", hint="a link is stale before it is absent")
    return Loaded(settings, {key: origins.get(key, "default") for key in Settings.model_fields})


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Variables that look like settings but are none: a misspelt one must not pass unnoticed."""
    known = {PREFIX + key.upper() for key in Settings.model_fields} | NOT_SETTINGS
    return sorted(name for name in environment if name.upper().startswith(PREFIX) and name.upper() not in known)


def _file(file: Path | None) -> Path | None:
    if file is None and (named := os.environ.get("COGD_CONFIG")):
        file = Path(named)
    if file is None:
        return DEFAULT_FILE if DEFAULT_FILE.is_file() else None
    if not file.is_file():
        raise ConfigError(f"there is no settings file {file}", hint="give another with --config, or leave it out")
    return file


def _explain(error: ValidationError, origins: Mapping[str, str]) -> ConfigError:
    first = error.errors()[0]
    key = str(first["loc"][0]) if first["loc"] else "settings"
    origin = origins.get(key, "default")
    if first["type"] == "extra_forbidden":
        known = ", ".join(Settings.model_fields)
        return ConfigError(f"{key} (from {origin}) is not a setting", hint=f"the settings are: {known}")
    described = Settings.model_fields[key].description if key in Settings.model_fields else None
    return ConfigError(
        f"{key} = {first['input']!r} (from {origin}): {first['msg']}",
        hint=f"{key}: {described}" if described else _SHOW,
    )
