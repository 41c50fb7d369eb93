"""The control socket: one JSON request a connection, one JSON answer.

Whoever may connect is decided by the file's mode and its folder; there is no other authentication.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import msgspec
import structlog
from msgspec import Meta

from cogd.control.wire import MAX_ANSWER_BYTES, MAX_REQUEST_BYTES, header
from cogd.errors import CogdError, ControlError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

MAX_CONNECTIONS: Final = 8
IDLE_S: Final = 5.0
"""How long a client may take to send its request, and to take its answer."""

_MODE: Final = 0o660

_Names = Annotated[tuple[str, ...], Meta(max_length=256)]


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="command"):
    pass


class Reload(_Request, frozen=True, tag="reload"):
    """Take what is installed."""


class Status(_Request, frozen=True, tag="status"):
    """Tell what runs."""


class Health(_Request, frozen=True, tag="health"):
    """Prove that an app works, or every one, and tell what arrives."""

    app: str | None = None


class Calibrate(_Request, frozen=True, tag="calibrate"):
    """Watch a quiet room for so long: these nodes, or all; for this app, or all. Whoever asks must stay connected."""

    nodes: _Names = ()
    app: str | None = None
    seconds: float = 10.0


class Forget(_Request, frozen=True, tag="forget"):
    """Forget what was measured of these nodes, for this app or all."""

    nodes: _Names
    app: str | None = None


class ListBaselines(_Request, frozen=True, tag="baselines"):
    """Tell what was measured."""


Command: TypeAlias = Reload | Status | Calibrate | Forget | ListBaselines

_DECODER: Final[msgspec.json.Decoder[Command | Health]] = msgspec.json.Decoder(Command | Health)


class ControlServer:
    """Answers on a Unix socket.

    Args:
        path: of the socket.
        answer: what a command gives; a `CogdError` of it is answered as one.
        health: what `health` gives for an app's id (None: for all): whether all is well, and event lines.
    """

    def __init__(
        self,
        path: Path,
        answer: Callable[[Command], Awaitable[Mapping[str, object]]],
        health: Callable[[str | None], Awaitable[tuple[bool, bytes]]],
    ) -> None:
        self._path, self._answer, self._health = path, answer, health
        self._log = structlog.get_logger()
        self._server: asyncio.Server | None = None
        self._identity: tuple[int, int] | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen. Where that can't be, the daemon does without, and the log says why."""
        listener = self._bind()
        if listener is not None:
            self._server = await asyncio.start_unix_server(self._connected, sock=listener, limit=MAX_REQUEST_BYTES)
            self._log.debug("control socket", path=str(self._path))

    async def close(self) -> None:
        """Stop listening, hang up, and take the socket's file away if it still is ours."""
        if self._server is None:
            return
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        with contextlib.suppress(OSError):
            if _identity(self._path) == self._identity:
                self._path.unlink()

    def _bind(self) -> socket.socket | None:
        if not self._path.parent.is_dir():
            self._log.debug("no control socket: its folder is not there", path=str(self._path))
            return None
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _remove_stale(self._path)
            listener.bind(str(self._path))
            self._path.chmod(_MODE)  # nobody can connect before it listens
            self._identity = _identity(self._path)
        except OSError as error:
            listener.close()
            self._log.warning("no control socket", path=str(self._path), error=error.strerror or str(error))
            return None
        listener.setblocking(False)  # noqa: FBT003  # a socket's own method
        return listener

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a server's callback is one
        crowded = len(self._connections) >= MAX_CONNECTIONS
        self._connections.add(task)
        try:
            if crowded:
                answer = _refusal(ControlError(f"{MAX_CONNECTIONS} others are being answered", hint="try again"))
            else:
                answer = await self._reply(reader)
            writer.write(answer)
            async with asyncio.timeout(IDLE_S):  # `wait_for` may swallow being cancelled
                await writer.drain()
        except (OSError, TimeoutError):  # the client has gone
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _reply(self, reader: asyncio.StreamReader) -> bytes:
        """One line, whatever was asked."""
        try:
            async with asyncio.timeout(IDLE_S):
                line = await reader.readuntil(b"\n")
            request = _DECODER.decode(line)
        except TimeoutError:
            return _refusal(ControlError(f"no request within {IDLE_S:g} s", hint="send one line of JSON"))
        except asyncio.IncompleteReadError:
            return _refusal(ControlError("the request does not end with a newline", hint="send one line of JSON"))
        except asyncio.LimitOverrunError:
            return _refusal(ControlError(f"the request has more than {MAX_REQUEST_BYTES} bytes", hint="send less"))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return _refusal(ControlError(f"bad request: {error}", hint='for example {"command": "status"}'))
        try:
            if isinstance(request, Health):
                healthy, lines = await self._health(request.app)
                answer = header(healthy=healthy, size=len(lines)) + lines
            elif isinstance(request, Calibrate):
                answer = _line({"ok": True, **await _while_connected(reader, self._answer(request))})
            else:
                answer = _line({"ok": True, **await self._answer(request)})
        except CogdError as error:
            return _refusal(error)
        if len(answer) > MAX_ANSWER_BYTES:
            return _refusal(ControlError(f"the answer has more than {MAX_ANSWER_BYTES} bytes"))
        return answer


async def _while_connected(
    reader: asyncio.StreamReader, answer: Awaitable[Mapping[str, object]]
) -> Mapping[str, object]:
    """The answer; where the client goes away before, what was asked for is not done.

    Raises:
        ConnectionResetError: it went away.
    """
    answering, leaving = asyncio.ensure_future(answer), asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise ConnectionResetError
        return answering.result()
    finally:
        for task in (answering, leaving):
            task.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)


def _refusal(error: CogdError) -> bytes:
    return _line({"ok": False, "code": error.code, "message": str(error), "hint": error.hint})


def _line(answer: Mapping[str, object]) -> bytes:
    return msgspec.json.encode(answer) + b"\n"


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


def _remove_stale(path: Path) -> None:
    """Take away the socket of a daemon that was killed.

    Raises:
        OSError: something else is there, or a daemon listens, be it too busy to answer.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(None, "something else is in its place")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # noqa: FBT003  # a socket's own method
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise FileExistsError(None, "another daemon listens on it")
