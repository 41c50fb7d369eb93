"""`health.*`: golden checks of the apps, and the state of the running daemon."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from cogd.events.base import EventFields, Level
from cogd.events.inputs import Link, SourceState
from cogd.events.units import Count, Number

HealthWay = Literal["c-api", "ordinary", "live"]


class HealthOk(EventFields, frozen=True, kw_only=True):
    """An app was verified, loaded and reproduced its golden pair.

    Attributes:
        app: the app's id.
        version: the bundle's version.
        digest: `sha256:` of its signed manifest.
        backend: the plugin that ran its model.
        golden_error: largest difference from the expected output.
        golden_tolerance: largest difference that is allowed.
        golden_ms: how long the model took for the golden input; null: not measured.
        way: how it was checked: `c-api` (in a new process, through ONNX Runtime's C API), `ordinary` (in a new process,
            as the daemon loads apps) or `live` (in the running daemon).
        fallback_reason: why it was checked the ordinary way; null where another way was taken, or this one asked for.
    """

    event_name: ClassVar[str] = "health.ok"

    app: str
    version: str
    digest: str
    backend: str
    golden_error: Number
    golden_tolerance: Number
    golden_ms: float | None
    way: HealthWay
    fallback_reason: str | None


class HealthFailed(EventFields, frozen=True, kw_only=True):
    """An app could not be verified or loaded, or did not reproduce its golden pair; or there is none.

    Attributes:
        app: the app's id; null: none was asked for, and none is installed.
        code: of the error; docs/errors.md lists all.
        message: what is wrong.
        hint: what to do about it; may be empty.
        way: as in `health.ok`.
        fallback_reason: as in `health.ok`.
    """

    event_name: ClassVar[str] = "health.failed"
    usual_level: ClassVar[Level] = "error"

    app: str | None
    code: str
    message: str
    hint: str
    way: HealthWay
    fallback_reason: str | None


class LiveSource(msgspec.Struct, frozen=True, kw_only=True):
    """A source as in its last `source.state`.

    Attributes:
        state: as in `source.state`; null: there was none yet.
        reason: as in `source.state`.
    """

    state: SourceState | None
    reason: str | None


class LiveNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node, and the apps by the state of its windows.

    Attributes:
        link: state of its link, as in `link.state`.
        age_s: age of its last new frame; null: there was none.
        full: ids of the apps whose windows of it are complete.
        filling: ids of the apps whose windows of it are not complete yet.
    """

    link: Link
    age_s: float | None
    full: list[str]
    filling: list[str]


class HealthLive(EventFields, frozen=True, kw_only=True):
    """State of the running daemon; follows the `health.ok` and `health.failed` of its apps.

    Attributes:
        cogd: version of cogd.
        pid: process id of the daemon.
        ticks: ticks so far.
        healthy: whether every app reproduced its golden pair, and frames of at least one node are inferred from.
        reasons: why frames do not arrive, or are not inferred from.
        sources: by name.
        nodes: by name; 256 at most.
    """

    event_name: ClassVar[str] = "health.live"

    cogd: str
    pid: int
    ticks: Count
    healthy: bool
    reasons: list[str]
    sources: dict[str, LiveSource]
    nodes: dict[str, LiveNode]

    def event_level(self) -> Level:
        """`error` unless healthy."""
        return "info" if self.healthy else "error"
