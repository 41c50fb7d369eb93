"""`calibration.*`: baselines of a quiet room."""

from __future__ import annotations

from typing import ClassVar

from cogd.events.base import EventFields, Level
from cogd.events.units import Count, Number, Origin, Seconds, UnixTime


class CalibrationDone(EventFields, frozen=True, kw_only=True):
    """The baseline of a node was measured and is used from now on; one event for each node and app.

    Attributes:
        app: the app's id.
        digest: of the bundle that the baseline belongs to; others do not use it.
        node: `<source>/<node id>`.
        score: the baseline: median of the scores.
        spread: median of the scores' distances from the baseline.
        n: number of scores.
        seconds: how long the room was watched.
        time: when the baseline was measured, unix time.
        origin: of the frames.
    """

    event_name: ClassVar[str] = "calibration.done"

    app: str
    digest: str
    node: str
    score: Number
    spread: Number
    n: Count
    seconds: Seconds
    time: UnixTime
    origin: Origin


class CalibrationFailed(EventFields, frozen=True, kw_only=True):
    """No baseline was stored, or at the start: the stored ones can't be read.

    Attributes:
        app: the app that was asked for; null: every one.
        nodes: the nodes that were asked for; empty: every one.
        code: of the error.
        reason: what is wrong.
    """

    event_name: ClassVar[str] = "calibration.failed"
    usual_level: ClassVar[Level] = "warn"

    app: str | None
    nodes: list[str]
    code: str
    reason: str


class CalibrationForgotten(EventFields, frozen=True, kw_only=True):
    """The baseline of a node was deleted.

    Attributes:
        app: the app's id.
        digest: of the bundle that the baseline belonged to.
        node: `<source>/<node id>`.
    """

    event_name: ClassVar[str] = "calibration.forgotten"

    app: str
    digest: str
    node: str


class CalibrationUnused(EventFields, frozen=True, kw_only=True):
    """The baseline of a node belongs to another bundle of the app than the one that serves; emitted once for each.

    Attributes:
        app: the app's id.
        node: `<source>/<node id>`.
        digest: of the bundle that the baseline belongs to.
        serving_digest: of the bundle that serves.
        time: when the baseline was measured, unix time.
    """

    event_name: ClassVar[str] = "calibration.unused"
    usual_level: ClassVar[Level] = "warn"

    app: str
    node: str
    digest: str
    serving_digest: str
    time: UnixTime
