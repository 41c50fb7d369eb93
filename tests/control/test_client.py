"""The client of the control socket, against sockets that answer well, badly, late or not at all."""

import os
import socket
import subprocess
import sys
import threading

import pytest

from cogd.control.client import request
from cogd.control.wire import MAX_ANSWER_BYTES
from cogd.errors import ControlError, PermissionDeniedError

STATUS = {"command": "status"}


@pytest.fixture
def daemon(tmp_path):
    """A socket that answers one request with given bytes; None: never. Gives its path and what it was asked."""
    ends = []

    def make(answer: bytes | None):
        path, asked, over = tmp_path / "s", [], threading.Event()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()

        def serve():
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(4096))
                if answer is None:
                    over.wait(10)
                else:
                    connection.sendall(answer)
                    if answer.endswith(b"\n"):
                        over.wait(10)  # an answer is over at its newline, whoever hangs up first

        thread = threading.Thread(target=serve)
        thread.start()
        ends.append((over, thread, listener))
        return path, asked

    yield make
    for over, thread, listener in ends:
        over.set()
        thread.join(10)
        listener.close()


def test_a_request_is_one_line_and_the_answer_comes_back(daemon):
    path, asked = daemon(b'{"ok": true, "ticks": 7}\n')
    assert request(path, STATUS, 5) == {"ok": True, "ticks": 7}
    assert asked == [b'{"command": "status"}\n']


def test_where_nobody_listens_there_is_no_answer(tmp_path):
    assert request(tmp_path / "s", STATUS, 5) is None
    assert request(tmp_path / "missing" / "s", STATUS, 5) is None
    (tmp_path / "file").touch()
    assert request(tmp_path / "file" / "s", STATUS, 5) is None
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    assert request(tmp_path / "dead", STATUS, 5) is None


def test_a_refusal_is_an_error_with_the_daemons_hint(daemon):
    path, _ = daemon(b'{"ok": false, "code": "storage", "message": "the disk is gone", "hint": "buy one"}\n')
    with pytest.raises(ControlError, match="the daemon refused: storage: the disk is gone") as caught:
        request(path, STATUS, 5)
    assert caught.value.hint == "buy one"
    assert (caught.value.refusal, caught.value.said) == ("storage", "the disk is gone")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "hung up without an answer"),
        (b'{"ok": true', "cut short"),
        (b"nonsense\n", "not JSON"),
        (b"[" * 100_000 + b"\n", "not JSON"),
        (b"\xff\n", "not JSON"),
        (b"[]\n", "not a daemon's"),
        (b"{}\n", "not a daemon's"),
        (b'{"ok": 1}\n', "not a daemon's"),
        (b" " * (MAX_ANSWER_BYTES + 10) + b"\n", "too long"),
    ],
)
def test_an_answer_that_is_none_is_an_error(daemon, answer, message):
    path, _ = daemon(answer)
    with pytest.raises(ControlError, match=message):
        request(path, STATUS, 5)


def test_a_daemon_that_does_not_answer_is_not_waited_for_longer_than_asked(daemon):
    path, _ = daemon(None)
    with pytest.raises(ControlError, match=r"no answer within 0\.05 s"):
        request(path, STATUS, 0.05)


def test_a_path_that_is_too_long_is_an_error(tmp_path):
    with pytest.raises(ControlError, match="too long"):
        request(tmp_path / ("x" * 200), STATUS, 5)


def test_a_socket_that_may_not_be_used_is_an_error_of_its_own(daemon, tmp_path, monkeypatch):
    path, _ = daemon(b'{"ok": true}\n')
    if os.geteuid() != 0:
        path.chmod(0)
    else:  # nothing is forbidden to root

        class Forbidden(socket.socket):
            def connect(self, address):
                raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("cogd.control.client.socket.socket", Forbidden)
    with pytest.raises(PermissionDeniedError, match="Permission denied"):
        request(path, STATUS, 5)
    monkeypatch.undo()
    path.chmod(0o600)
    assert request(path, STATUS, 5) == {"ok": True}


def test_it_needs_nothing_but_the_standard_library():
    code = (
        "import sys; before = set(sys.modules); import cogd.control.client;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
        ";print('asyncio' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.splitlines() == ["cogd", "False"]
