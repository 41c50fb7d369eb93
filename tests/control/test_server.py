"""The control socket, spoken to byte by byte."""

import asyncio
import json
import os
import socket
import stat

import pytest

from cogd.control import server as control_module
from cogd.control.server import MAX_CONNECTIONS, ControlServer
from cogd.control.wire import MAX_ANSWER_BYTES, MAX_REQUEST_BYTES
from cogd.errors import CalibrationError, StorageError

PATIENCE_S = 10.0


class Answers:
    """What the daemon would do: answers at once, or when told to."""

    def __init__(self):
        self.asked = []
        self.last = None
        self.given_up = 0
        self.answer = {"apps": {}}
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, command):
        self.asked.append(type(command).__name__.lower())
        self.last = command
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def health(app_id):
    """What the daemon would say of its health."""
    return app_id == "well", b'{"event":"health.live"}\n{"event":"health.ok"}\n'


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s"


@pytest.fixture
async def server(path):
    made = []

    async def make(where=path):
        answers = Answers()
        made.append(ControlServer(where, answers, health))
        await made[-1].open()
        return answers, made[-1]

    yield make
    for each in made:
        await each.close()


async def say(path, data: bytes, *, end: bool = False) -> bytes:
    """Send bytes; what comes until the other side hangs up."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(data)
        if end:
            writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer


def refused(answer: bytes) -> str:
    assert answer.endswith(b"\n")
    decoded = json.loads(answer)
    assert (decoded["ok"], decoded["code"]) == (False, "control")
    return decoded["message"]


class TestARequest:
    async def test_is_answered_with_one_line_and_hung_up_on(self, server, path):
        answers, _ = await server()
        for command in ("reload", "status"):
            answer = await say(path, json.dumps({"command": command}).encode() + b"\n")
            assert json.loads(answer) == {"ok": True, "apps": {}}
            assert answer.count(b"\n") == 1
        assert answers.asked == ["reload", "status"]

    @pytest.mark.parametrize(("app", "healthy"), [("well", True), ("ill", False), (None, False)])
    async def test_for_the_health_is_answered_with_event_lines_behind_a_header(self, server, path, app, healthy):
        answers, _ = await server()
        request = {"command": "health"} | ({"app": app} if app else {})
        head, _, lines = (await say(path, json.dumps(request).encode() + b"\n")).partition(b"\n")
        assert lines == (await health(app))[1]
        assert json.loads(head) == {"ok": True, "healthy": healthy, "bytes": len(lines)}
        assert not answers.asked

    @pytest.mark.parametrize(
        "line",
        [
            b"\n",
            b"reload\n",
            b"[]\n",
            b"{}\n",
            b'{"command": "stop"}\n',
            b'{"command": 1}\n',
            b'{"command": "reload", "app": "x"}\n',
            b'{"command": "calibrate", "nodes": "a/1"}\n',
            b'{"command": "calibrate", "seconds": NaN}\n',
            b'{"command": "forget"}\n',
            b'{"command": "\xff"}\n',
            b"[" * 4000 + b"\n",
            bytes(200) + b"\n",
        ],
    )
    async def test_that_is_malformed_is_refused(self, server, path, line):
        answers, _ = await server()
        assert refused(await say(path, line)).startswith("bad request: ")
        assert not answers.asked

    async def test_that_is_too_long_is_refused(self, server, path):
        answers, _ = await server()
        line = b'{"command": "reload"' + b" " * MAX_REQUEST_BYTES + b"}\n"
        assert refused(await say(path, line)) == f"the request has more than {MAX_REQUEST_BYTES} bytes"
        assert refused(await say(path, b"x" * 10 * MAX_REQUEST_BYTES)) == (
            f"the request has more than {MAX_REQUEST_BYTES} bytes"
        )
        assert not answers.asked

    async def test_that_never_ends_is_refused_in_time(self, server, path, monkeypatch):
        monkeypatch.setattr(control_module, "IDLE_S", 0.02)
        await server()
        assert refused(await say(path, b'{"command"')) == "no request within 0.02 s"
        assert refused(await say(path, b"")) == "no request within 0.02 s"

    async def test_without_a_newline_is_refused(self, server, path):
        await server()
        assert refused(await say(path, b'{"command": "reload"}', end=True)) == (
            "the request does not end with a newline"
        )

    async def test_that_can_not_be_done_is_answered_with_the_error(self, server, path):
        answers, _ = await server()
        answers.answer = StorageError("the disk is gone", hint="buy one")
        answer = json.loads(await say(path, b'{"command": "reload"}\n'))
        assert answer == {"ok": False, "code": "storage", "message": "the disk is gone", "hint": "buy one"}

    async def test_whose_answer_is_too_long_is_refused(self, server, path):
        answers, _ = await server()
        answers.answer = {"apps": "x" * MAX_ANSWER_BYTES}
        assert refused(await say(path, b'{"command": "status"}\n')).startswith("the answer has more than")

    async def test_of_a_client_that_goes_away_hurts_nobody(self, server, path):
        answers, _ = await server()
        answers.gate.clear()
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"command": "reload"}\n')
        async with asyncio.timeout(PATIENCE_S):
            while not answers.asked:  # noqa: ASYNC110  # the server's task
                await asyncio.sleep(0)
        writer.close()
        await writer.wait_closed()
        answers.gate.set()
        assert json.loads(await say(path, b'{"command": "status"}\n'))["ok"]

    async def test_beyond_the_limit_is_refused_and_the_others_are_answered(self, server, path):
        answers, _ = await server()
        answers.gate.clear()
        others = [asyncio.create_task(say(path, b'{"command": "reload"}\n')) for _ in range(MAX_CONNECTIONS)]
        async with asyncio.timeout(PATIENCE_S):
            while len(answers.asked) < MAX_CONNECTIONS:  # noqa: ASYNC110  # the server's tasks
                await asyncio.sleep(0)
        assert refused(await say(path, b"")) == f"{MAX_CONNECTIONS} others are being answered"
        answers.gate.set()
        assert all(json.loads(answer)["ok"] for answer in await asyncio.gather(*others))
        assert json.loads(await say(path, b'{"command": "status"}\n'))["ok"]


class TestACalibration:
    async def test_is_asked_for_with_all_that_it_takes(self, server, path):
        answers, _ = await server()
        line = b'{"command": "calibrate", "nodes": ["a/1"], "app": "motion", "seconds": 5}\n'
        assert json.loads(await say(path, line))["ok"]
        assert (answers.last.nodes, answers.last.app, answers.last.seconds) == (("a/1",), "motion", 5.0)
        assert json.loads(await say(path, b'{"command": "calibrate"}\n'))["ok"]
        assert (answers.last.nodes, answers.last.app, answers.last.seconds) == ((), None, 10.0)

    async def test_that_is_refused_is_answered_with_the_error(self, server, path):
        answers, _ = await server()
        answers.answer = CalibrationError("something moved")
        answer = json.loads(await say(path, b'{"command": "calibrate"}\n'))
        assert (answer["ok"], answer["code"], answer["message"]) == (False, "calibration", "something moved")

    async def test_is_given_up_where_its_client_goes_away_and_holds_up_nobody(self, server, path):
        answers, _ = await server()
        answers.gate.clear()
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"command": "calibrate"}\n')
        async with asyncio.timeout(PATIENCE_S):
            while not answers.asked:  # noqa: ASYNC110  # the server's task
                await asyncio.sleep(0)
        assert (await say(path, b'{"command": "health", "app": "well"}\n')).startswith(b'{"ok":true')
        writer.close()
        async with asyncio.timeout(PATIENCE_S):
            while not answers.given_up:  # noqa: ASYNC110  # the server's task
                await asyncio.sleep(0)

    async def test_is_given_up_where_the_daemon_ends(self, server, path):
        answers, control = await server()
        answers.gate.clear()
        waiting = asyncio.create_task(say(path, b'{"command": "calibrate"}\n'))
        async with asyncio.timeout(PATIENCE_S):
            while not answers.asked:  # noqa: ASYNC110  # the server's task
                await asyncio.sleep(0)
        await control.close()
        assert await waiting == b""
        assert answers.given_up == 1


class TestTheSocket:
    async def test_is_for_its_user_and_group_alone_and_goes_with_the_daemon(self, server, path):
        _, control = await server()
        mode = path.lstat().st_mode
        assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o660)
        await control.close()
        assert not path.exists()

    async def test_of_a_daemon_that_was_killed_is_replaced(self, server, path):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        await server()
        assert json.loads(await say(path, b'{"command": "status"}\n'))["ok"]

    async def test_of_a_living_daemon_is_never_taken(self, server, path):
        first, _ = await server()
        second, other = await server()
        assert json.loads(await say(path, b'{"command": "status"}\n'))["ok"]
        assert (len(first.asked), second.asked) == (1, [])
        await other.close()
        assert path.exists()

    async def test_of_a_living_daemon_that_is_busy_is_never_taken(self, server, path):
        with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
            busy.bind(str(path))
            busy.listen(0)
            waiting.connect(str(path))
            before = path.lstat().st_ino
            await server()
            assert path.lstat().st_ino == before

    async def test_does_not_replace_anything_else(self, server, path):
        path.write_text("precious")
        await server()
        assert path.read_text() == "precious"

    async def test_that_is_another_daemons_by_now_is_left_there(self, server, path):
        _, control = await server()
        path.unlink()
        path.write_text("somebody else's")
        await control.close()
        assert path.read_text() == "somebody else's"

    async def test_is_done_without_where_its_folder_is_not_there_or_can_not_be_written(self, server, tmp_path):
        await server(tmp_path / "missing" / "s")
        await server(tmp_path / ("x" * 200))
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        if os.geteuid() != 0:
            await server(locked / "s")
            assert not list(locked.iterdir())

    async def test_hangs_up_on_who_still_waits_when_the_daemon_ends(self, server, path):
        answers, control = await server()
        answers.gate.clear()
        waiting = asyncio.create_task(say(path, b'{"command": "reload"}\n'))
        async with asyncio.timeout(PATIENCE_S):
            while not answers.asked:  # noqa: ASYNC110  # the server's task
                await asyncio.sleep(0)
        await control.close()
        assert await waiting == b""
