"""Make sources and sinks from their URLs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import SplitResult, urlsplit

from cogd.errors import CogdError, ConfigError, PluginError, SourceError
from cogd.plugins import load_plugin
from cogd.sinks.base import SinkOptions
from cogd.sources.base import SourceOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cogd.clock import Clock
    from cogd.settings import Settings
    from cogd.sinks.base import Sink
    from cogd.sources.base import Source

_EXAMPLE: Final = "for example broker=/etc/cogd/broker.toml, for a sink whose URL ends with #broker"


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
    try:
        for name, url in _named("source", settings.sources):
            plugin = cast("type[Source]", load_plugin("cogd.sources", url.scheme))
            made.append((plugin(name, url._replace(fragment=""), options), url))
    except _UrlError as error:
        raise SourceError(str(error), hint="for example udp://0.0.0.0:5005 or replay:FILE") from error
    return made


def make_sinks(settings: Settings, clock: Clock) -> list[Sink]:
    """Make the sinks of the settings, named as sources are.

    Raises:
        ConfigError: a URL is malformed, no plugin knows its scheme, or `sink_credentials` names no sink.
    """
    files = _credentials(settings.sink_credentials)
    made: list[Sink] = []
    try:
        for name, url in _named("sink", settings.sinks):
            plugin = cast("type[Sink]", load_plugin("cogd.sinks", url.scheme))
            try:
                made.append(plugin(name, url._replace(fragment=""), SinkOptions(files.pop(name, None), clock)))
            except CogdError:
                raise
            except Exception as error:  # the plugin border: a third party's class may fail in any way
                reason = f"{type(error).__name__}: {error}"
                raise PluginError(f"the sink {name!r} can't be made: {reason}") from error
    except _UrlError as error:
        raise ConfigError(str(error), hint="for example stdout:") from error
    except PluginError as error:
        raise ConfigError(str(error), hint=error.hint) from error
    if files:
        names = ", ".join(sink.name for sink in made)
        raise ConfigError(f"sink_credentials: there is no sink {min(files)!r}", hint=f"the sinks are: {names}")
    return made


class _UrlError(ValueError):
    """A text is not a URL with a name of its own."""


def _named(kind: str, texts: Iterable[str]) -> Iterator[tuple[str, SplitResult]]:
    """Each URL with its name: its `#name`, else its scheme, with a number where that is taken.

    Raises:
        _UrlError: it is not a URL, or its name is taken.
    """
    names: set[str] = set()
    for text in texts:
        try:
            url = urlsplit(text)
        except ValueError as error:
            raise _UrlError(f"{text} is not a {kind}'s URL: {error}") from error
        if not url.scheme:
            raise _UrlError(f"{text} is not a {kind}'s URL")
        name = url.fragment or url.scheme
        if url.fragment and (name in names or "/" in name):
            raise _UrlError(f"{text}: the name {name!r} is taken, or has a slash in it")
        number = 2
        while name in names:
            name = f"{url.scheme}{number}"
            number += 1
        names.add(name)
        yield name, url


def _credentials(words: Iterable[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not (name and equals and path) or name in files:
            raise ConfigError(f"sink_credentials: {word!r} is not NAME=FILE, or its name is there twice", hint=_EXAMPLE)
        files[name] = Path(path)
    return files
