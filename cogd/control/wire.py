"""What client and server of the control socket agree on. Imports nothing, so that `cogd health --live` starts fast."""

from __future__ import annotations

MAX_REQUEST_BYTES = 4096
"""A longer request is refused."""

MAX_ANSWER_BYTES = 1 << 20
"""A longer answer is neither sent nor read."""

MIN_CALIBRATION_S = 2.0
MAX_CALIBRATION_S = 600.0
"""Shortest and longest time for which `calibrate` watches a quiet room."""


def header(*, healthy: bool, size: int) -> bytes:
    """The line of JSON in front of the `size` bytes of event lines that answer `health`.

    It has one spelling only, so that a client can compare it instead of parsing it.
    """
    return b'{"ok":true,"healthy":%s,"bytes":%d}\n' % (b"true" if healthy else b"false", size)
