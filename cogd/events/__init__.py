"""The events: cogd's public contract. One JSON object a line: `{"ts", "level", "event", "fields"}`.

An event type knows its name and its level. The types of inferred events belong to the heads (`Head.events`), all others
are here. docs/events.md describes each; `cogd.events.registry` finds them all.
"""

from __future__ import annotations

from typing import Final

from cogd.events.apps import AppFailed, AppRejected, AppRemoved, AppRolledBack, AppUpdated
from cogd.events.base import Event, EventFields, Level, encode
from cogd.events.calibration import CalibrationDone, CalibrationFailed, CalibrationForgotten, CalibrationUnused
from cogd.events.emitter import Emitter
from cogd.events.health import HealthFailed, HealthLive, HealthOk, HealthWay, LiveNode, LiveSource
from cogd.events.inferred import Context, InferenceFields, WindowInfo
from cogd.events.inputs import LinkChanged, SourceChanged, WindowReset
from cogd.events.run import AppInfo, NodeTotals, RunStarted, RunStopped, RunTotals

__all__ = [
    "BUILT_IN",
    "AppFailed",
    "AppInfo",
    "AppRejected",
    "AppRemoved",
    "AppRolledBack",
    "AppUpdated",
    "CalibrationDone",
    "CalibrationFailed",
    "CalibrationForgotten",
    "CalibrationUnused",
    "Context",
    "Emitter",
    "Event",
    "EventFields",
    "HealthFailed",
    "HealthLive",
    "HealthOk",
    "HealthWay",
    "InferenceFields",
    "Level",
    "LinkChanged",
    "LiveNode",
    "LiveSource",
    "NodeTotals",
    "RunStarted",
    "RunStopped",
    "RunTotals",
    "SourceChanged",
    "WindowInfo",
    "WindowReset",
    "encode",
]

BUILT_IN: Final[tuple[type[EventFields], ...]] = (
    RunStarted,
    RunStopped,
    SourceChanged,
    LinkChanged,
    WindowReset,
    AppUpdated,
    AppRejected,
    AppRolledBack,
    AppRemoved,
    AppFailed,
    CalibrationDone,
    CalibrationFailed,
    CalibrationForgotten,
    CalibrationUnused,
    HealthOk,
    HealthFailed,
    HealthLive,
)
"""The event types that no head brings."""
