"""Where everything of an installed app is.

<apps>/<id>/current -> versions/<name>     the one pointer: what it names is installed
<apps>/<id>/versions/<name>/               one version: the bundle's files, its record, its manifest.json
<apps>/<id>/bundle.json -> current/...     and the envelope and manifest.json: where the appliance looks for them
<apps>/<id>/config.json                    the user's; never replaced
<apps>/.cogd/                              lock, staging, and what is remembered of apps
"""

from __future__ import annotations

import re

from cogd.bundle.members import ENVELOPE_NAME, MANIFEST_NAME
from cogd.errors import NoAppError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Final

CURRENT: Final = "current"
VERSIONS: Final = "versions"
CONFIG_NAME: Final = "config.json"
ADR100_MANIFEST_NAME: Final = "manifest.json"
RECORD_NAME: Final = ".install.json"
"""No bundle can hold a file of this name, or the next: their names start with a letter or a digit."""
PROBATION_NAME: Final = ".probation.json"
LINKED: Final = (MANIFEST_NAME, ENVELOPE_NAME, ADR100_MANIFEST_NAME)

_APP_ID: Final = r"[a-z0-9-]{2,32}"
_VERSION_NAME = re.compile(r"([1-9][0-9]{0,8})-[0-9A-Za-z.-]{1,64}")


class Layout:
    """The paths below the apps directory `apps`."""

    __slots__ = ("apps",)

    def __init__(self, apps: Path) -> None:
        self.apps = apps

    @property
    def private(self) -> Path:
        """The folder for what is no app; its name starts with a dot, so no app has it."""
        return self.apps / ".cogd"

    @property
    def lock(self) -> Path:
        """Held by whoever changes anything here."""
        return self.private / "lock"

    @property
    def staging(self) -> Path:
        """What is not yet, or no longer, in place: garbage, but for the process that holds the lock."""
        return self.private / "staging"

    @property
    def memories(self) -> Path:
        """The folder of what is remembered."""
        return self.private / "memory"

    def memory(self, app_id: str) -> Path:
        """What is remembered of an app.

        Raises:
            NoAppError: this can't be an app's id.
        """
        return self.memories / f"{_checked(app_id)}.json"

    def app(self, app_id: str) -> Path:
        """An app's folder.

        Raises:
            NoAppError: this can't be an app's id.
        """
        return self.apps / _checked(app_id)

    def current(self, app_id: str) -> Path:
        """The pointer."""
        return self.app(app_id) / CURRENT

    def version(self, app_id: str, name: str) -> Path:
        """The folder of one version."""
        return self.app(app_id) / VERSIONS / name


def is_app_id(name: str) -> bool:
    """Whether an app can be called so."""
    return re.fullmatch(_APP_ID, name) is not None


def _checked(app_id: str) -> str:
    # Ids are typed by people, and become paths: none may lead anywhere else.
    if not is_app_id(app_id):
        raise NoAppError(f"{app_id[:100]!r} is no app's id", hint="`cogd list` shows the ids of what is installed")
    return app_id


def version_name(number: int, version: str) -> str:
    """The name of a version's folder; `number` makes it new even where the version is not."""
    return f"{number}-{version}"


def version_number(name: str) -> int:
    """The number that `version_name` was given; 0 for other names."""
    match = _VERSION_NAME.fullmatch(name)
    return int(match[1]) if match is not None else 0


def pointer_target(name: str) -> str:
    """What the pointer holds for the version folder `name`."""
    return f"{VERSIONS}/{name}"


def pointed_name(target: str) -> str | None:
    """The version folder that a pointer's content names; None: no pointer of ours."""
    folder, _, name = target.partition("/")
    return name if folder == VERSIONS and version_number(name) else None
