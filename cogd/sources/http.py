"""`http://HOST:PORT`, `https://...`: polls a sensing server for its latest snapshot."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

from cogd.clock import Beat
from cogd.errors import SourceError, WireError
from cogd.sources.base import query_parameters
from cogd.wire import snapshot
from cogd.wire.ignored import Ignored

if TYPE_CHECKING:
    from pathlib import Path
    from urllib.parse import SplitResult

    from cogd.sources.base import Intake, SourceOptions

DEFAULT_PATH = "/api/v1/sensing/latest"
MAX_BODY_BYTES = 8 * 2**20
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 5.0
MAX_NO_DATA_BACKOFF_S = 1.0
_MAX_TOKEN_BYTES = 4096


class _OutageError(Exception):
    """Why a poll brought no snapshot, and the longest to wait before the next."""

    def __init__(self, reason: str, max_backoff_s: float = MAX_BACKOFF_S) -> None:
        super().__init__(reason)
        self.max_backoff_s = max_backoff_s


class HttpSource:
    """Polls `GET /api/v1/sensing/latest` over one connection that is kept.

    A frame's time is its snapshot's, on the server's clock. The URL's path may name another place; there are no
    parameters. Redirects are not followed, and a bearer token is sent to this URL only.
    """

    def __init__(self, name: str, url: SplitResult, options: SourceOptions) -> None:
        self.name = name
        query_parameters(name, url, ())
        self._url = _checked(url)
        if not options.poll_s > 0 or not options.timeout_s > 0:
            raise SourceError(f"source {name}: poll_s and timeout_s must be above 0")
        self._options = options
        self._freshness = snapshot.Freshness()

    async def run(self, intake: Intake) -> None:
        """Poll until cancelled.

        Raises:
            SourceError: the token file can't be used. A server that does not answer is told by `intake.down`.
        """
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self._options.token_file is not None:
            token = await asyncio.to_thread(_read_token, self._options.token_file)
            headers["Authorization"] = f"Bearer {token}"
        timeout_s = self._options.timeout_s
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=timeout_s, sock_read=timeout_s),
        ) as session:
            await self._poll_forever(session, intake)

    async def _poll_forever(self, session: aiohttp.ClientSession, intake: Intake) -> None:
        clock = self._options.clock
        beat = Beat(clock.monotonic_s(), self._options.poll_s)
        delivering = False
        failures = 0
        while True:
            try:
                answer = await self._latest(session, intake)
            except _OutageError as outage:
                if not failures:
                    delivering = False
                    intake.down(str(outage))
                backoff_s = min(FIRST_BACKOFF_S * 2.0 ** min(failures, 10), outage.max_backoff_s)
                failures += 1
                await clock.sleep(backoff_s)
                continue
            if not delivering:
                delivering = True
                intake.up()
            self._hand_in(answer, intake)
            wait_s, missed = beat.next(clock.monotonic_s())
            if missed and not failures:  # beats of an outage were not missed, but given up
                intake.count("missed_polls", missed)
            failures = 0
            await clock.sleep(wait_s)

    async def _latest(self, session: aiohttp.ClientSession, intake: Intake) -> snapshot.Snapshot:
        body = await self._fetch(session)
        try:
            parsed = snapshot.parse(body)
        except WireError as error:
            intake.count("malformed")
            raise _OutageError(str(error)) from error
        if isinstance(parsed, snapshot.NoData):
            raise _OutageError(parsed.reason, MAX_NO_DATA_BACKOFF_S)
        if isinstance(parsed, Ignored):
            intake.count(parsed.kind)
            raise _OutageError(f"not a snapshot, but a message of the kind {parsed.kind}")
        return parsed

    async def _fetch(self, session: aiohttp.ClientSession) -> bytes:
        try:
            async with session.get(self._url, allow_redirects=False) as response:
                if response.status != 200:
                    raise _OutageError(_status_reason(response.status))
                return await _read_body(response.content)
        except aiohttp.InvalidURL as error:
            raise SourceError(f"source {self.name}: {self._url} is not a URL that can be asked") from error
        except TimeoutError as error:
            raise _OutageError(f"no answer within {self._options.timeout_s:g} s") from error
        except aiohttp.ClientPayloadError as error:
            raise _OutageError("the answer broke off") from error
        except aiohttp.ClientConnectorError as error:
            raise _OutageError(f"can't connect: {error.os_error.strerror or error}") from error
        except (aiohttp.ClientError, OSError) as error:
            told = " ".join(str(error).split())[:120]  # it may quote what was received
            raise _OutageError(f"{type(error).__name__}: {told}") from error

    def _hand_in(self, answer: snapshot.Snapshot, intake: Intake) -> None:
        fresh = self._freshness.fresh(answer)
        for reason, amount in fresh.dropped.items():
            intake.count(reason, amount)
        arrival_s = self._options.clock.monotonic_s()
        for reading in fresh.readings:
            intake.offer(
                snapshot.to_frame(reading, answer, source=self.name, arrival_s=arrival_s, origin=answer.origin)
            )


def _status_reason(status: int) -> str:
    if status == 401:
        return "HTTP 401: the server wants a bearer token, and not the one it got"
    if status == 403:
        return "HTTP 403: the server forbids it (the token, or this host's name)"
    if 300 <= status < 400:
        return f"HTTP {status}: a redirect, which is not followed"
    return f"HTTP {status}"


async def _read_body(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _OutageError(f"an answer of more than {MAX_BODY_BYTES} bytes")
    return bytes(body)


def _read_token(path: Path) -> str:
    """The bearer token in a file, without the white space around it; errors never show it."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_TOKEN_BYTES + 1).strip()
    except OSError as error:
        raise SourceError(f"token file {path}: {error.strerror}", hint="check `token_file`") from error
    if not raw:
        raise SourceError(f"token file {path} is empty", hint="check `token_file`")
    if len(raw) > _MAX_TOKEN_BYTES or not all(0x21 <= byte <= 0x7E for byte in raw):
        raise SourceError(
            f"token file {path}: expected one word of printable ASCII, {_MAX_TOKEN_BYTES} bytes at most",
            hint="check `token_file`",
        )
    return raw.decode("ascii")


def _checked(url: SplitResult) -> str:
    """The URL to ask."""
    shown = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
    if url.username is not None or url.password is not None:
        raise SourceError(f"{shown}: no credentials in the URL", hint="put the bearer token into a `token_file`")
    try:
        port = url.port
        (url.hostname or "").encode("idna")
    except ValueError as error:
        raise SourceError(f"{shown}: {error}", hint="write http://HOST:PORT") from error
    if not url.hostname or port == 0:
        raise SourceError(f"{shown}: no host to ask", hint="write http://HOST:PORT")
    if url.fragment:
        raise SourceError(f"{shown}: a fragment (#) means nothing here")
    return (url if url.path.strip("/") else url._replace(path=DEFAULT_PATH)).geturl()
