"""The events: cogd's public contract. One JSON object a line: `{"ts", "level", "event", "fields"}`.

What is inferred is in `cogd.inferred`, the others are here. docs/events.md describes each.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from cogd.inferred import CountFields, FusedCountFields, MotionFields, PoseFields

Level = Literal["debug", "info", "warn", "error"]


class AppInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An app that runs."""

    id: str
    version: str
    digest: str
    head: str
    backend: str
    key_ids: list[str]


class RunStarted(msgspec.Struct, frozen=True, kw_only=True):
    """`run.started`."""

    cogd: str
    pid: int
    apps: list[AppInfo]
    sources: list[str]
    tick_ms: int


class NodeTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one node's frames: `lost` never arrived, as its sequence numbers tell."""

    frames: int
    lost: int
    dropped: dict[str, int]


class RunTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What became of everything until now.

    Attributes:
        uptime_s: since `run.started`.
        ticks: how often what waited was inferred, or nothing found to wait.
        missed_ticks: beats that were skipped because a tick took too long.
        inferences: events by app id.
        dropped: windows and events lost here, by reason.
        sources: what sources received that is not a frame, by source and reason.
        nodes: totals by node.
    """

    uptime_s: float
    ticks: int
    missed_ticks: int
    inferences: dict[str, int]
    dropped: dict[str, int]
    sources: dict[str, dict[str, int]]
    nodes: dict[str, NodeTotals]


class RunStopped(RunTotals, frozen=True, kw_only=True):
    """`run.stopped`, the last event: the totals at the end, and why it came."""

    reason: str


class LinkChanged(msgspec.Struct, frozen=True, kw_only=True):
    """`link.state`: what a node's input is worth has changed. `time` is of its last frame."""

    node: str
    state: str
    previous: str
    time: float | None


class WindowReset(msgspec.Struct, frozen=True, kw_only=True):
    """`window.reset`: these apps say nothing of this node until a window has filled again."""

    node: str
    apps: list[str]
    reason: str
    time: float


class SourceChanged(msgspec.Struct, frozen=True, kw_only=True):
    """`source.state`: `up`, `down` (with the reason), `silent` (open, but nothing comes) or `ended`."""

    source: str
    state: Literal["up", "down", "silent", "ended"]
    reason: str | None


class AppRejected(msgspec.Struct, frozen=True, kw_only=True):
    """`app.rejected`: a bundle that is not run, and why."""

    path: str
    code: str
    message: str
    hint: str


class AppUpdated(msgspec.Struct, frozen=True, kw_only=True):
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

    app: str
    version: str
    digest: str
    backend: str
    previous_version: str | None
    previous_digest: str | None
    tick: int
    canary_s: float


class AppRolledBack(msgspec.Struct, frozen=True, kw_only=True):
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

    app: str
    version: str
    digest: str
    to_version: str
    to_digest: str
    reason: str
    code: str | None
    tick: int
    kept: bool


class AppRemoved(msgspec.Struct, frozen=True, kw_only=True):
    """`app.removed`: an app does not run any more."""

    app: str
    version: str
    digest: str
    reason: str


class AppFailed(msgspec.Struct, frozen=True, kw_only=True):
    """`app.failed`: an app can't infer; said once until it can again."""

    app: str
    backend: str
    reason: str


class CalibrationDone(msgspec.Struct, frozen=True, kw_only=True):
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

    app: str
    digest: str
    node: str
    score: float
    spread: float
    n: int
    seconds: float
    time: float
    origin: str


class CalibrationFailed(msgspec.Struct, frozen=True, kw_only=True):
    """`calibration.failed`: nothing was stored, or what is stored can't be read; `app` and `nodes` as asked for."""

    app: str | None
    nodes: list[str]
    code: str
    reason: str


class CalibrationForgotten(msgspec.Struct, frozen=True, kw_only=True):
    """`calibration.forgotten`: the node has no baseline any more."""

    app: str
    digest: str
    node: str


class CalibrationUnused(msgspec.Struct, frozen=True, kw_only=True):
    """`calibration.unused`: a node's baseline belongs to another bundle of the app than the one that serves.

    Attributes:
        app: the app's id.
        node: `<source>/<node_id>`.
        digest: of the bundle that it belongs to.
        serving_digest: of the one that serves.
        time: when it was measured, unix seconds.
    """

    app: str
    node: str
    digest: str
    serving_digest: str
    time: float


HealthWay = Literal["c-api", "ordinary", "live"]


class HealthOk(msgspec.Struct, frozen=True, kw_only=True):
    """`health.ok`: an app was verified, loaded and reproduced its golden pair.

    Attributes:
        golden_error: largest difference from the expected output.
        golden_tolerance: the largest that is allowed.
        golden_ms: how long the model took for the golden input; null where that was not measured.
        way: `c-api` (quick, a new process), `ordinary` (as the daemon loads it) or `live` (in the running daemon).
        fallback_reason: why it is the ordinary way; null where it is another or was asked for.
    """

    app: str
    version: str
    digest: str
    backend: str
    golden_error: float
    golden_tolerance: float
    golden_ms: float | None
    way: HealthWay
    fallback_reason: str | None


class HealthFailed(msgspec.Struct, frozen=True, kw_only=True):
    """`health.failed`; `way` and `fallback_reason` as in `health.ok`."""

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


class HealthLive(msgspec.Struct, frozen=True, kw_only=True):
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

    cogd: str
    pid: int
    ticks: int
    healthy: bool
    reasons: list[str]
    sources: dict[str, LiveSource]
    nodes: dict[str, LiveNode]


Fields = (
    PoseFields | CountFields | FusedCountFields | MotionFields | RunStarted | RunStopped | LinkChanged | WindowReset
    | SourceChanged | AppRejected | AppUpdated | AppRolledBack | AppRemoved | AppFailed | CalibrationDone
    | CalibrationFailed | CalibrationForgotten | CalibrationUnused | HealthOk | HealthFailed | HealthLive
)  # fmt: skip

EVENTS: dict[str, type[msgspec.Struct]] = {
    "pose.frame": PoseFields,
    "count": CountFields,
    "count.fused": FusedCountFields,
    "motion": MotionFields,
    "run.started": RunStarted,
    "run.stopped": RunStopped,
    "link.state": LinkChanged,
    "window.reset": WindowReset,
    "source.state": SourceChanged,
    "app.rejected": AppRejected,
    "app.updated": AppUpdated,
    "app.rolled_back": AppRolledBack,
    "app.removed": AppRemoved,
    "app.failed": AppFailed,
    "calibration.done": CalibrationDone,
    "calibration.failed": CalibrationFailed,
    "calibration.forgotten": CalibrationForgotten,
    "calibration.unused": CalibrationUnused,
    "health.ok": HealthOk,
    "health.failed": HealthFailed,
    "health.live": HealthLive,
}
"""Every event by name."""


class Event(msgspec.Struct, kw_only=True):
    """One event line; `ts` is unix seconds of its making."""

    ts: float
    level: Level
    event: str
    fields: msgspec.Struct


_ENCODER = msgspec.json.Encoder()


def encode(event: Event) -> bytes:
    """The event as one line of JSON, with its newline."""
    return _ENCODER.encode(event) + b"\n"
