import asyncio
import io
import json
import math

import numpy as np
import pytest

from cogd.csi.frame import Origin
from cogd.errors import SourceError
from cogd.sources.base import SourceOptions
from cogd.sources.replay import MAX_LINE_BYTES, MAX_SILENCE_S, Pace, ReplaySource

from .conftest import running, url

IQ = np.arange(-64, 64, dtype=np.int8).reshape(64, 2)


def line(time_s: float, node_id: int = 1) -> bytes:
    message = {"timestamp": time_s, "node_id": node_id, "type": "raw_csi", "iq_hex": IQ.tobytes().hex()}
    return json.dumps(message).encode() + b"\n"


def source_of(text: str, clock) -> ReplaySource:
    return ReplaySource("tape", url(text), SourceOptions(clock=clock))


@pytest.fixture
def tape(tmp_path):
    """Writes a recording and returns its URL."""

    def write(*lines: bytes, speed: str = "max") -> str:
        path = tmp_path / "tape.csi.jsonl"
        path.write_bytes(b"".join(lines))
        return f"replay:{path}?speed={speed}"

    return write


async def test_a_recording_becomes_replayed_frames(tape, heard, clock):
    await source_of(tape(line(100.5), line(100.75, node_id=2)), clock).run(heard)
    first, second = heard.frames
    assert (first.node, first.time_s, first.origin) == ("tape/1", 100.5, Origin.REPLAYED)
    assert (first.arrival_s, first.bins, first.rssi_dbm) == (50.0, 64, None)
    assert (second.node, second.time_s) == ("tape/2", 100.75)
    np.testing.assert_array_equal(first.iq, IQ)
    assert heard.told == ["up"]


async def test_what_is_not_csi_is_counted_and_passed_over(tape, heard, clock):
    lines = [
        b"rubbish\n",
        b"\n",
        b'{"magic": "0xC5110002"}\n',
        line(1.0),
        line(2.0)[:50] + b"\n",
        line(3.0).replace(b"0xC5", b""),
        b"\xff\xfe\n",
        line(4.0).rstrip(),  # the last line has no end
    ]
    await source_of(tape(*lines), clock).run(heard)
    assert [frame.time_s for frame in heard.frames] == [1.0, 3.0, 4.0]
    assert heard.counts == {"malformed": 3, "blank": 1, "vitals": 1}


async def test_a_line_without_end_is_one_malformed_line(tape, heard, clock):
    long = b'{"iq_hex":"' + b"0" * (3 * MAX_LINE_BYTES) + b'"}\n'
    exact = b" " * (MAX_LINE_BYTES - 1) + b"\n"
    await source_of(tape(long, line(1.0), exact, line(2.0), long[:-1]), clock).run(heard)
    assert [frame.time_s for frame in heard.frames] == [1.0, 2.0]
    assert heard.counts == {"malformed": 2, "blank": 1}


async def test_snapshots_that_are_repeated_are_played_once(tape, heard, clock):
    node = {"node_id": 4, "amplitude": [1.5] * 56, "subcarrier_count": 64, "rssi_dbm": -30}
    first = json.dumps({"timestamp": 1.0, "tick": 1, "source": "esp32", "nodes": [node]}).encode() + b"\n"
    second = first.replace(b'"tick": 1', b'"tick": 2').replace(b"esp32", b"simulated")
    await source_of(tape(first, first, first, second), clock).run(heard)
    assert [frame.origin for frame in heard.frames] == [Origin.REPLAYED, Origin.SIMULATED]
    assert heard.counts == {"repeated_snapshot": 2}


# --- pace ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("speed", "waits"), [("1", [0.5, 0.25]), ("2", [0.25, 0.125]), ("0.5", [1.0, 0.5]), ("max", [])]
)
async def test_speed(tape, heard, clock, speed, waits):
    await source_of(tape(line(100.0), line(100.5), line(100.75), speed=speed), clock).run(heard)
    assert clock.slept == pytest.approx(waits)
    assert [frame.arrival_s - 50.0 for frame in heard.frames] == pytest.approx(
        np.cumsum([0.0, *waits]) if waits else [0] * 3
    )


def test_the_speed_is_one_if_not_given(clock):
    assert source_of("replay:x", clock)._pace.wait_s(5.0, 0.0) == 0.0
    pace = source_of("replay:x", clock)._pace
    pace.wait_s(5.0, 0.0)
    assert pace.wait_s(6.0, 0.0) == 1.0


def test_pace_does_not_drift_and_catches_up():
    pace = Pace(1.0)
    assert pace.wait_s(100.0, 10.0) == 0.0
    assert pace.wait_s(101.0, 10.4) == pytest.approx(0.6)
    assert pace.wait_s(102.0, 13.0) == 0.0  # late: no wait
    assert pace.wait_s(104.0, 13.0) == pytest.approx(1.0)


@pytest.mark.parametrize("step_s", [-2.0, -1e9, MAX_SILENCE_S + 1, 1e9])
def test_a_clock_that_was_set_is_not_waited_for(step_s):
    pace = Pace(1.0)
    pace.wait_s(1e9 + 1, 10.0)
    assert pace.wait_s(1e9 + 1 + step_s, 10.0) == 0.0
    assert pace.wait_s(1e9 + 2 + step_s, 10.0) == pytest.approx(1.0)


@pytest.mark.parametrize("step_s", [-0.9, 0.0, MAX_SILENCE_S])
def test_late_frames_and_silences_keep_the_pace(step_s):
    pace = Pace(1.0)
    pace.wait_s(1000.0, 10.0)
    assert pace.wait_s(1000.0 + step_s, 10.0) == max(0.0, step_s)
    assert pace.wait_s(1000.0 + step_s + 1.0, 10.0) == pytest.approx(step_s + 1.0)


async def test_the_loop_is_not_blocked_by_a_long_recording(tape, heard, clock):
    source = source_of(tape(*(line(n / 100) for n in range(2000))), clock)
    turns = 0
    task = asyncio.create_task(source.run(heard))
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    await task
    assert len(heard.frames) == 2000
    assert turns > 2000 / 64


async def test_a_full_intake_is_waited_for(tape, clock, heard):
    room = asyncio.Semaphore(3)

    async def put(frame):
        await room.acquire()
        heard.offer(frame)

    heard.put = put
    source = source_of(tape(*(line(n / 100) for n in range(10))), clock)
    async with running(source, heard) as task:
        await heard.until(lambda: len(heard.frames) == 3)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(heard.frames) == 3
        for _ in range(6):
            room.release()
        await heard.until(lambda: len(heard.frames) == 9)
        assert not task.done()


async def test_it_can_be_cancelled_while_it_waits(tape, heard):
    source = ReplaySource("tape", url(tape(line(0.0), line(50.0), speed="1")), SourceOptions())
    async with running(source, heard):
        await heard.until(lambda: len(heard.frames) == 1)


# --- paths and parameters --------------------------------------------------------------------------------------


async def test_paths(tmp_path, heard, clock, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b#c.jsonl").write_bytes(line(1.0))
    for text in (
        "replay:a%20b%23c.jsonl",
        f"replay:{tmp_path}/a%20b%23c.jsonl",
        f"replay://{tmp_path}/a%20b%23c.jsonl?speed=max",
        "replay:./a b%23c.jsonl?speed=1e3",
    ):
        await source_of(text, clock).run(heard)
    assert len(heard.frames) == 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("replay:", "no file"),
        ("replay:?speed=1", "no file"),
        ("replay:a%00b", "no file"),
        ("replay://tape.jsonl", "host"),
        ("replay://folder/tape.jsonl", "host"),
        ("replay:tape.jsonl#2", "fragment"),
        ("replay:tape.jsonl?sped=1", "'sped'"),
        ("replay:tape.jsonl?speed=1&loop=1", "'loop'"),
        ("replay:tape.jsonl?loop", "'loop'"),
        ("replay:tape.jsonl?speed=1&speed=2", "twice"),
        ("replay:tape.jsonl?speed=", "speed ''"),
        ("replay:tape.jsonl?speed=0", "speed '0'"),
        ("replay:tape.jsonl?speed=-1", "speed '-1'"),
        ("replay:tape.jsonl?speed=inf", "speed 'inf'"),
        ("replay:tape.jsonl?speed=nan", "speed 'nan'"),
        ("replay:tape.jsonl?speed=fast", "speed 'fast'"),
    ],
)
def test_urls_that_are_wrong(text, told, clock):
    with pytest.raises(SourceError, match=told):
        source_of(text, clock)


def test_an_unknown_parameter_is_answered_with_the_known_ones(clock):
    with pytest.raises(SourceError, match="'sped'; the known ones are speed"):
        source_of("replay:x?sped=1", clock)


async def test_a_file_that_is_not_there(tmp_path, heard, clock):
    with pytest.raises(SourceError, match=r"gone\.jsonl: No such file"):
        await source_of(f"replay:{tmp_path}/gone.jsonl", clock).run(heard)


async def test_a_path_that_is_no_file(tmp_path, heard, clock):
    for path in (tmp_path, "/dev/null"):
        with pytest.raises(SourceError, match=f"{path}: not a file"):
            await source_of(f"replay:{path}", clock).run(heard)


async def test_a_file_that_can_not_be_read(tape, heard, clock, monkeypatch):
    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    text = tape(line(1.0))
    monkeypatch.setattr("pathlib.Path.open", denied)
    with pytest.raises(SourceError, match=r"tape\.csi\.jsonl: Permission denied"):
        await source_of(text, clock).run(heard)


async def test_a_disk_that_fails(tape, heard, clock, monkeypatch):
    class Failing(io.BytesIO):
        def readline(self, size=-1):
            raise OSError(5, "Input/output error")

    text = tape(line(1.0))
    monkeypatch.setattr("pathlib.Path.open", lambda *args: Failing())
    with pytest.raises(SourceError, match=r"tape\.csi\.jsonl: Input/output error"):
        await source_of(text, clock).run(heard)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "it is empty"),
        ([b"\n", b"rubbish\n", b"rubbish\n"], "1 blank, 2 malformed"),
        ([b'{"magic": "0xC5110002"}\n'], "1 vitals"),
    ],
)
async def test_a_file_without_csi(tape, heard, clock, lines, told):
    with pytest.raises(SourceError, match=rf"tape\.csi\.jsonl: no CSI in it \({told}\)"):
        await source_of(tape(*lines), clock).run(heard)
    assert heard.told == []


# --- a real recording ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", ["max", "1"])
async def test_the_real_recording(data, heard, clock, speed):
    await source_of(f"replay:{data}/ruview/pretrain-1775182186.csi.jsonl?speed={speed}", clock).run(heard)
    assert len(heard.frames) == 5309
    assert heard.counts == {"vitals": 236, "features": 236, "compressed_csi": 2}
    assert {frame.node for frame in heard.frames} == {"tape/1", "tape/2"}
    span_s = heard.frames[-1].time_s - heard.frames[0].time_s
    assert math.isclose(sum(clock.slept), span_s if speed == "1" else 0.0, abs_tol=1e-3)
