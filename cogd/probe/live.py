"""`cogd health --live`: one question to the running daemon, whose answer is printed as it comes.

The daemon makes the event lines itself. What stands before them says how many bytes they are and whether all is well;
there is one form of it, which is compared, so that nothing has to be parsed.
"""

from __future__ import annotations

import _socket
import time

from cogd.control.wire import MAX_ANSWER_BYTES, header
from cogd.probe.not_quick import NotQuick, Unheard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cogd.probe.options import Options

TIMEOUT_S = 5.0
"""From connecting to the end of the answer; the daemon gives its models 1 s."""


def prove(options: Options) -> int:
    """Print what the daemon says; returns 0 where all is well, else 1.

    Raises:
        NotQuick: there is no daemon, or no answer that can be taken as it is.
        OSError: standard output can't be written.
    """
    healthy, lines = ask(options.setting("control_socket"), options.app_id)
    return tell(lines, healthy=healthy)


def tell(lines: bytes, *, healthy: bool) -> int:
    """Print event lines; returns 0 where all is well, else 1, also where whoever read them has gone.

    Raises:
        OSError: standard output can't be written for another reason.
    """
    import os
    import sys

    try:
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0 if healthy else 1


def ask(path: str, app_id: str | None) -> tuple[bool, bytes]:
    """Whether all is well, and the event lines.

    Raises:
        NotQuick: that can't be an app's id.
        Unheard: no daemon listens, or it does not answer in this form.
    """
    if app_id is None:
        question = b'{"command":"health"}\n'
    elif app_id.isascii() and app_id.replace("-", "").isalnum():
        question = b'{"command":"health","app":"%s"}\n' % app_id.encode()
    else:
        raise NotQuick("that can't be an app's id")
    raw = bytearray()
    try:
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            deadline_s = time.monotonic() + TIMEOUT_S
            connection.settimeout(TIMEOUT_S)
            connection.connect(path)
            connection.send(question)
            while part := connection.recv(65536):
                raw += part
                connection.settimeout(max(0.001, deadline_s - time.monotonic()))
                if len(raw) > MAX_ANSWER_BYTES:
                    raise Unheard(f"{path}: the answer has more than {MAX_ANSWER_BYTES} bytes")
        finally:
            connection.close()
    except TimeoutError:
        raise Unheard(f"{path}: no answer within {TIMEOUT_S:g} s") from None
    except OSError as error:
        raise Unheard(f"{path}: {error.strerror or error}") from None
    head, _, lines = bytes(raw).partition(b"\n")
    for healthy in (True, False):
        if head + b"\n" == header(healthy=healthy, size=len(lines)):
            return healthy, lines
    raise Unheard(f"{path}: the answer is not event lines")
