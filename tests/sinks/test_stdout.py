import contextlib
import os
import select
import threading
from types import SimpleNamespace
from urllib.parse import urlsplit

import msgspec
import pytest

from cogd.errors import ConfigError
from cogd.events import Event, LinkChanged
from cogd.sinks import stdout as stdout_module
from cogd.sinks.stdout import StdoutSink

PATIENCE_S = 5.0


def numbered(number: int) -> Event:
    fields = LinkChanged(node="a/1", state="live", previous="absent", time=float(number))
    return Event(ts=1.5, level="info", event="link.state", fields=fields)


@pytest.fixture
def piped(monkeypatch):
    """Standard output is a pipe; gives the end to read from."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb", buffering=0) as writer:
        monkeypatch.setattr(stdout_module, "sys", SimpleNamespace(stdout=writer))
        yield reader


@pytest.fixture
def sink(piped):
    made = StdoutSink(urlsplit("stdout:"))
    made.open()
    yield made
    made.close(PATIENCE_S)


def read_lines(piped, count: int) -> list[bytes]:
    """The next lines, which must come at once."""
    data = b""
    while data.count(b"\n") < count:
        assert select.select([piped], [], [], PATIENCE_S)[0], f"only {data!r} came"
        data += os.read(piped.fileno(), 65536)
    assert data.count(b"\n") == count
    return data.splitlines()


def numbers(lines: list[bytes]) -> list[int]:
    return [int(msgspec.json.decode(line)["fields"]["time"]) for line in lines]


def test_each_event_is_one_line_of_json_in_order(sink, piped):
    for number in range(20):
        sink.put(numbered(number))
    lines = read_lines(piped, 20)
    assert numbers(lines) == list(range(20))
    assert list(msgspec.json.decode(lines[0])) == ["ts", "level", "event", "fields"]
    assert sink.dropped == 0


def test_closing_writes_what_is_queued(sink, piped):
    for number in range(100):
        sink.put(numbered(number))
    sink.close(PATIENCE_S)
    assert numbers(read_lines(piped, 100)) == list(range(100))


class TestAReaderThatNeverReads:
    @pytest.fixture
    def choked(self, monkeypatch, piped):
        """A sink with a short queue that hangs in its first write, as on a full pipe, until released."""
        monkeypatch.setattr(stdout_module, "_QUEUED_EVENTS", 5)
        started, released = threading.Event(), threading.Event()
        write = os.write

        def blocking(descriptor, data):
            started.set()
            assert released.wait(PATIENCE_S)
            return write(descriptor, data)

        monkeypatch.setattr(stdout_module, "os", SimpleNamespace(write=blocking))
        sink = StdoutSink(urlsplit("stdout:"))
        sink.open()
        sink.put(numbered(0))
        assert started.wait(PATIENCE_S)
        yield sink, released
        released.set()
        sink.close(PATIENCE_S)

    def test_makes_the_oldest_be_shed_and_counted(self, choked, piped):
        sink, released = choked
        for number in range(1, 12):
            sink.put(numbered(number))
        assert sink.dropped == 6
        released.set()
        assert numbers(read_lines(piped, 6)) == [0, 7, 8, 9, 10, 11]

    def test_does_not_hold_up_the_closing_for_longer_than_asked(self, choked):
        sink, _ = choked
        assert sink.close(0.01) == sink.close(0.01) > 0  # how many are left; asking again adds nothing
        assert sink._thread.is_alive()

    def test_has_no_room_for_what_must_not_be_lost(self, choked):
        sink, _ = choked
        assert sink.room
        sink.put(numbered(1))
        sink.put(numbered(2))
        assert not sink.room  # half of the five

    def test_does_not_keep_the_process_alive(self, choked):
        assert choked[0]._thread.daemon


class TestAReaderThatHasGone:
    @pytest.fixture
    def orphan(self, sink, piped):
        piped.close()
        sink.put(numbered(0))
        sink.put(numbered(1))
        sink.close(PATIENCE_S)
        return sink

    def test_is_told_as_broken(self, orphan):
        assert isinstance(orphan.broken, BrokenPipeError)

    def test_does_no_harm_to_later_events(self, orphan):
        orphan.put(numbered(2))
        assert orphan.broken


def test_a_sink_that_works_is_not_broken(sink):
    sink.put(numbered(0))
    assert sink.broken is None


def test_a_write_that_takes_only_a_part_is_continued(monkeypatch, sink, piped):
    write = os.write
    monkeypatch.setattr(
        stdout_module, "os", SimpleNamespace(write=lambda descriptor, data: write(descriptor, data[:7]))
    )
    for number in range(3):
        sink.put(numbered(number))
    assert numbers(read_lines(piped, 3)) == [0, 1, 2]


def test_a_pipe_that_does_not_block_is_waited_for(monkeypatch, sink, piped):
    """Whoever started us may have made the pipe non-blocking; being full is no reason to end then."""
    pipe, write, tried = stdout_module.sys.stdout.fileno(), os.write, threading.Event()
    os.set_blocking(pipe, False)
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while filled < 2**24:
            filled += write(pipe, b"x" * 1024)

    def telling(descriptor, data):
        try:
            return write(descriptor, data)
        except BlockingIOError:
            tried.set()
            raise

    monkeypatch.setattr(stdout_module, "os", SimpleNamespace(write=telling))
    sink.put(numbered(7))
    assert tried.wait(PATIENCE_S)
    while filled:
        filled -= len(os.read(piped.fileno(), filled))
    sink.close(PATIENCE_S)
    assert sink.broken is None
    assert numbers(read_lines(piped, 1)) == [7]


@pytest.mark.parametrize("url", ["stdout:x", "stdout://host", "stdout:/dev/null", "stdout:?pretty=1"])
def test_anything_behind_the_colon_is_refused(url):
    with pytest.raises(ConfigError, match="nothing behind the colon"):
        StdoutSink(urlsplit(url))
