"""Every command of the README is run, as written, in a shell."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from cogd.cli import VERBS
from cogd.errors import RegressionError, UnknownPlatformError
from cogd.train.cli import verbs as train_verbs

from .recording import NAME

pytestmark = [pytest.mark.train, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent
SMALL = " --rooms 2 --held-out-rooms 1 --minutes 0.5 --epochs 2"
"""A whole training run takes minutes; the commands are run as written but for these."""


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def shortened(command: str, server_port: int) -> str:
    """The same command, made to end soon and to use ports that are free."""
    command = command.replace("0.0.0.0:5005", "127.0.0.1:0").replace("127.0.0.1:3000", f"127.0.0.1:{server_port}")
    if command.startswith("cogd run") and "--duration" not in command:
        return command + " --duration 1.5"
    if re.match(r"cogd-train (pose|count) ", command):
        return command + SMALL
    if command.startswith("cogd-train motion "):  # its parts are whole rooms
        return command + SMALL.replace("--rooms 2", "--rooms 8")
    return command


FAKE_SSH = """#!/bin/sh
# The other machine is this one, with other folders. (test_ssh.py has a real server.)
shift
export COGD_APPS_DIR=there/apps COGD_TRUST_DIR=trust
exec sh -c "$*"
"""


@pytest.fixture
def readme_folder(tmp_path, data, sensing_server) -> Path:
    """A folder with the files that the README's commands name."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh").write_text(FAKE_SSH)
    (tmp_path / "bin" / "ssh").chmod(0o755)
    shutil.copy(data / "ruview/pose-estimation/pose_v1.safetensors", tmp_path)
    shutil.copy(data / "ruview/person-count/count_v1.safetensors", tmp_path)
    shutil.copy(data / NAME, tmp_path / "today.csi.jsonl")
    (tmp_path / "token.txt").write_text("secret\n")
    return tmp_path


@pytest.fixture
def sensing_server():
    """A sensing server that has no data yet; its port."""

    async def no_data(_request: web.Request) -> web.Response:
        return web.json_response({"status": "no data yet"})

    async def serve(ready, done) -> None:
        app = web.Application()
        app.router.add_get("/api/v1/sensing/latest", no_data)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
        ready.set()
        await asyncio.to_thread(done.wait)
        await runner.cleanup()

    import threading

    ready, done = threading.Event(), threading.Event()
    ports: list[int] = []
    thread = threading.Thread(target=lambda: asyncio.run(serve(ready, done)))
    thread.start()
    assert ready.wait(10)
    yield ports[0]
    done.set()
    thread.join()


def environment(first: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{first}:{BIN}:{os.environ['PATH']}"}


def run_as_a_reader(command: str, folder: Path, sensing_server: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", shortened(command, sensing_server)],
        cwd=folder,
        env=environment(folder / "bin"),
        capture_output=True,
        timeout=300,
        check=False,
    )


def test_every_command_of_the_readme_works(readme_folder, sensing_server):
    ours = [command for command in commands() if not command.startswith("make ")]
    assert len(ours) > 15
    for command in ours:
        done = run_as_a_reader(command, readme_folder, sensing_server)
        if "--against" in command and done.returncode == RegressionError.exit_status:
            # Two benches of ten seconds may differ by more than a regression; what the hint advises must then help.
            assert f"hint: {RegressionError.hint}".encode() in done.stderr
            done = run_as_a_reader(command, readme_folder, sensing_server)
        usual = {0, UnknownPlatformError.exit_status} if command == "cogd-train proof" else {0}
        assert done.returncode in usual, f"{command}\n{done.stdout.decode()[-2000:]}\n{done.stderr.decode()[-2000:]}"
        if command.startswith("cogd run"):
            events = [json.loads(line) for line in done.stdout.splitlines()]
            assert [events[0]["event"], events[-1]["event"]] == ["run.started", "run.stopped"], command


def test_make_run_shows_all_events_and_ends_on_ctrl_c():
    assert "make run" in commands()
    daemon = subprocess.Popen(
        ["make", "--silent", "run", f"VENV={sys.prefix}"], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    )
    seen = set()
    try:
        for line in daemon.stdout:
            seen.add(json.loads(line)["event"])
            if {"pose.frame", "motion", "count"} <= seen:
                break
    finally:
        os.killpg(daemon.pid, signal.SIGINT)
        rest = daemon.communicate(timeout=20)[0]
    assert {"pose.frame", "motion", "count"} <= seen
    assert json.loads(rest.splitlines()[-1])["event"] == "run.stopped"


def test_make_test_is_what_runs_this():
    assert "make test" in commands()
    assert "pytest" in (ROOT / "Makefile").read_text()
    assert "make test" in (ROOT / ".ci/run").read_text()


def test_every_verb_is_in_the_readme():
    for program, verbs in (("cogd", VERBS), ("cogd-train", train_verbs())):
        for verb in verbs:
            assert f"$ {program} {verb}" in README, f"{program} {verb} is not in the README"


def test_the_readme_shows_real_events():
    """The screen's lines are events that this program emits, with all their fields."""
    from cogd.events.registry import known_events

    lines = [json.loads(line) for line in README.splitlines() if line.startswith('{"ts"')]
    assert {"run.started", "pose.frame", "motion", "count", "count.fused", "run.stopped"} <= {
        line["event"] for line in lines
    }
    kinds = known_events()
    for line in lines:
        assert set(line["fields"]) == set(kinds[line["event"]].__struct_fields__)
