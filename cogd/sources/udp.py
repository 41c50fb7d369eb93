"""`udp://HOST:PORT`: hears ADR-018 nodes, or a relay that passes their datagrams on.

The kernel stamps every datagram when it arrives, so that a busy daemon does not bend the frames' times, and latency is
counted from the arrival and not from when somebody looked. It also tells how many it had to throw away. What has waited
in its buffer for too long is shed unread, or what comes would wait behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
import time
from typing import TYPE_CHECKING, Final

from cogd.csi.frame import Origin
from cogd.errors import SourceError, WireError
from cogd.sources.base import query_parameters
from cogd.wire import adr018
from cogd.wire.ignored import Ignored

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from cogd.clock import Clock
    from cogd.sources.base import Intake, SourceOptions

RECEIVE_BUFFER_BYTES = 4 * 2**20
"""Asked of the kernel, which may give less: two seconds of ten nodes at 50 Hz are 0.5 MB."""

_AT_ONCE: Final = 32
"""Datagrams that are read before others get their turn on the event loop: a third of a millisecond."""

_MAX_DATAGRAM_BYTES: Final = 4096
"""More than a CSI packet can have: 4 antennas of 256 bins are 2,068 bytes."""

_STEP_S: Final = 0.5
"""Where the system's clock has moved by more against the monotonic one since the last datagram, it was set: what the
stamps say of the time between is not true."""

# include/uapi/asm-generic/socket.h; Python has no names for them. Where they differ the system refuses, and it goes
# without.
_SO_TIMESTAMPNS: Final = 35
_SO_RXQ_OVFL: Final = 40
_SO_MEMINFO: Final = 55
_MEMINFO: Final = struct.Struct("@9I")
"""The last of the nine is SK_MEMINFO_DROPS (include/uapi/linux/sock_diag.h)."""
_TIMESPEC: Final = struct.Struct("@ll")
_COUNTER: Final = struct.Struct("@I")
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_TIMESPEC.size) + socket.CMSG_SPACE(_COUNTER.size)

_PASSING: Final = frozenset(
    {
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENOBUFS,
        errno.ENOMEM,
    }
)
"""Errors of a socket that can be read again."""

_EXAMPLE = "write udp://0.0.0.0:5005 for all addresses, or udp://[::]:5005 with IPv6"


class UdpSource:
    """Hears datagrams on one address.

    Attributes:
        name: first part of the nodes' names.
        address: host and port that are bound, while `run` runs; None before. Port 0 in the URL binds a free one.
    """

    def __init__(self, name: str, url: SplitResult, options: SourceOptions) -> None:
        self.name = name
        self.address: tuple[str, int] | None = None
        self._clock, self._max_wait_s = options.clock, options.max_wait_s
        query_parameters(name, url, ())
        self._host, self._port = _host_and_port(url)

    async def run(self, intake: Intake) -> None:
        """Hear nodes until cancelled.

        Raises:
            SourceError: the address can't be bound, or the system took the socket away.
        """
        loop = asyncio.get_running_loop()
        bound = await self._bind()
        listener = _Listener(self.name, bound, intake, self._clock, self._max_wait_s)
        self.address = bound.getsockname()[:2]
        loop.add_reader(bound, listener.read)
        intake.up()
        try:
            await listener.closed
        finally:
            loop.remove_reader(bound)
            listener.close()
            self.address = None

    async def _bind(self) -> socket.socket:
        where = f"{self._host}:{self._port}"
        try:
            found = await asyncio.get_running_loop().getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            raise SourceError(f"source {self.name}: can't find the address {where}: {error}", hint=_EXAMPLE) from error
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
        try:
            for option, value in (
                (socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES),
                (_SO_TIMESTAMPNS, 1),
                (_SO_RXQ_OVFL, 1),
            ):
                with contextlib.suppress(OSError):
                    bound.setsockopt(socket.SOL_SOCKET, option, value)
            bound.setblocking(False)  # noqa: FBT003  # takes no keyword
            bound.bind(address)
        except OSError as error:
            bound.close()
            raise SourceError(
                f"source {self.name}: can't listen on {where}: {error.strerror or error}",
                hint="is another program on that port, and does this machine have that address?",
            ) from error
        return bound


class _Listener:
    """Reads and decodes what has come."""

    def __init__(self, source: str, bound: socket.socket, intake: Intake, clock: Clock, max_wait_s: float) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._source = source
        self._socket = bound
        self._intake = intake
        self._clock = clock
        self._max_wait_s = max_wait_s
        self._overflowed = 0
        self._offset_s = time.time() - time.monotonic()

    def close(self) -> None:
        """Close the socket; what it has thrown away since the last datagram is counted."""
        with contextlib.suppress(OSError, struct.error):  # not every system tells
            told = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
            self._count_overflow(_MEMINFO.unpack(told)[-1])
        self._socket.close()

    def read(self) -> None:
        """Take in what waits, and leave the rest for the next turn."""
        for _ in range(_AT_ONCE):
            try:
                data, ancillary, _, _ = self._socket.recvmsg(_MAX_DATAGRAM_BYTES, _ANCILLARY_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._failed(error)
                return
            self._take(data, ancillary)

    def _take(self, data: bytes, ancillary: list[tuple[int, int, bytes]]) -> None:
        waited_s = 0.0
        for _, kind, value in ancillary:
            if kind == _SO_TIMESTAMPNS:
                seconds, nanoseconds = _TIMESPEC.unpack(value)
                waited_s = self._since(seconds + nanoseconds * 1e-9)
            elif kind == _SO_RXQ_OVFL:
                self._count_overflow(*_COUNTER.unpack(value))
        if waited_s > self._max_wait_s:
            self._intake.count("overload")
            return
        try:
            datagram = adr018.decode(data)
        except WireError:
            self._intake.count("malformed")
            return
        if isinstance(datagram, Ignored):
            self._intake.count(datagram.kind)
            return
        clock = self._clock
        self._intake.offer(
            adr018.to_frame(
                datagram,
                source=self._source,
                time_s=clock.unix_s() - waited_s,
                arrival_s=clock.monotonic_s() - waited_s,
                origin=Origin.LIVE,
            )
        )

    def _since(self, stamp_unix_s: float) -> float:
        now_unix_s = time.time()
        offset_s = now_unix_s - time.monotonic()
        was_set = abs(offset_s - self._offset_s) > _STEP_S
        self._offset_s = offset_s
        return 0.0 if was_set else max(0.0, now_unix_s - stamp_unix_s)

    def _count_overflow(self, total: int) -> None:
        """The kernel tells how many datagrams it has thrown away since the socket was opened, modulo 2**32."""
        if more := (total - self._overflowed) % 2**32:
            self._intake.count("receive_buffer_full", more)
        self._overflowed = total

    def _failed(self, error: OSError) -> None:
        """What the network answers to somebody else's datagrams is counted; anything else ends the source."""
        if error.errno in _PASSING:
            self._intake.count("socket_error")
        elif not self.closed.done():
            self.closed.set_exception(SourceError(f"source {self._source}: the socket was closed: {error}"))


def _host_and_port(url: SplitResult) -> tuple[str, int]:
    shown = url.geturl()
    try:
        port = url.port
    except ValueError as error:
        raise SourceError(f"{shown}: {error}", hint=_EXAMPLE) from error
    if not url.hostname or port is None:
        raise SourceError(f"{shown}: a host and a port are needed", hint=_EXAMPLE)
    if url.path.strip("/") or url.fragment or url.username is not None:
        raise SourceError(f"{shown}: more than a host and a port", hint=_EXAMPLE)
    return url.hostname, port
