import json
import os
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from cogd.errors import TrainError
from cogd.train.report.log import Entry, FinishedRun, append, read
from tests.train.factory import train

pytestmark = pytest.mark.train

RUN = FinishedRun(
    folder="run",
    head="count",
    config="ab" * 32,
    device="cpu",
    threads=1,
    data=[],
    split="in order",
    split_digest="cd" * 32,
    leaky=False,
    windows={"train": 3},
    metrics=[],
)


def test_lines_are_added_and_what_is_there_stays(tmp_path):
    log = tmp_path / "training.jsonl"
    append(log, Entry.now(RUN))
    before = log.read_bytes()
    append(log, Entry.now(msgspec.structs.replace(RUN, folder="other")))

    assert log.read_bytes().startswith(before)
    assert [entry.run.folder for entry in read(log)] == ["run", "other"]


def test_an_entry_says_when_where_and_with_what():
    entry = Entry.now(RUN)

    assert entry.date.endswith("Z")
    assert {"cogd", "torch", "numpy", "onnxruntime"} <= entry.machine.versions.keys()
    assert entry.machine.cores >= 1


def test_many_at_once_lose_nothing(tmp_path):
    log = tmp_path / "training.jsonl"
    entry = Entry.now(RUN)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: append(log, entry), range(64)))

    assert read(log) == [entry] * 64


def test_a_line_that_was_cut_off_is_not_written_on(tmp_path):
    log = tmp_path / "training.jsonl"
    append(log, Entry.now(RUN))
    log.write_bytes(log.read_bytes()[:-5])
    before = log.read_bytes()

    with pytest.raises(TrainError, match="its last line was cut off"):
        append(log, Entry.now(RUN))
    assert log.read_bytes() == before


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path, monkeypatch):
    log = tmp_path / "training.jsonl"
    append(log, Entry.now(RUN))
    before, write, room = log.read_bytes(), os.write, [10]

    def write_until_full(opened: int, content: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        written = write(opened, content[: room[0]])
        room[0] = 0
        return written

    monkeypatch.setattr(os, "write", write_until_full)
    with pytest.raises(TrainError, match="No space left") as caught:
        append(log, Entry.now(RUN))

    assert caught.value.hint == "nothing was added"
    assert log.read_bytes() == before


def test_what_is_no_log_is_refused_with_the_line(tmp_path):
    (tmp_path / "log").write_text(json.dumps({"format": "something"}) + "\n")

    with pytest.raises(TrainError, match="line 1 is not an entry"):
        read(tmp_path / "log")
    with pytest.raises(TrainError, match="can't be read"):
        read(tmp_path / "none")


def test_a_run_adds_its_figures(count_run):
    entries = read(count_run.parent / "training.jsonl")
    (entry,) = [entry for entry in entries if entry.run.folder == count_run.name]
    report = json.loads((count_run / "report.json").read_bytes())

    assert [msgspec.to_builtins(metric) for metric in entry.run.metrics] == report["metrics"]
    assert entry.run.split_digest == report["split_digest"]
    assert entry.run.windows == report["windows"]


def test_the_log_may_be_elsewhere(tmp_path):
    train("pose", tmp_path / "run", "--log", tmp_path / "elsewhere.jsonl")

    (entry,) = read(tmp_path / "elsewhere.jsonl")
    assert entry.run.folder == "run"
    assert entry.run.config == json.loads((tmp_path / "run" / "report.json").read_bytes())["config_digest"]
    assert not (tmp_path / "training.jsonl").exists()
