"""`app.*`: what became of an app or of a version of one."""

from __future__ import annotations

from typing import ClassVar

from cogd.events.base import EventFields, Level


class AppRejected(EventFields, frozen=True, kw_only=True):
    """`app.rejected`: a bundle that is not run, and why."""

    event_name: ClassVar[str] = "app.rejected"
    usual_level: ClassVar[Level] = "error"

    path: str
    code: str
    message: str
    hint: str


class AppUpdated(EventFields, frozen=True, kw_only=True):
    """`app.updated`: another version of an app serves, or one that did not run before.

    Attributes:
        app: the app's id.
        version: that serves now.
        digest: of its bundle.
        backend: what runs it.
        previous_version: what it goes back to if it fails; null where nothing ran before.
        previous_digest: of that version's bundle.
        tick: the first that infers its frames.
        canary_s: how long it is watched; 0 where there is nothing to go back to.
    """

    event_name: ClassVar[str] = "app.updated"

    app: str
    version: str
    digest: str
    backend: str
    previous_version: str | None
    previous_digest: str | None
    tick: int
    canary_s: float


class AppRolledBack(EventFields, frozen=True, kw_only=True):
    """`app.rolled_back`: a new version of an app was given up, or could not be loaded; the one before serves.

    Attributes:
        app: the app's id.
        version: that failed.
        digest: of its bundle.
        to_version: that serves.
        to_digest: of its bundle.
        reason: what was wrong with the failed one.
        code: the error's, where it could not be loaded.
        tick: the first of which the failed version serves no frame.
        kept: whether the installed version went back too, so that this outlasts a restart.
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
    tick: int
    kept: bool


class AppRemoved(EventFields, frozen=True, kw_only=True):
    """`app.removed`: an app does not run any more."""

    event_name: ClassVar[str] = "app.removed"
    usual_level: ClassVar[Level] = "warn"

    app: str
    version: str
    digest: str
    reason: str


class AppFailed(EventFields, frozen=True, kw_only=True):
    """`app.failed`: an app can't infer; said once until it can again."""

    event_name: ClassVar[str] = "app.failed"
    usual_level: ClassVar[Level] = "error"

    app: str
    backend: str
    reason: str
