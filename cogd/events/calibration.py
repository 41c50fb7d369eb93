"""`calibration.*`: baselines of a quiet room."""

from __future__ import annotations

from typing import ClassVar

from cogd.events.base import EventFields, Level


class CalibrationDone(EventFields, frozen=True, kw_only=True):
    """`calibration.done`: what a head says of a node while nothing happens there was measured, and is used from now on.

    Attributes:
        app: the app's id.
        digest: of its bundle; with another one this is not used.
        node: `<source>/<node_id>`.
        score: median of the scores.
        spread: median of the scores' distances from it.
        n: how many scores.
        seconds: for how long the room was watched.
        time: when, unix seconds.
        origin: of the frames: `live`, `replayed` or `simulated`.
    """

    event_name: ClassVar[str] = "calibration.done"

    app: str
    digest: str
    node: str
    score: float
    spread: float
    n: int
    seconds: float
    time: float
    origin: str


class CalibrationFailed(EventFields, frozen=True, kw_only=True):
    """`calibration.failed`: nothing was stored, or what is stored can't be read; `app` and `nodes` as asked for."""

    event_name: ClassVar[str] = "calibration.failed"
    usual_level: ClassVar[Level] = "warn"

    app: str | None
    nodes: list[str]
    code: str
    reason: str


class CalibrationForgotten(EventFields, frozen=True, kw_only=True):
    """`calibration.forgotten`: the node has no baseline any more."""

    event_name: ClassVar[str] = "calibration.forgotten"

    app: str
    digest: str
    node: str


class CalibrationUnused(EventFields, frozen=True, kw_only=True):
    """`calibration.unused`: a node's baseline belongs to another bundle of the app than the one that serves.

    Attributes:
        app: the app's id.
        node: `<source>/<node_id>`.
        digest: of the bundle that it belongs to.
        serving_digest: of the one that serves.
        time: when it was measured, unix seconds.
    """

    event_name: ClassVar[str] = "calibration.unused"
    usual_level: ClassVar[Level] = "warn"

    app: str
    node: str
    digest: str
    serving_digest: str
    time: float
