"""`run.started` and `run.stopped`, and the totals of a run."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from cogd.events.base import SCHEMA, EventFields
from cogd.events.units import Count


class AppInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An app that runs.

    Attributes:
        id: the app's id.
        version: the bundle's version.
        digest: `sha256:` of the signed manifest, which covers every byte of the bundle.
        head: the plugin that turns the model's outputs into events.
        backend: the plugin that runs the model.
        key_ids: keys that signed the bundle.
    """

    id: str
    version: str
    digest: str
    head: str
    backend: str
    key_ids: list[str]


class RunStarted(EventFields, frozen=True, kw_only=True):
    """The daemon has started; always the first event.

    Attributes:
        cogd: version of cogd.
        schema: version of the events' schemas.
        pid: process id of the daemon.
        apps: the apps that run.
        sources: URLs of the sources.
        tick_ms: period of the tick.
    """

    event_name: ClassVar[str] = "run.started"

    cogd: str
    schema: int = SCHEMA
    pid: int
    apps: list[AppInfo]
    sources: list[str]
    tick_ms: int


class NodeTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one node's frames.

    Attributes:
        frames: frames that arrived.
        lost: frames that never arrived, by the gaps in their sequence numbers.
        dropped: frames that reached no window, by reason.
    """

    frames: Count
    lost: Count
    dropped: dict[str, Count]


class RunTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Totals since the start.

    Attributes:
        uptime_s: time since `run.started`.
        ticks: ticks, with something to infer or without.
        missed_ticks: beats skipped because a tick took too long.
        inferences: inferred events, by app id.
        dropped: windows and events lost in the daemon, by reason.
        sources: what sources received that is not a frame, by source and reason.
        nodes: totals by node.
    """

    uptime_s: float
    ticks: Count
    missed_ticks: Count
    inferences: dict[str, Count]
    dropped: dict[str, Count]
    sources: dict[str, dict[str, Count]]
    nodes: dict[str, NodeTotals]


class RunStopped(RunTotals, EventFields, frozen=True, kw_only=True):
    """The daemon has stopped; always the last event, with the totals of the run.

    Attributes:
        reason: why it stopped.
    """

    event_name: ClassVar[str] = "run.stopped"

    reason: str
