"""The sink `stdout:` on real pipes, and on a real disk that is full."""

import asyncio
import contextlib
import errno
import os
import subprocess
from types import SimpleNamespace
from urllib.parse import urlsplit

import msgspec
import pytest

from cogd.clock import SystemClock
from cogd.errors import ConfigError, SinkError
from cogd.events import Event, LinkChanged, encode
from cogd.runtime.feed import EventFeed
from cogd.sinks import stdout as stdout_module
from cogd.sinks.base import SinkOptions
from cogd.sinks.stdout import StdoutSink

PATIENCE_S = 5.0


def numbered(number: int) -> Event:
    fields = LinkChanged(node="a/1", state="live", previous="absent", time=float(number))
    return Event(ts=1.5, level="info", event="link.state", fields=fields)


def make() -> StdoutSink:
    return StdoutSink("stdout", urlsplit("stdout:"), SinkOptions())


def numbers(data: bytes) -> list[int]:
    return [int(msgspec.json.decode(line)["fields"]["time"]) for line in data.splitlines()]


async def read_lines(piped, count: int) -> list[int]:
    """The numbers of the next lines."""
    data = b""
    async with asyncio.timeout(PATIENCE_S):
        while data.count(b"\n") < count:
            data += await asyncio.to_thread(os.read, piped.fileno(), 65536)
    assert data.count(b"\n") == count
    return numbers(data)


@pytest.fixture
def piped(monkeypatch):
    """Standard output is a pipe; gives the end to read from."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb", buffering=0) as writer:
        monkeypatch.setattr(stdout_module, "sys", SimpleNamespace(stdout=writer, stderr=None))
        yield reader


@pytest.fixture
async def feed():
    return EventFeed(SystemClock(), lambda: None)


@pytest.fixture
async def running(piped, feed):
    """The sink's task."""
    task = asyncio.create_task(make().run(feed))
    yield task
    task.cancel()
    await asyncio.wait({task})


def put(feed, *range_of):
    for number in range(*range_of):
        feed.put(numbered(number))


async def test_each_event_is_one_line_of_json_in_order(running, feed, piped):
    put(feed, 20)
    assert await read_lines(piped, 20) == list(range(20))
    await asyncio.wait_for(feed.join(), PATIENCE_S)
    assert not feed.dropped


async def test_the_end_of_the_feed_ends_it_when_all_is_written(running, feed, piped):
    put(feed, 1000)
    feed.close()
    assert await read_lines(piped, 1000) == list(range(1000))
    await asyncio.wait_for(running, PATIENCE_S)


async def test_a_reader_that_never_reads_does_not_block_the_loop(running, feed, monkeypatch):
    monkeypatch.setattr("cogd.runtime.feed.QUEUED_EVENTS", 300)
    for number in range(0, 3000, 10):
        put(feed, number, number + 10)
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    assert not running.done()
    put(feed, 3000, 3400)
    assert feed.dropped["sink_overload"] > 0
    assert feed.left <= 300 + 256


async def test_a_reader_that_has_gone_is_the_end_of_it(running, feed, piped):
    piped.close()
    feed.put(numbered(0))
    with pytest.raises(SinkError, match="Broken pipe") as caught:
        await asyncio.wait_for(running, PATIENCE_S)
    assert caught.value.reader_gone


async def test_standard_output_that_is_closed_is_the_end_of_it(monkeypatch, feed):
    monkeypatch.setattr(stdout_module, "sys", SimpleNamespace(stdout=None))
    with pytest.raises(SinkError, match="standard output is closed") as caught:
        await make().run(feed)
    assert not caught.value.reader_gone


async def test_a_write_that_takes_only_a_part_is_continued(monkeypatch, running, feed, piped):
    write = os.write
    monkeypatch.setattr(
        stdout_module, "os", SimpleNamespace(write=lambda descriptor, data: write(descriptor, data[:7]))
    )
    put(feed, 3)
    assert await read_lines(piped, 3) == [0, 1, 2]


async def test_a_pipe_that_does_not_block_is_waited_for(running, feed, piped):
    """The parent process may have made the pipe non-blocking; being full is no reason to end then."""
    pipe = stdout_module.sys.stdout.fileno()
    os.set_blocking(pipe, False)
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while filled < 2**24:
            filled += os.write(pipe, b"x" * 1024)
    feed.put(numbered(7))
    await asyncio.sleep(0.05)
    assert not running.done()
    while filled:
        filled -= len(os.read(piped.fileno(), filled))
    assert await read_lines(piped, 1) == [7]


@pytest.mark.parametrize("errno_", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG])
async def test_a_cut_line_is_continued_at_the_byte_where_it_stopped(monkeypatch, feed, piped, errno_):
    """On a pipe nothing can be taken back."""
    room, write = [150], os.write

    def full(descriptor, data):
        if room[0] == 0:
            raise OSError(errno_, os.strerror(errno_))
        written = write(descriptor, data[: room[0]])
        room[0] -= written
        return written

    sink = make()
    monkeypatch.setattr(stdout_module.os, "write", full)
    put(feed, 5)
    for _ in range(3):  # as the supervisor does
        with pytest.raises(OSError, match=os.strerror(errno_)) as caught:
            await asyncio.wait_for(sink.run(feed), PATIENCE_S)
        assert caught.value.errno == errno_
        feed.fail("full", outside=True)
    room[0] = 10  # not even the rest of the line
    with pytest.raises(OSError, match=os.strerror(errno_)):
        await asyncio.wait_for(sink.run(feed), PATIENCE_S)
    feed.fail("full", outside=True)
    monkeypatch.setattr(stdout_module.os, "write", write)
    feed.close()
    await asyncio.wait_for(sink.run(feed), PATIENCE_S)
    assert await read_lines(piped, 5) == [0, 1, 2, 3, 4]
    assert not feed.dropped


class TestADiskThatIsFull:
    @pytest.fixture
    def disk(self, tmp_path):
        """A file system of a few pages."""
        path = tmp_path / "disk"
        path.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=12k", "cogd-test", str(path)]
        mounted = subprocess.run(mount, capture_output=True, check=False)
        if mounted.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
        yield path
        subprocess.run(["umount", str(path)], check=True)

    @pytest.mark.parametrize("mode", ["wb", "ab"])
    async def test_never_holds_a_cut_line_and_gets_the_rest_when_there_is_room(self, disk, monkeypatch, feed, mode):
        filler, path, sink = disk / "filler", disk / "events", make()
        filler.write_bytes(bytes(8192))
        with path.open(mode, buffering=0) as file:
            monkeypatch.setattr(stdout_module, "sys", SimpleNamespace(stdout=file, stderr=None))
            put(feed, 60)
            with pytest.raises(OSError, match="No space left"):
                await asyncio.wait_for(sink.run(feed), PATIENCE_S)
            feed.fail("full", outside=True)
            whole = path.read_bytes()
            assert whole.endswith(b"\n")
            assert numbers(whole) == list(range(len(numbers(whole))))
            assert feed.left == 60 - len(numbers(whole)) > 0
            filler.unlink()
            feed.close()
            await asyncio.wait_for(sink.run(feed), PATIENCE_S)
        assert path.read_bytes() == b"".join(encode(numbered(number)) for number in range(60))

    async def test_a_file_that_others_write_too_is_not_shortened(self, disk, monkeypatch, feed):
        (disk / "filler").write_bytes(bytes(8192))
        path = disk / "events"
        with path.open("ab", buffering=0) as file, path.open("ab", buffering=0) as log:
            monkeypatch.setattr(stdout_module, "sys", SimpleNamespace(stdout=file, stderr=log))
            put(feed, 60)
            with pytest.raises(OSError, match="No space left"):
                await asyncio.wait_for(make().run(feed), PATIENCE_S)
        assert path.stat().st_size == 4096  # to the last byte, in the middle of a line


@pytest.mark.parametrize("url", ["stdout:x", "stdout://host", "stdout:/dev/null", "stdout:?pretty=1"])
def test_anything_behind_the_colon_is_refused(url):
    with pytest.raises(ConfigError, match="nothing behind the colon"):
        StdoutSink("stdout", urlsplit(url), SinkOptions())
