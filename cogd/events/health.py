"""`health.*`: golden checks of the apps, and the state of the running daemon."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from cogd.events.base import EventFields, Level

HealthWay = Literal["c-api", "ordinary", "live"]


class HealthOk(EventFields, frozen=True, kw_only=True):
    """`health.ok`: an app was verified, loaded and reproduced its golden pair.

    Attributes:
        golden_error: largest difference from the expected output.
        golden_tolerance: the largest that is allowed.
        golden_ms: how long the model took for the golden input; null where that was not measured.
        way: `c-api` (quick, a new process), `ordinary` (as the daemon loads it) or `live` (in the running daemon).
        fallback_reason: why it is the ordinary way; null where it is another or was asked for.
    """

    event_name: ClassVar[str] = "health.ok"

    app: str
    version: str
    digest: str
    backend: str
    golden_error: float
    golden_tolerance: float
    golden_ms: float | None
    way: HealthWay
    fallback_reason: str | None


class HealthFailed(EventFields, frozen=True, kw_only=True):
    """`health.failed`; `way` and `fallback_reason` as in `health.ok`."""

    event_name: ClassVar[str] = "health.failed"
    usual_level: ClassVar[Level] = "error"

    app: str | None
    code: str
    message: str
    hint: str
    way: HealthWay
    fallback_reason: str | None


class LiveSource(msgspec.Struct, frozen=True, kw_only=True):
    """A source as `source.state` told of it last; null: nothing was told yet."""

    state: Literal["up", "down", "silent", "ended"] | None
    reason: str | None


class LiveNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node: its link, the age of its last new frame, and the apps whose windows of it are full, or still fill."""

    link: str
    age_s: float | None
    full: list[str]
    filling: list[str]


class HealthLive(EventFields, frozen=True, kw_only=True):
    """`health.live`: what the running daemon says of itself.

    Attributes:
        cogd: its version.
        pid: its process.
        ticks: beats so far.
        healthy: every app reproduced its golden pair, and frames of a node at least are inferred from.
        reasons: why frames do not arrive, or are not inferred from.
        sources: by name.
        nodes: by name; 256 at most.
    """

    event_name: ClassVar[str] = "health.live"

    cogd: str
    pid: int
    ticks: int
    healthy: bool
    reasons: list[str]
    sources: dict[str, LiveSource]
    nodes: dict[str, LiveNode]

    def event_level(self) -> Level:
        """`error` unless healthy."""
        return "info" if self.healthy else "error"
