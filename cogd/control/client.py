"""Ask the running daemon: one request on its control socket. Needs nothing but the standard library."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

from cogd.control.wire import MAX_ANSWER_BYTES
from cogd.errors import ControlError, PermissionDeniedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def request(path: Path, command: Mapping[str, object], timeout_s: float) -> dict[str, Any] | None:
    """The daemon's answer, or None where no daemon listens.

    Args:
        path: of the control socket.
        command: such as `{"command": "status"}`; docs/architecture.md describes all, and the answers.
        timeout_s: how long it may take from connecting to the end of the answer.

    Raises:
        PermissionDeniedError: this user may not connect.
        ControlError: the daemon did not answer in time, or not as it should, or it refused; then with its own hint, and
            with `refusal` and `said`.
    """
    deadline_s = time.monotonic() + timeout_s
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            try:
                connection.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
                return None
            connection.sendall(json.dumps(command).encode() + b"\n")
            raw = _read(connection, deadline_s)
    except PermissionError as error:
        raise PermissionDeniedError(f"{path}: {error.strerror}") from error
    except TimeoutError as error:
        raise ControlError(f"{path}: no answer within {timeout_s:g} s") from error
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror or error}") from error
    return _parse(path, raw)


def _read(connection: socket.socket, deadline_s: float) -> bytes:
    """One line, or what comes until the other side hangs up."""
    raw = bytearray()
    while len(raw) <= MAX_ANSWER_BYTES and not raw.endswith(b"\n"):
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        part = connection.recv(65536)
        if not part:
            break
        raw += part
    return bytes(raw)


def _parse(path: Path, raw: bytes) -> dict[str, Any]:
    if not raw:
        raise ControlError(f"{path}: the daemon hung up without an answer")
    if len(raw) > MAX_ANSWER_BYTES or not raw.endswith(b"\n"):
        raise ControlError(f"{path}: the answer is cut short or too long")
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ControlError(f"{path}: the answer is not JSON: {error}") from error
    if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
        raise ControlError(f"{path}: the answer is not a daemon's")
    if not answer["ok"]:
        hint = answer.get("hint")
        refused = ControlError(
            f"the daemon refused: {answer.get('code')}: {answer.get('message')}",
            hint=hint if isinstance(hint, str) else None,
        )
        refused.refusal, refused.said = str(answer.get("code")), str(answer.get("message"))
        raise refused
    return answer
