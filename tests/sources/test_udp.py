import asyncio
import socket
import time

import numpy as np
import pytest
import uvloop

from cogd.csi.frame import Origin
from cogd.errors import SourceError
from cogd.sources.base import SourceOptions
from cogd.sources.udp import RECEIVE_BUFFER_BYTES, UdpSource
from cogd.wire import adr018

from .conftest import PATIENCE_S, Heard, running, url

IQ = np.arange(-64, 64, dtype=np.int8).reshape(64, 2)
VITALS = bytes.fromhex("020011c5") + bytes(28)


def datagram(sequence: int, node_id: int = 7) -> bytes:
    return adr018.encode(node_id=node_id, sequence=sequence, iq=IQ, rssi_dbm=-48, noise_floor_dbm=-93)


def source_at(text: str, clock) -> UdpSource:
    return UdpSource("hall", url(text), SourceOptions(clock=clock))


def send(address: tuple[str, int], *datagrams: bytes) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        for each in datagrams:
            sender.sendto(each, address)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


HOSTS = [
    "127.0.0.1",
    "localhost",
    pytest.param("[::1]", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")),
]


@pytest.mark.parametrize("host", HOSTS)
async def test_a_datagram_becomes_a_live_frame(host, heard, clock):
    source = source_at(f"udp://{host}:0", clock)
    assert source.address is None
    async with running(source, heard):
        await heard.until(lambda: heard.told == ["up"])
        send(source.address, datagram(5), datagram(6))
        await heard.until(lambda: len(heard.frames) == 2)
    assert source.address is None
    first, second = heard.frames
    assert (first.node, first.origin, first.sequence, second.sequence) == ("hall/7", Origin.LIVE, 5, 6)
    assert (first.time_s, first.arrival_s) == pytest.approx((clock.unix_s(), clock.monotonic_s()), abs=PATIENCE_S)
    assert (first.rssi_dbm, first.noise_floor_dbm, first.bins) == (-48.0, -93.0, 64)
    np.testing.assert_array_equal(first.iq, IQ)


async def test_other_packets_and_rubbish_are_counted_and_stop_nothing(heard, clock):
    source = source_at("udp://127.0.0.1:0", clock)
    async with running(source, heard):
        await heard.until(lambda: heard.told)
        send(source.address, b"", b"rubbish", datagram(1)[:-1], VITALS, VITALS, b"x" * 60_000, datagram(2))
        await heard.until(lambda: heard.frames)
    assert heard.counts == {"malformed": 4, "vitals": 2}
    assert [frame.sequence for frame in heard.frames] == [2]
    assert heard.told == ["up"]


async def test_a_burst_is_held_while_the_loop_is_busy(heard, clock):
    source = source_at("udp://127.0.0.1:0", clock)
    async with running(source, heard):
        await heard.until(lambda: heard.told)
        send(source.address, *(datagram(sequence) for sequence in range(200)))
        await heard.until(lambda: len(heard.frames) == 200)
    assert [frame.sequence for frame in heard.frames] == list(range(200))


async def test_a_large_receive_buffer_is_asked_for(heard, clock, monkeypatch):
    asked = []
    plain = socket.socket.setsockopt

    def setsockopt(self, level, option, value):
        asked.append((level, option, value))
        return plain(self, level, option, value)

    monkeypatch.setattr(socket.socket, "setsockopt", setsockopt)
    async with running(source_at("udp://127.0.0.1:0", clock), heard):
        await heard.until(lambda: heard.told)
    assert (socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES) in asked


async def test_the_port_is_free_at_once_after_the_end(heard, clock):
    source = source_at("udp://127.0.0.1:0", clock)
    async with running(source, heard):
        await heard.until(lambda: heard.told)
        address = source.address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(address)


async def test_a_port_that_is_taken(heard, clock):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        with pytest.raises(SourceError, match=rf"hall.*127\.0\.0\.1:{port}: Address already in use"):
            await source_at(f"udp://127.0.0.1:{port}", clock).run(heard)
    assert heard.told == []


async def test_an_address_that_is_not_ours(heard, clock):
    with pytest.raises(SourceError, match=r"192\.0\.2\.1:5005: Cannot assign requested address"):
        await source_at("udp://192.0.2.1:5005", clock).run(heard)


async def test_a_host_that_has_no_address(heard, clock, monkeypatch):
    async def nowhere(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nowhere)
    with pytest.raises(SourceError, match=r"nowhere\.invalid:5005: .*not known"):
        await source_at("udp://nowhere.invalid:5005", clock).run(heard)


async def test_a_socket_that_the_system_takes_away(heard, clock, monkeypatch):
    source = source_at("udp://127.0.0.1:0", clock)
    task = asyncio.create_task(source.run(heard))
    await heard.until(lambda: heard.told)
    errors = [OSError(111, "Connection refused"), OSError(19, "No such device")]

    def recvmsg(self, *sizes):
        raise errors.pop(0)

    monkeypatch.setattr(socket.socket, "recvmsg", recvmsg)
    send(source.address, datagram(1))
    with pytest.raises(SourceError, match="No such device"):
        await asyncio.wait_for(task, PATIENCE_S)
    assert heard.counts == {"socket_error": 1}  # of somebody else's datagram: not the end


async def test_time_is_the_arrival_at_this_machine_however_late_it_is_read(heard, clock):
    source = source_at("udp://127.0.0.1:0", clock)
    async with running(source, heard):
        await heard.until(lambda: heard.told)
        send(source.address, datagram(1))
        time.sleep(0.2)  # noqa: ASYNC251  # the daemon is busy
        send(source.address, datagram(2))
        await heard.until(lambda: len(heard.frames) == 2)
    first, second = heard.frames
    assert 0.2 <= clock.monotonic_s() - first.arrival_s < 10
    assert second.arrival_s - first.arrival_s >= 0.2 - 0.01
    assert second.time_s - first.time_s == pytest.approx(second.arrival_s - first.arrival_s, abs=1e-6)


async def test_what_has_waited_too_long_is_shed_and_counted(heard, clock):
    source = UdpSource("hall", url("udp://127.0.0.1:0"), SourceOptions(clock=clock, max_wait_s=0.15))
    async with running(source, heard):
        await heard.until(lambda: heard.told)
        send(source.address, datagram(1), datagram(2))
        time.sleep(0.2)  # noqa: ASYNC251  # the daemon is busy
        send(source.address, datagram(3))
        await heard.until(lambda: heard.frames)
    assert [frame.sequence for frame in heard.frames] == [3]
    assert heard.counts == {"overload": 2}


async def test_stamps_of_a_clock_that_was_set_are_not_believed(heard, clock, monkeypatch):
    source = source_at("udp://127.0.0.1:0", clock)
    async with running(source, heard):
        await heard.until(lambda: heard.told)
        for step_s in (-3600.0, 3600.0):
            now_s = time.time() + step_s
            monkeypatch.setattr("cogd.sources.udp.time.time", lambda now_s=now_s: now_s)
            send(source.address, datagram(1))
            await heard.until(lambda: heard.frames)
            assert heard.frames.pop().arrival_s == clock.monotonic_s()


async def test_what_the_kernel_throws_away_is_counted(heard, clock, monkeypatch):
    monkeypatch.setattr("cogd.sources.udp.RECEIVE_BUFFER_BYTES", 4096)
    source = source_at("udp://127.0.0.1:0", clock)
    async with running(source, heard):
        await heard.until(lambda: heard.told)
        send(source.address, *(datagram(sequence) for sequence in range(100)))  # before anybody reads
        await heard.until(lambda: heard.frames)
        send(source.address, datagram(100))  # the counter comes with the next one that there is room for
        await heard.until(lambda: heard.frames[-1].sequence == 100)
        assert heard.counts["receive_buffer_full"] == 101 - len(heard.frames) > 0
        send(source.address, *(datagram(sequence) for sequence in range(101, 201)))  # and then silence
        await heard.until(lambda: heard.frames[-1].sequence > 100)
    assert heard.counts["receive_buffer_full"] == 201 - len(heard.frames)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("udp://0.0.0.0", "a host and a port"),
        ("udp://:5005", "a host and a port"),
        ("udp:5005", "a host and a port"),
        ("udp://0.0.0.0:99999", "[Pp]ort"),
        ("udp://0.0.0.0:http", "[Pp]ort"),
        ("udp://0.0.0.0:5005/path", "more than a host"),
        ("udp://0.0.0.0:5005#x", "more than a host"),
        ("udp://me@0.0.0.0:5005", "more than a host"),
        ("udp://0.0.0.0:5005?speed=2", "unknown parameter 'speed'"),
    ],
)
def test_urls_that_are_wrong(text, told, clock):
    with pytest.raises(SourceError, match=told):
        source_at(text, clock)


def test_under_uvloop(clock):
    async def hear() -> Heard:
        heard = Heard()
        source = source_at("udp://127.0.0.1:0", clock)
        async with running(source, heard):
            await heard.until(lambda: heard.told)
            send(source.address, VITALS, datagram(3))
            await heard.until(lambda: heard.frames)
            address = source.address
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(address)  # free at once, here too
        return heard

    heard = uvloop.run(hear())
    assert [frame.sequence for frame in heard.frames] == [3]
    assert heard.counts == {"vitals": 1}
