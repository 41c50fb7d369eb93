import asyncio
import contextlib
import json
import socket
import tracemalloc

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cogd.csi.frame import Origin
from cogd.errors import SourceError
from cogd.sources.base import SourceOptions
from cogd.sources.http import MAX_BODY_BYTES, HttpSource

from .conftest import running, url

PATH = "/api/v1/sensing/latest"


def update(tick: int, nodes: dict[int, float] | None = None, source: str = "esp32") -> dict:
    return {
        "type": "sensing_update",
        "timestamp": 1000 + tick / 10,
        "source": source,
        "tick": tick,
        "nodes": [
            {"node_id": node, "rssi_dbm": -40.0, "amplitude": [level] * 56, "subcarrier_count": 64}
            for node, level in (nodes or {1: tick + 1.0}).items()
        ],
    }


class SensingServer:
    """A server that answers as it is told to; by default with a new snapshot each time."""

    def __init__(self) -> None:
        self.ticks = 0
        self.requests: list[web.Request] = []
        self.answer = self.snapshot
        self.port = 0
        self.released = asyncio.Event()
        self._server: TestServer | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._handle)
        self._server = TestServer(app, host="127.0.0.1", port=self.port)
        await self._server.start_server(shutdown_timeout=0)
        self.port = self._server.port

    async def stop(self) -> None:
        self.released.set()
        if self._server is not None:
            await self._server.close()
            self._server = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return await self.answer(request)

    async def snapshot(self, request) -> web.Response:
        self.ticks += 1
        return web.json_response(update(self.ticks))

    def says(self, body: bytes, status: int = 200, **headers: str) -> None:
        async def answer(request):
            return web.Response(body=body, status=status, headers=headers)

        self.answer = answer

    def means(self, message: object) -> None:
        self.says(json.dumps(message).encode())

    async def hang(self, request):
        await self.released.wait()
        return web.Response()

    async def hang_in_the_body(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"timestamp":')
        await self.released.wait()
        return response

    async def half(self, request):
        response = web.StreamResponse()
        response.content_length = 1000
        await response.prepare(request)
        await response.write(b'{"timestamp":')
        request.transport.close()
        return response


@pytest.fixture
async def server():
    server = SensingServer()
    await server.start()
    yield server
    await server.stop()


def source_of(server: SensingServer, clock, **options) -> HttpSource:
    return HttpSource("hall", url(server.url), SourceOptions(clock=clock, **options))


# --- snapshots -----------------------------------------------------------------------------------------------


async def test_a_snapshot_becomes_frames(server, heard, clock):
    server.means(update(3, {1: 5.0, 9: 7.0}))
    async with running(source_of(server, clock), heard):
        await heard.until(lambda: heard.counts["repeated_snapshot"] >= 3)
    assert heard.told == ["up"]
    assert [(frame.node, frame.time_s) for frame in heard.frames] == [("hall/1", 1000.3), ("hall/9", 1000.3)]
    frame = heard.frames[0]
    assert (frame.arrival_s, frame.origin, frame.bins, frame.rssi_dbm) == (50.0, Origin.LIVE, 64, -40.0)
    assert frame.amplitude.tolist() == [5.0] * 56
    assert server.requests[0].path == PATH


async def test_simulated_snapshots_say_so(server, heard, clock):
    server.means(update(3, source="simulated"))
    async with running(source_of(server, clock), heard):
        await heard.until(lambda: heard.frames)
    assert heard.frames[0].origin is Origin.SIMULATED


async def test_one_connection_is_kept(server, heard, clock):
    async with running(source_of(server, clock), heard):
        await heard.until(lambda: len(heard.frames) >= 20)
    assert len({request.transport for request in server.requests}) == 1


async def test_empty_amplitudes_are_counted(server, heard, clock):
    message = update(3)
    message["nodes"][0] |= {"amplitude": [], "subcarrier_count": 0}
    server.means(message)
    async with running(source_of(server, clock), heard):
        await heard.until(lambda: heard.counts["empty_amplitude"])
    assert (heard.frames, heard.told) == ([], ["up"])


async def test_another_path(server, heard, clock):
    source = HttpSource("hall", url(f"{server.url}/field/latest"), SourceOptions(clock=clock))
    async with running(source, heard):
        await heard.until(lambda: heard.frames)
    assert server.requests[0].path == "/field/latest"


# --- outages -------------------------------------------------------------------------------------------------


async def fails_and_recovers(server, heard, clock, told: str, failures: int = 4, **options) -> None:
    """The server has begun to fail: one `down` in all, and an `up` with frames when it is mended."""
    async with running(source_of(server, clock, **options), heard):
        await heard.until(lambda: heard.told)
        await clock.until(lambda: len(server.requests) >= failures)
        assert len(heard.told) == 1
        assert heard.told[0].startswith("down: ")
        assert told in heard.told[0]
        assert not heard.frames
        server.answer = server.snapshot
        server.released.set()
        await heard.until(lambda: len(heard.frames) >= 3)
    assert heard.told[1:] == ["up"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503])
async def test_statuses(server, heard, clock, status):
    server.says(b'{"error": "x"}', status)
    await fails_and_recovers(server, heard, clock, f"HTTP {status}")
    assert heard.counts["malformed"] == 0


@pytest.mark.parametrize(("status", "told"), [(401, "bearer token"), (403, "forbids")])
async def test_401_and_403_are_named_as_such(server, heard, clock, status, told):
    server.says(b"", status)
    await fails_and_recovers(server, heard, clock, told)


async def test_redirects_are_not_followed(server, heard, clock):
    server.says(b"", 302, Location="/elsewhere")
    await fails_and_recovers(server, heard, clock, "redirect")
    assert {request.path for request in server.requests} == {PATH}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"timestamp":',
        b"[]",
        b"{}",
        json.dumps(update(1) | {"nodes": 7}).encode(),
        b"\xff",
        b"[" * 9**6,
    ],
    ids=["empty", "html", "cut", "list", "empty object", "wrong type", "not utf-8", "deep"],
)
async def test_bodies_that_are_no_snapshot(server, heard, clock, body):
    server.says(body)
    await fails_and_recovers(server, heard, clock, "not a snapshot")
    assert heard.counts["malformed"] >= 1


async def test_a_message_of_another_kind(server, heard, clock):
    server.means({"type": "edge_vitals", "node_id": 1})
    await fails_and_recovers(server, heard, clock, "vitals")
    assert heard.counts["vitals"] >= 1


async def test_half_a_body(server, heard, clock):
    server.answer = server.half
    await fails_and_recovers(server, heard, clock, "broke off")


@pytest.mark.parametrize("where", ["hang", "hang_in_the_body"])
async def test_a_server_that_hangs(server, heard, clock, where):
    server.answer = getattr(server, where)
    await fails_and_recovers(server, heard, clock, "no answer within 0.05 s", failures=2, timeout_s=0.05)


async def test_a_body_without_end(server, heard, clock):
    sent = 0

    async def endless(request):
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while not server.released.is_set():
                await response.write(b" " * 2**16)
                sent += 2**16
        return response

    server.answer = endless
    tracemalloc.start()
    try:
        await fails_and_recovers(server, heard, clock, f"more than {MAX_BODY_BYTES} bytes", failures=1, timeout_s=30)
        assert tracemalloc.get_traced_memory()[1] < 5 * MAX_BODY_BYTES
    finally:
        tracemalloc.stop()


async def test_something_that_does_not_speak_http(heard, clock):
    async def babble(reader, writer):
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as babbler:
        server = SensingServer()
        server.port = babbler.sockets[0].getsockname()[1]
        async with running(source_of(server, clock), heard):
            await clock.until(lambda: len(clock.slept) >= 3)
    assert len(heard.told) == 1
    assert heard.told[0].startswith("down: ")
    assert len(heard.told[0]) < 200
    assert heard.told[0].isprintable()


async def test_no_data_yet_is_asked_for_every_second_at_the_latest(server, heard, clock):
    server.means({"status": "no data yet"})
    await fails_and_recovers(server, heard, clock, "no data yet", failures=9)
    assert clock.slept[:7] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1, 1, 1])
    assert heard.counts["malformed"] == 0


async def test_offline_nodes_are_an_outage(server, heard, clock):
    server.means(update(3, source="esp32:offline"))
    await fails_and_recovers(server, heard, clock, "esp32:offline")


async def test_a_server_that_refuses_is_asked_less_and_less(heard, clock):
    server = SensingServer()
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else gets the port
        server.port = held.getsockname()[1]
        source = source_of(server, clock)
        async with running(source, heard):
            await heard.until(lambda: heard.told)
            await clock.until(lambda: len(clock.slept) >= 9)
    assert len(heard.told) == 1
    assert heard.told[0].startswith("down: can't connect: ")
    assert clock.slept[:9] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5])


async def test_a_server_that_is_started_again(server, heard, clock):
    source = source_of(server, clock, poll_s=0.04)
    async with running(source, heard):
        await heard.until(lambda: len(heard.frames) >= 5)
        await server.stop()
        await heard.until(lambda: len(heard.told) == 2)
        seen = len(heard.frames)
        server.ticks = 0
        server.released.clear()
        await server.start()
        await heard.until(lambda: len(heard.frames) >= seen + 5)
    assert [each.split(":")[0] for each in heard.told] == ["up", "down", "up"]
    assert heard.counts["missed_polls"] == 0  # the beats of an outage are given up, not missed
    step = (clock.now_s - 50.0) / 0.04
    assert step == pytest.approx(round(step), abs=1e-6)  # and then the beat goes on where it would have been


async def test_every_outage_is_told_and_begins_with_a_short_wait(server, heard, clock):
    async with running(source_of(server, clock), heard):
        for n in range(1, 4):
            server.answer = server.snapshot
            await heard.until(lambda n=n: len(heard.told) == 2 * n - 1)
            clock.slept.clear()
            server.says(b"", 500)
            await heard.until(lambda n=n: len(heard.told) == 2 * n)
            await clock.until(lambda: 0.1 in clock.slept)
    assert heard.told == ["up", "down: HTTP 500"] * 3


async def test_a_waiting_source_lets_others_run(server, heard):
    """With real time: an outage must not spin."""
    server.says(b"", 500)
    source = HttpSource("hall", url(server.url), SourceOptions(poll_s=0.01))
    async with running(source, heard):
        await heard.until(lambda: heard.told)
        await asyncio.sleep(0.25)
    assert len(server.requests) <= 3  # at 0, 0.1 and 0.3 s


# --- token -----------------------------------------------------------------------------------------------------


async def test_the_token_is_sent_and_never_shown(server, heard, clock, tmp_path, caplog):
    caplog.set_level("DEBUG")
    token = tmp_path / "token"
    token.write_text(" s3cret-token\n")

    async def guarded(request):
        if request.headers.get("Authorization") != "Bearer s3cret-token":
            return web.Response(status=401)
        return await server.snapshot(request)

    server.answer = guarded
    async with running(source_of(server, clock, token_file=token), heard):
        await heard.until(lambda: heard.frames)
        server.says(b"", 403)
        await heard.until(lambda: len(heard.told) == 2)
    assert "s3cret" not in " ".join(heard.told) + caplog.text


async def test_without_a_token_file_no_token_is_sent(server, heard, clock):
    async with running(source_of(server, clock), heard):
        await heard.until(lambda: heard.frames)
    assert "Authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"s3cret s3cret", "one word"),
        (b"s3cret\nX-Evil: 1", "one word"),
        (b"s3cret\xff", "one word"),
        (b"s3cret" * 1000, "4096 bytes at most"),
    ],
)
async def test_token_files_that_are_wrong(server, heard, clock, tmp_path, content, told):
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    with pytest.raises(SourceError, match=told) as caught:
        await source_of(server, clock, token_file=token).run(heard)
    assert "s3cret" not in str(caught.value)
    assert server.requests == []


# --- URLs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://", "no host"),
        ("http:///path", "no host"),
        ("http://host:0", "no host"),
        ("http://host:99999", "[Pp]ort"),
        ("http://a..b", "label"),
        ("http://host?poll=1", "unknown parameter 'poll'"),
        ("http://host/#x", "fragment"),
        ("http://me:s3cret@host", "credentials"),
    ],
)
def test_urls_that_are_wrong(text, told, clock):
    with pytest.raises(SourceError, match=told) as caught:
        HttpSource("hall", url(text), SourceOptions(clock=clock))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"poll_s": 0.0}, {"poll_s": -1.0}, {"timeout_s": 0.0}])
def test_options_that_are_wrong(wrong, clock):
    with pytest.raises(SourceError):
        HttpSource("hall", url("http://host"), SourceOptions(clock=clock, **wrong))


async def test_a_host_that_can_not_be_asked(heard, clock):
    with pytest.raises(SourceError, match="not a URL"):
        await HttpSource("hall", url("http://256.1.1.1/"), SourceOptions(clock=clock)).run(heard)


async def test_polls_keep_the_beat_whatever_an_answer_takes(server, heard, clock):
    asked_s = []

    async def slow(request):
        asked_s.append(clock.now_s)
        clock.now_s += (0.01, 0.03, 0.11)[len(asked_s) % 3]
        return await server.snapshot(request)

    server.answer = slow
    start_s = clock.now_s
    async with running(source_of(server, clock, poll_s=0.04), heard):
        await heard.until(lambda: len(heard.frames) >= 60)
    steps = [(at_s - start_s) / 0.04 for at_s in asked_s]
    assert all(step == pytest.approx(round(step), abs=1e-6) for step in steps)
    beats = [round(step) for step in steps]
    assert beats[:4] == [0, 1, 4, 5]  # 30 ms: on the next; 110 ms: two are missed
    assert heard.counts["missed_polls"] == pytest.approx(2 * len(heard.frames) / 3, abs=3)
