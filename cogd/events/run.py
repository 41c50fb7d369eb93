"""`run.started` and `run.stopped`, and what became of everything in between."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from cogd.events.base import EventFields


class AppInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An app that runs."""

    id: str
    version: str
    digest: str
    head: str
    backend: str
    key_ids: list[str]


class RunStarted(EventFields, frozen=True, kw_only=True):
    """`run.started`."""

    event_name: ClassVar[str] = "run.started"

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


class RunStopped(RunTotals, EventFields, frozen=True, kw_only=True):
    """`run.stopped`, the last event: the totals at the end, and why it came."""

    event_name: ClassVar[str] = "run.stopped"

    reason: str
