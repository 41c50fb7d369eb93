"""Sources and sinks by their URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from urllib.parse import SplitResult, urlsplit

from cogd.errors import ConfigError, PluginError, SourceError
from cogd.plugins import load_plugin
from cogd.sources.base import SourceOptions

if TYPE_CHECKING:
    from cogd.clock import Clock
    from cogd.settings import Settings
    from cogd.sinks.base import Sink
    from cogd.sources.base import Source


def make_sources(settings: Settings, clock: Clock) -> list[tuple[Source, SplitResult]]:
    """The sources of the settings; a source is named by its URL's `#name`, else by its scheme, numbered if need be.

    Raises:
        SourceError, PluginError: a URL is not one, or no plugin knows its scheme.
    """
    options = SourceOptions(
        poll_s=settings.tick_ms / 1000,
        timeout_s=settings.http_timeout_s,
        token_file=settings.http_token_file,
        max_wait_s=settings.max_wait_ms / 1000,
        clock=clock,
    )
    servers = [text for text in settings.sources if text.startswith(("http:", "https:"))]
    if settings.http_token_file is not None and len(servers) > 1:
        raise SourceError(
            f"http_token_file would be sent to {len(servers)} servers", hint="a token belongs to one HTTP source"
        )
    made: list[tuple[Source, SplitResult]] = []
    names: set[str] = set()
    for text in settings.sources:
        try:
            url = urlsplit(text)
        except ValueError as error:
            raise SourceError(f"{text} is not a URL: {error}") from error
        if not url.scheme:
            raise SourceError(f"{text} is not a source's URL", hint="for example udp://0.0.0.0:5005 or replay:FILE")
        name = url.fragment or url.scheme
        if url.fragment and (name in names or "/" in name):
            raise SourceError(f"{text}: the name {name!r} is taken, or has a slash in it")
        number = 2
        while name in names:
            name = f"{url.scheme}{number}"
            number += 1
        names.add(name)
        plugin = cast("type[Source]", load_plugin("cogd.sources", url.scheme))
        made.append((plugin(name, url._replace(fragment=""), options), url))
    return made


def make_sink(text: str) -> Sink:
    """The sink of a URL.

    Raises:
        ConfigError: it is not a URL, or no plugin knows its scheme.
    """
    try:
        url = urlsplit(text)
    except ValueError as error:
        raise ConfigError(f"{text} is not a sink's URL: {error}", hint="for example stdout:") from error
    if not url.scheme:
        raise ConfigError(f"{text} is not a sink's URL", hint="for example stdout:")
    try:
        plugin = cast("type[Sink]", load_plugin("cogd.sinks", url.scheme))
    except PluginError as error:
        raise ConfigError(str(error), hint=error.hint) from error
    return plugin(url)
