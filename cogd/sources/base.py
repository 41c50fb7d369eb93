"""What a source is: the contract of the entry-point group `cogd.sources`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl

from cogd.clock import Clock, SystemClock
from cogd.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from urllib.parse import SplitResult

    from cogd.csi.frame import Frame


class Intake(Protocol):
    """Where a source hands in what it hears. One intake belongs to one source."""

    def offer(self, frame: Frame) -> None:
        """Hand in a live frame; where the daemon can't keep up, the oldest waiting one is shed and counted."""

    async def put(self, frame: Frame) -> None:
        """Hand in a frame that must not be lost; waits until there is room."""

    def count(self, reason: str, amount: int = 1) -> None:
        """Count something that is not a frame: `malformed`, `vitals`, `empty_amplitude` and their like."""

    def down(self, reason: str) -> None:
        """Say that the source delivers nothing, and why. Saying it again changes nothing."""

    def up(self) -> None:
        """Say that the source delivers (again)."""


@dataclass(frozen=True)
class SourceOptions:
    """Settings that sources share.

    Attributes:
        poll_s: beat of sources that poll.
        timeout_s: how long one request may take.
        token_file: file that holds a bearer token, if the server wants one.
        max_wait_s: what has waited for longer to be read is shed by a source that can tell, and counted `overload`.
        clock: where times come from.
    """

    poll_s: float = 0.04
    timeout_s: float = 2.0
    token_file: Path | None = None
    max_wait_s: float = math.inf
    clock: Clock = field(default_factory=SystemClock)


class Source(Protocol):
    """A plugin that hears nodes.

    A source is made by its class from `(name, url, options)`; `name` is the first part of its nodes' names. The
    constructor checks the URL and raises `SourceError`; it opens nothing.
    """

    name: str

    def __init__(self, name: str, url: SplitResult, options: SourceOptions) -> None: ...

    async def run(self, intake: Intake) -> None:
        """Deliver frames until cancelled, or until there are no more.

        Raises:
            SourceError: the source can't be opened at all. Outages after that are told by `intake.down`.
        """


def query_parameters(name: str, url: SplitResult, known: Collection[str]) -> dict[str, str]:
    """The parameters behind a source URL's `?`.

    Raises:
        SourceError: one is not known, or is there twice.
    """
    given: dict[str, str] = {}
    for key, value in parse_qsl(url.query, keep_blank_values=True):
        if key not in known:
            what = f"the known ones are {', '.join(known)}" if known else "it has none"
            raise SourceError(f"source {name}: unknown parameter {key!r}; {what}")
        if key in given:
            raise SourceError(f"source {name}: the parameter {key!r} is there twice")
        given[key] = value
    return given
