import json
import re

import pytest
import torch

from cogd.train import device as device_module
from cogd.train import load
from cogd.train.config import TrainConfig
from cogd.train.configfile import changed
from cogd.train.heads.pose.config import RECIPE as POSE
from cogd.train.loop import Loop
from tests.train.factory import TINY, run_cli

pytestmark = pytest.mark.train

QUICK = ("--rooms", "2", "--minutes", "0.4", "--nodes", "1")


def told(out: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z ]+): +(.*)$", out, re.MULTILINE))


@pytest.mark.parametrize(("verb", "parameters"), [("pose", 126_562), ("count", 97_737)])
def test_a_dry_run_says_what_a_run_would_take_and_writes_nothing(tmp_path, monkeypatch, verb, parameters):
    monkeypatch.chdir(tmp_path)

    ran = run_cli(verb, "--dry-run", *QUICK, "--device", "cpu", "--batch-size", "8")

    assert ran.status == 0, ran.err
    said = told(ran.out)
    assert said["head"] == f"{verb}, network {verb}_v1, {parameters} parameters"
    assert said["first step"].startswith("8 windows in ")
    assert re.fullmatch(r"\d+ train, \d+ calibrate, \d+ test", said["parts"])
    assert "4480 bytes a window" in said["memory"]
    weights_mib = float(re.search(r"([\d.]+) MiB weights", said["memory"])[1])
    assert weights_mib == pytest.approx(5 * 4 * parameters / 2**20, abs=0.06)
    assert ran.out.endswith("a dry run: nothing was written\n")
    assert list(tmp_path.iterdir()) == []


def test_what_the_way_back_needs_is_measured():
    """A batch four times as large keeps four times as much."""
    kept = []
    for batch in (4, 16):
        ran = run_cli("count", "--dry-run", *QUICK, "--device", "cpu", "--batch-size", batch)
        memory = told(ran.out)["memory"]
        kept.append(int(re.search(r"\((\d+) bytes a window of the batch\)", memory)[1]))
        # activations of the three convolutions alone are 20 x (64 + 128 + 128) floats
        assert kept[-1] > 20 * (64 + 128 + 128) * 4

    assert kept[0] == pytest.approx(kept[1], rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--set", "model.net=nothing"), 2, "there is no network nothing"),
        (("--set", "loss.nll=1.0"), 2, "pose_v1 does not give log_scale"),
        (("--set", "loss.heatmap=1.0"), 2, "pose_v1 does not give heatmaps"),
        (("--set", "split.kind=subject"), 30, "don't tell their subject"),
        (("--set", "split.kind=random"), 2, "needs split.allow_leaky"),
        (("--set", "data.spec=nothing:here"), 2, "is not a data set"),
        (("--set", 'data.also=["nothing:here"]'), 2, "is not a data set"),
        (("--set", 'data.also=["sim"]'), 2, "is not a data set"),
        (("--set", 'data.also=["recording:/nowhere"]'), 30, "/nowhere"),
        (("--set", "data.held_out=recording:/nowhere"), 30, "/nowhere"),
        (("--set", "data.held_out=sim:rooms=1&room=attic"), 30, "has no room 'attic'"),
        (("--set", "data.held_out=sim:rooms=1&minutes=0.01&rate=1"), 30, "has not a single window"),
        (("--persons", "0"), 30, "no window of the data has a usable label"),
    ],
)
def test_a_dry_run_finds_what_a_run_would_find(arguments, status, message):
    ran = run_cli("pose", "--dry-run", *QUICK, "--device", "cpu", *arguments)

    assert (ran.status, message in ran.err) == (status, True), ran.err


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("data.frames=9", "data.frames is 9, and motion_v1 needs windows of 10 columns or more"),
        ("model.net=nothing", "there is no network nothing"),
    ],
)
@pytest.mark.parametrize("how", [("--dry-run",), ("--out", "run")])
def test_a_network_that_can_not_be_is_refused_before_anything_is_simulated(monkeypatch, tmp_path, key, message, how):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "cut_windows", lambda *_, **__: pytest.fail("it began to simulate"))
    ran = run_cli("motion", *how, *QUICK, "--set", key)

    assert (ran.status, message in ran.err) == (2, True), ran.err


TWELVE = ("--rooms", "12", "--minutes", "0.2", "--nodes", "1", "--device", "cpu", "--set", "split.kind=room")


@pytest.mark.parametrize("tests", [["simulated room 102009"], ["simulated room 10200*"], ["* 102001", "* 102003"]])
@pytest.mark.parametrize("calibrates", [0.1, ["*11"]])
def test_a_dry_run_knows_all_rooms_of_the_plan_and_the_seed(tests, calibrates):
    split = ("--set", f"split.test={json.dumps(tests)}", "--set", f"split.calibration={json.dumps(calibrates)}")
    ran = run_cli("pose", "--dry-run", *TWELVE, "--seed", "2", *split)

    assert ran.status == 0, ran.err
    assert "rooms 102000 to 102011" in told(ran.out)["data"]


@pytest.mark.parametrize("part", ["test", "calibration"])
@pytest.mark.parametrize("how", [("--dry-run",), ("--out", "run")])
def test_a_room_that_there_is_not_is_told_before_anything_is_simulated(monkeypatch, tmp_path, part, how):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "cut_windows", lambda *_, **__: pytest.fail("it began to simulate"))
    ran = run_cli("pose", *how, *TWELVE, "--set", f"split.{part}=['simulated room 100012']")

    assert (ran.status, f"no room 'simulated room 100012' for the {part} part" in ran.err) == (30, True), ran.err
    assert "simulated room 100007 and 4 more" in ran.err


def test_a_dry_run_simulates_for_long_enough_to_cut_long_windows_by_time():
    keys = ("data.frames=100", "split.test=0.2", "split.calibration=0.2")
    ran = run_cli("pose", "--dry-run", *QUICK[:2], *QUICK[4:], "--device", "cpu", *(f"--set={key}" for key in keys))

    assert ran.status == 0, ran.err


def test_a_little_of_many_recordings_has_some_of_each_name():
    config = changed(POSE, {"split.kind": "session", "split.test": ["room 77, *"], "split.calibration": ["room 8?, *"]})
    opened = load._open("sim:rooms=90&persons=1&minutes=0.1&nodes=1", config, "a little")
    sessions = [one.session.partition(",")[0] for one in opened.only(64, config.split).found.listed]

    assert len(sessions) == 64
    assert "room 77" in sessions
    assert len({"room 80", "room 89"} & set(sessions)) == 2
    assert len([one for one in sessions if re.fullmatch(r"room 8\d", one)]) == 2


def dry_espectre(data, *arguments):
    named = (part for argument in arguments for part in ("--set", argument))
    return run_cli("motion", "--dry-run", "--device", "cpu", "--set", f"data.spec=espectre:{data / 'espectre'}", *named)


@pytest.mark.parametrize("key", ["split.kind=session", "split.calibration_by=session"])
def test_a_part_that_can_not_calibrate_motion_is_refused_before_training(data, tmp_path, monkeypatch, key):
    monkeypatch.setattr(Loop, "run", lambda *_, **__: pytest.fail("it began to train"))
    dry = dry_espectre(data, key)
    spec = f"data.spec=espectre:{data / 'espectre'}"
    real = run_cli("motion", "--out", tmp_path / "run", "--device", "cpu", "--set", spec, "--set", key)

    for ran in (dry, real):
        assert (ran.status, "no node of the calibration part" in ran.err) == (30, True), ran.err
        assert "split.calibration=0.5" in ran.err
        assert "split.calibration=['*_c6_*']" in ran.err


def test_what_the_hints_say_works_where_a_file_is_quiet_or_moving_throughout(data):
    refused = dry_espectre(data)

    assert (refused.status, "split.calibration_by=session with split.calibration=0.5" in refused.err) == (30, True)
    for keys in (
        ("split.calibration_by=session", "split.calibration=0.5"),
        ("split.kind=session", "split.calibration=0.5"),
        ("split.kind=session", "split.calibration=['*_c6_*']"),
        ("split.calibration_by=session", "split.calibration=['*_c6_*']"),
        ("split.kind=time", "split.calibration=0.3"),
    ):
        ran = dry_espectre(data, *keys)
        assert ran.status == 0, ran.err


def test_a_dry_run_reads_a_little_of_every_data_set(monkeypatch):
    read = []
    cut = load.cut_windows

    def counted(dataset, *arguments, **named):
        read.append((dataset.name.partition(",")[0], len(dataset.listed)))
        return cut(dataset, *arguments, **named)

    monkeypatch.setattr(load, "cut_windows", counted)
    also = 'data.also=["sim:rooms=9&persons=1&minutes=0.3&nodes=1"]'
    held_out = "data.held_out=sim:rooms=7&first_room=50&persons=1&minutes=0.3&nodes=1"
    ran = run_cli("pose", "--dry-run", *QUICK, "--device", "cpu", "--set", also, "--set", held_out)

    assert ran.status == 0, ran.err
    assert [count for _, count in read] == [2, 4, 4]
    assert [name for name, _ in read[1:]] == ["cogd simulator: rooms 0 to 8", "cogd simulator: rooms 50 to 56"]
    said = told(ran.out)
    assert re.search(r"; \d+ of them further data that only train$", said["windows"])
    assert re.match(
        r"cogd simulator: rooms 50 to 56.*; of this part of it \d+ windows, \d+ with a label$", said["held out"]
    )


@pytest.mark.parametrize("key", ["data.also", "data.held_out"])
def test_a_run_finds_what_is_misspelt_before_it_simulates(tmp_path, monkeypatch, key):
    monkeypatch.setattr(load, "cut_windows", lambda *_, **__: pytest.fail("it began to simulate"))
    value = "recording:/nowhere" if key == "data.held_out" else '["recording:/nowhere"]'
    ran = run_cli("pose", "--out", tmp_path / "run", *TINY, "--set", f"{key}={value}")

    assert (ran.status, "/nowhere" in ran.err) == (30, True)


def test_a_run_needs_a_directory():
    ran = run_cli("pose", *TINY)

    assert (ran.status, "there is no run directory" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("can", "refused"),
    [({"avx512_bf16": True}, False), ({"amx_bf16": True}, False), ({"avx512_f": True}, True), ({}, True)],
)
def test_bf16_is_refused_where_the_processor_has_none(monkeypatch, can, refused):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)

    ran = run_cli("pose", "--dry-run", *QUICK, "--device", "cpu", "--set", "train.precision=bf16")

    assert (ran.status == 2) == refused
    assert ("this CPU has neither avx512_bf16 nor amx_bf16" in ran.err) == refused


def test_bf16_is_refused_on_a_gpu_that_only_emulates_it(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **how: asked.append(how) or False)

    with pytest.raises(device_module.ConfigError, match="this GPU has no bf16"):
        device_module.check_bf16(torch.device("cuda"))

    assert asked == [{"including_emulation": False}]
    assert TrainConfig().precision == "fp32"
