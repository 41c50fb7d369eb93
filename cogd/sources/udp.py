"""`udp://HOST:PORT`: hears ADR-018 nodes, or a relay that passes their datagrams on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from cogd.csi.frame import Origin
from cogd.errors import SourceError, WireError
from cogd.sources.base import query_parameters
from cogd.wire import adr018
from cogd.wire.ignored import Ignored

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from cogd.sources.base import Clock, Intake, SourceOptions

RECEIVE_BUFFER_BYTES = 4 * 2**20
"""Asked of the kernel, which may give less: two seconds of ten nodes at 50 Hz are 0.5 MB."""

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
        self._clock = options.clock
        query_parameters(name, url, ())
        self._host, self._port = _host_and_port(url)

    async def run(self, intake: Intake) -> None:
        """Hear nodes until cancelled.

        Raises:
            SourceError: the address can't be bound, or the system took the socket away.
        """
        loop = asyncio.get_running_loop()
        listener = _Listener(self.name, intake, self._clock, loop.create_future())
        transport, _ = await loop.create_datagram_endpoint(lambda: listener, sock=await self._bind())
        self.address = transport.get_extra_info("sockname")[:2]
        intake.up()
        try:
            await listener.closed
        finally:
            transport.close()
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
            with contextlib.suppress(OSError):
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            bound.setblocking(False)  # noqa: FBT003  # takes no keyword
            bound.bind(address)
        except OSError as error:
            bound.close()
            raise SourceError(
                f"source {self.name}: can't listen on {where}: {error.strerror or error}",
                hint="is another program on that port, and does this machine have that address?",
            ) from error
        return bound


class _Listener(asyncio.DatagramProtocol):
    """Decodes each datagram as it comes."""

    def __init__(self, source: str, intake: Intake, clock: Clock, closed: asyncio.Future[None]) -> None:
        self.closed = closed
        self._source = source
        self._intake = intake
        self._clock = clock

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002
        try:
            datagram = adr018.decode(data)
        except WireError:
            self._intake.count("malformed")
            return
        if isinstance(datagram, Ignored):
            self._intake.count(datagram.kind)
            return
        self._intake.offer(
            adr018.to_frame(
                datagram,
                source=self._source,
                time_s=self._clock.unix_s(),
                arrival_s=self._clock.monotonic_s(),
                origin=Origin.LIVE,
            )
        )

    def error_received(self, exc: Exception) -> None:  # noqa: ARG002
        self._intake.count("socket_error")

    def connection_lost(self, exc: Exception | None) -> None:
        if self.closed.done():
            return
        if exc is None:
            self.closed.set_result(None)
        else:
            self.closed.set_exception(SourceError(f"source {self._source}: the socket was closed: {exc}"))


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
