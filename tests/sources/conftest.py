"""Stand-ins for what a source is given."""

import asyncio
import contextlib
from collections import Counter
from urllib.parse import urlsplit

import pytest

from cogd.csi.frame import Frame

PATIENCE_S = 10.0
"""How long a test waits for what should come at once."""


class News:
    """Something that a test waits on instead of sleeping."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    async def until(self, condition) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._news.clear()
                await self._news.wait()

    def tell(self, *_) -> None:
        self._news.set()


class FakeClock(News):
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 50.0
        self.slept: list[float] = []

    def unix_s(self) -> float:
        return 1_000_000.0 + self.now_s

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds
        self.tell()
        await asyncio.sleep(0)


class Heard(News):
    """An intake that remembers, and that can be waited on."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Frame] = []
        self.counts: Counter[str] = Counter()
        self.told: list[str] = []

    def offer(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.tell()

    async def put(self, frame: Frame) -> None:
        self.offer(frame)

    def count(self, reason: str, amount: int = 1) -> None:
        self.counts[reason] += amount
        self.tell()

    def down(self, reason: str) -> None:
        self.told.append(f"down: {reason}")
        self.tell()

    def up(self) -> None:
        self.told.append("up")
        self.tell()


@pytest.fixture
async def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def heard() -> Heard:
    return Heard()


@contextlib.asynccontextmanager
async def running(source, heard):
    """A source that runs while the block does; what it raises comes out of the block."""
    task = asyncio.create_task(source.run(heard))
    task.add_done_callback(heard.tell)
    try:
        yield task
        assert not task.done(), "the source ended by itself"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def url(text: str):
    return urlsplit(text)
