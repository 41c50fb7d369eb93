"""`replay:FILE?speed=1|max`: plays a recording of CSI."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote

from cogd.errors import SourceError, WireError
from cogd.sources.base import query_parameters
from cogd.wire import recording

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from cogd.sources.base import Intake, SourceOptions
    from cogd.wire.recording import Recorded

MAX_LINE_BYTES = 2**20
"""A longer line is cut, so that it counts as malformed."""

MAX_SILENCE_S = 60.0
"""A longer silence in a recording is not waited for: the clock was set, or nobody wants to."""

CLOCK_STEP_S = 1.0
"""A frame so much older than the one before is of a clock that was set back, not a late one."""

_BATCH_BYTES = 2**16
_BATCH_LINES = 64
_PARAMETERS = ("speed",)


class Pace:
    """When each recorded frame is due on a clock of another rate and origin.

    Args:
        speed: how many recorded seconds go by in one; infinity waits for nothing.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._anchor: tuple[float, float] | None = None
        self._last_s = 0.0

    def wait_s(self, time_s: float, now_s: float) -> float:
        """Seconds from `now_s` until the frame recorded at `time_s` is due."""
        step_s = time_s - self._last_s
        self._last_s = time_s
        if self._anchor is None or not -CLOCK_STEP_S <= step_s <= MAX_SILENCE_S:
            self._anchor = (time_s, now_s)
        first_s, started_s = self._anchor
        return max(0.0, started_s + (time_s - first_s) / self._speed - now_s)


class ReplaySource:
    """Plays one file from its beginning to its end; frame times are the recorded ones.

    The path is relative (`replay:today.csi.jsonl`) or absolute (`replay:/var/log/today.csi.jsonl`). `speed` is any
    number above 0, 1 if not given, or `max`: as fast as the frames are taken.
    """

    def __init__(self, name: str, url: SplitResult, options: SourceOptions) -> None:
        self.name = name
        self.path = _path(url)
        self._pace = Pace(_speed(name, url))
        self._clock = options.clock

    async def run(self, intake: Intake) -> None:
        """Play the file and return.

        Raises:
            SourceError: the file can't be read, or has no CSI in it.
        """
        reader = recording.Recording()
        frames = 0
        ignored: Counter[str] = Counter()
        with await asyncio.to_thread(_open, self.path) as file:
            while lines := await asyncio.to_thread(_read_lines, file, self.path):
                for line in lines:
                    read = _read(reader, line)
                    ignored.update(read.ignored)
                    for kind, amount in read.ignored.items():
                        intake.count(kind, amount)
                    for recorded in read.frames:
                        if not frames:
                            intake.up()
                        frames += 1
                        await self._play(recorded, intake)
        if not frames:
            counts = ", ".join(f"{amount} {kind}" for kind, amount in ignored.items()) or "it is empty"
            raise SourceError(f"{self.path}: no CSI in it ({counts})", hint="docs/input.md lists the recordings")

    async def _play(self, recorded: Recorded, intake: Intake) -> None:
        wait_s = self._pace.wait_s(recorded.time_s, self._clock.monotonic_s())
        if wait_s > 0:
            await self._clock.sleep(wait_s)
        arrival_s = self._clock.monotonic_s()
        await intake.put(recording.to_frame(recorded, source=self.name, arrival_s=arrival_s))


def _open(path: Path) -> BinaryIO:
    try:
        if path.exists() and not path.is_file():
            raise SourceError(f"{path}: not a file", hint="give one recording, a .jsonl file")
        return path.open("rb")
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}", hint="check the path after `replay:`") from error


def _read_lines(file: BinaryIO, path: Path) -> list[bytes]:
    """The next few lines; none at the end."""
    lines: list[bytes] = []
    size = 0
    try:
        while size < _BATCH_BYTES and len(lines) < _BATCH_LINES and (line := file.readline(MAX_LINE_BYTES)):
            lines.append(line)
            size += len(line)
            while len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    return lines


def _read(reader: recording.Recording, line: bytes) -> recording.Read:
    try:
        return reader.read(line)
    except WireError:
        return recording.Read(ignored={"malformed": 1})


def _path(url: SplitResult) -> Path:
    shown = url.geturl()
    if url.netloc:
        raise SourceError(f"{shown}: a host means nothing here", hint=f"write replay:{url.netloc}{url.path}")
    path = unquote(url.path)
    if not path or "\0" in path:
        raise SourceError(f"{shown}: no file is named", hint="write replay:FILE")
    if url.fragment:
        raise SourceError(f"{shown}: a fragment (#) means nothing here", hint="write %23 for # in a file's name")
    return Path(path)


def _speed(name: str, url: SplitResult) -> float:
    speed = query_parameters(name, url, _PARAMETERS).get("speed", "1")
    if speed == "max":
        return math.inf
    try:
        number = float(speed)
    except ValueError:
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise SourceError(f"{url.geturl()}: speed {speed!r}", hint="speed is a number above 0, or `max`")
    return number
