"""`app.*`: an app was updated, removed, rejected, rolled back, or failed."""

from __future__ import annotations

from typing import ClassVar

from cogd.events.base import EventFields, Level
from cogd.events.units import Count


class AppRejected(EventFields, frozen=True, kw_only=True):
    """A bundle does not run.

    Attributes:
        path: of the bundle.
        code: of the error; docs/errors.md lists all.
        message: what is wrong.
        hint: what to do about it; may be empty.
    """

    event_name: ClassVar[str] = "app.rejected"
    usual_level: ClassVar[Level] = "error"

    path: str
    code: str
    message: str
    hint: str


class AppUpdated(EventFields, frozen=True, kw_only=True):
    """Another version of an app serves, or an app that did not run before.

    Attributes:
        app: the app's id.
        version: the version that serves now.
        digest: `sha256:` of its signed manifest.
        backend: the plugin that runs its model.
        previous_version: the version that serves again if this one fails; null: there is none.
        previous_digest: its digest; null: there is none.
        tick: the first tick that infers with the new version.
        canary_s: duration of the canary; 0: there is none.
    """

    event_name: ClassVar[str] = "app.updated"

    app: str
    version: str
    digest: str
    backend: str
    previous_version: str | None
    previous_digest: str | None
    tick: Count
    canary_s: float


class AppRolledBack(EventFields, frozen=True, kw_only=True):
    """A new version of an app failed or could not be loaded; the previous one serves.

    Attributes:
        app: the app's id.
        version: the version that failed.
        digest: its digest.
        to_version: the version that serves.
        to_digest: its digest.
        reason: why it failed.
        code: of the error, if it could not be loaded; else null.
        tick: the first tick that does not infer with the failed version.
        kept: whether the installed version was rolled back too, so that this outlasts a restart.
    """

    event_name: ClassVar[str] = "app.rolled_back"
    usual_level: ClassVar[Level] = "error"

    app: str
    version: str
    digest: str
    to_version: str
    to_digest: str
    reason: str
    code: str | None
    tick: Count
    kept: bool


class AppRemoved(EventFields, frozen=True, kw_only=True):
    """An app does not run any more.

    Attributes:
        app: the app's id.
        version: the version that ran.
        digest: its digest.
        reason: it is no longer installed, or its signers are no longer trusted.
    """

    event_name: ClassVar[str] = "app.removed"
    usual_level: ClassVar[Level] = "warn"

    app: str
    version: str
    digest: str
    reason: str


class AppFailed(EventFields, frozen=True, kw_only=True):
    """An app can't infer; emitted once until it can again, or for another reason.

    Attributes:
        app: the app's id.
        backend: the plugin that runs its model.
        reason: the error.
    """

    event_name: ClassVar[str] = "app.failed"
    usual_level: ClassVar[Level] = "error"

    app: str
    backend: str
    reason: str
