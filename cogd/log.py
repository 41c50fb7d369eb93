"""Logs: one JSON object a line on stderr, in the shape of the events. The only place that configures logging."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec
import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

_NAMES = {"warning": "warn", "critical": "error", "exception": "error"}


def configure(level: str) -> None:
    """Send logs of this level (`debug`, `info`, `warn`, `error`) and above to stderr."""
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt=None, key="ts"),
            structlog.processors.format_exc_info,
            _shape,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            {"warn": logging.WARNING}.get(level) or logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.BytesLoggerFactory(file=cast("BinaryIO", _Stderr())),
        cache_logger_on_first_use=False,
    )


class _Stderr:
    """Standard error that can't stop the daemon: what can't be written is lost."""

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: it was closed
            sys.stderr.buffer.write(data)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.buffer.flush()


def _shape(_logger: WrappedLogger, method: str, event: EventDict) -> bytes:
    """`{"ts", "level", "event", "fields"}`, as event lines are."""
    line = {
        "ts": event.pop("ts"),
        "level": _NAMES.get(method, method),
        "event": event.pop("event"),
        "fields": event,
    }
    return msgspec.json.encode(line, enc_hook=str)
