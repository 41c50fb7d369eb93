"""The plain words of `cogd health`, and the settings that it needs: the common cases of both, and no others."""

from __future__ import annotations

import os

from cogd.defaults import APPS_DIR, CONTROL_SOCKET, PREFIX, SETTINGS, SETTINGS_FILE, TRUST_DIR
from cogd.probe.not_quick import NotQuick

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_WITH_VALUE = ("--apps-dir", "--trust-dir", "--control-socket", "--config", "--trust")
_DEFAULTS = {"apps_dir": APPS_DIR, "trust_dir": TRUST_DIR, "control_socket": CONTROL_SOCKET}


class Options:
    """What was asked for.

    Attributes:
        app_id: the one app; None: every one.
        live: ask the daemon.
        demo: the packaged bundles.
        trust: further public keys.
        flags: the other flags' values, by setting.
    """

    __slots__ = ("_file", "app_id", "demo", "flags", "live", "trust")

    def __init__(self) -> None:
        self.app_id: str | None = None
        self.live = self.demo = False
        self.trust: list[str] = []
        self.flags: dict[str, str] = {}
        self._file: dict[str, object] = {}

    def setting(self, key: str) -> str:
        """The value of `apps_dir`, `trust_dir` or `control_socket`: flag, environment, file or default.

        `--demo` is not looked at here. Of the others only the names in the file are judged.

        Raises:
            NotQuick: there is something that pydantic must judge.
        """
        if key in self.flags:
            return self.flags[key]
        value: object = os.environ.get(PREFIX + key.upper())
        if value is None:
            value = self._file.get(key, _DEFAULTS[key])
        if not isinstance(value, str) or not value:
            raise NotQuick(f"the setting {key} is no plain path")
        return value

    def read_file(self) -> None:
        """Read the settings file, if there is one.

        Raises:
            NotQuick: there is something that pydantic must judge.
        """
        named = self.flags.get("config") or os.environ.get(PREFIX + "CONFIG")
        try:
            with open(named or SETTINGS_FILE, "rb") as file:  # pathlib's import is dear
                raw = file.read()
        except OSError as error:
            if named is None and isinstance(error, FileNotFoundError | NotADirectoryError):
                return
            raise NotQuick(f"the settings file: {error.strerror}") from None
        import tomllib

        try:
            values = tomllib.loads(raw.decode())
        except ValueError:  # tomllib's own error, and UTF-8's
            raise NotQuick("the settings file is not TOML") from None
        if unknown := sorted(values.keys() - SETTINGS):
            raise NotQuick(f"the settings file has {unknown[0]}, which is no setting")
        self._file = values


def read_words(words: Sequence[str]) -> Options:
    """The options in plain words: whole flag names, each value a word of its own.

    Raises:
        NotQuick: there are other words; argparse knows what to make of them.
    """
    for name in os.environ:
        if name.upper().startswith(PREFIX) and not name.isupper():
            raise NotQuick(f"the environment has {name}, not in capitals")
    options, rest = Options(), iter(words)
    for word in rest:
        if word == "--live":
            options.live = True
        elif word == "--demo":
            options.demo = True
        elif word in _WITH_VALUE:
            value = next(rest, "")
            if not value or value.startswith("-"):
                raise NotQuick(f"{word} has no plain value")
            if word == "--trust":
                options.trust.append(value)
            else:
                options.flags[word[2:].replace("-", "_")] = value
        elif word.startswith("-") or not word or options.app_id is not None:
            raise NotQuick(f"the argument {word!r}")
        else:
            options.app_id = word
    options.read_file()
    return options
