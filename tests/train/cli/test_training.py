import dataclasses
import json
import shutil

import pytest

from cogd.errors import TrainError
from cogd.train import load, rundir
from cogd.train.cli import verbs
from cogd.train.configfile import changed
from cogd.train.heads.count.config import RECIPE as COUNT
from cogd.train.heads.pose.config import RECIPE as POSE
from cogd.train.history import read_history
from tests.train.factory import TINY, make_windows, run_cli

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", "0"), "train.epochs: Expected `int` >= 1"),
        (("--batch-size", "-1"), "train.batch_size: Expected `int` >= 0"),
        (("--learning-rate", "0"), "train.learning_rate: Expected `float` > 0"),
        (("--learning-rate", "nan"), "train.learning_rate"),
        (("--rooms", "0"), "data.rooms: Expected `int` >= 1"),
        (("--nodes", "0"), "data.nodes: Expected `int` >= 1"),
        (("--nodes", "256"), "data.nodes: Expected `int` <= 255"),
        (("--stride", "0"), "data.stride: Expected `int` >= 1"),
        (("--minutes", "0"), "data.minutes: Expected `float` > 0"),
        (("--minutes", "nan"), "data.minutes"),
        (("--minutes", "inf"), "data.minutes: Expected `float` <="),
        (("--seed", "-1"), "train.seed: Expected `int` >= 0"),
        (("--seed", "900"), "train.seed: Expected `int` <= 899"),
        (("--rooms", "1001"), "data.rooms: Expected `int` <= 1000"),
        (("--persons", "1,1"), "data.persons must name each number once"),
        (("--persons", "8"), "data.persons[0]: Expected `int` <= 7"),
        (("--persons", "-1"), "data.persons[0]: Expected `int` >= 0"),
        (("--persons", "one"), "is not a list of numbers"),
        (("--persons", ""), "is not a list of numbers"),
    ],
)
def test_arguments_without_a_meaning_are_refused(tmp_path, arguments, message):
    option, value = arguments

    ran = run_cli("count", "--out", tmp_path / "run", *TINY, f"{option}={value}")

    assert ran.status == 2
    assert message in ran.err
    assert not (tmp_path / "run").exists()


def test_the_defaults_are_the_published_recipes():
    pose, count = POSE.train, COUNT.train
    assert (pose.epochs, pose.batch_size, pose.learning_rate, pose.weight_decay) == (400, 0, 1e-3, 0.01)
    assert (pose.restart_epochs, pose.subcarrier_dropout, pose.dropout_epochs, pose.keep) == (50, 0.1, 50, "last")
    assert (count.epochs, count.batch_size, count.learning_rate, count.weight_decay) == (400, 64, 1e-3, 0.01)
    assert (count.restart_epochs, count.subcarrier_dropout, count.dropout_epochs, count.keep) == (50, 0, 0, "best")
    for train in (pose, count):
        assert train.schedule == "cosine"
        off = (train.warmup_epochs, train.clip_norm, train.ema_decay, train.patience, train.noise_std)
        assert (*off, train.gain_range, train.mask_frames, train.roll_frames, train.mixup_alpha) == (0,) * 9
    assert POSE.loss.weights() == {"keypoint": 1, "bone": 0, "temporal": 0, "heatmap": 0, "oks": 0, "nll": 0}
    assert COUNT.loss.weights() == {"cross_entropy": 1, "confidence": 0.3, "brier": 0.1}


def test_the_recipe_that_was_asked_for_is_in_the_report(count_run):
    config = json.loads((count_run / rundir.REPORT).read_bytes())["config"]

    assert config["model"] == {"head": "count", "net": "count_v1"}
    assert [config["train"][key] for key in ("epochs", "batch_size", "seed")] == [2, 64, 0]


def test_no_room_both_trains_and_is_held_out(monkeypatch):
    plans = []
    simulated_rooms, windows = load.simulated_rooms, make_windows(4)
    monkeypatch.setattr(load, "simulated_rooms", lambda plan: plans.append(plan) or simulated_rooms(plan))

    def cut(dataset, *_, **__):
        return dataclasses.replace(windows, names={**windows.names, "session": (dataset.name,)})

    monkeypatch.setattr(load, "cut_windows", cut)
    for seed in (0, 1, 899):
        load.load_windows(changed(COUNT, {"train.seed": seed}), lambda *_: None)

    for trained, held_out in zip(plans[::2], plans[1::2], strict=True):
        assert (len(trained.rooms), len(held_out.rooms)) == (40, 8)
        assert not set(trained.rooms) & set(held_out.rooms)
    assert len({plan.rooms for plan in plans}) == 6


def test_without_held_out_rooms_only_time_is_held_out(tmp_path):
    ran = run_cli("pose", "--out", tmp_path / "run", *TINY, "--held-out-rooms", "0")

    assert ran.status == 0, ran.err
    assert "held-out time" in ran.out
    assert "held-out rooms" not in ran.out


def test_the_report_is_printed_and_says_what_to_do_next(tmp_path):
    ran = run_cli("pose", "--out", tmp_path / "run", *TINY)

    assert ran.out.startswith((tmp_path / "run" / rundir.REPORT_TEXT).read_text())
    assert f"cogd-train bundle --model {tmp_path / 'run' / 'model.onnx'}" in ran.out
    assert ran.err == ""


def test_resume_goes_on_and_wants_a_checkpoint(tmp_path):
    out = tmp_path / "run"

    refused = run_cli("pose", "--out", out, "--resume", *TINY)
    run_cli("pose", "--out", out, *TINY)
    more = run_cli("pose", "--out", out, "--resume", *TINY, "--epochs", "3")
    other = run_cli("pose", "--out", out, "--resume", *TINY, "--epochs", "3", "--learning-rate", "0.5")
    of_other_data = run_cli("pose", "--out", out, "--resume", *TINY, "--epochs", "3", "--rooms", "3")

    assert (refused.status, "holds no checkpoint" in refused.err) == (30, True)
    assert more.status == 0, more.err
    assert json.loads((out / rundir.REPORT).read_bytes())["config"]["train"]["epochs"] == 3
    assert (other.status, "begun with another train.learning_rate (0.001, now 0.5)" in other.err) == (30, True)
    assert (of_other_data.status, "or to other data: data.rooms (2, now 3)" in of_other_data.err) == (30, True)


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_directory_that_holds_a_run_is_refused_before_anything_is_simulated(pose_run, tmp_path, monkeypatch):
    out = shutil.copytree(pose_run, tmp_path / "run")
    monkeypatch.setattr(load, "load_windows", lambda *_: pytest.fail("it began to simulate"))
    refused = run_cli("pose", "--out", out, *TINY)

    assert (refused.status, f"train: {out} holds a finished run" in refused.err) == (30, True)
    for remedy in ("--out", "--resume", "--overwrite"):
        assert remedy in refused.err
    assert contents(out) == contents(pose_run)

    (out / rundir.DESCRIPTION).unlink()
    refused = run_cli("pose", "--out", out, *TINY)
    assert (refused.status, "holds a run that is not finished" in refused.err) == (30, True)


@pytest.mark.parametrize("how", [(), ("--overwrite",), ("--resume",)])
@pytest.mark.parametrize("place", ["file", "file/run"])
def test_a_file_in_the_place_of_the_run_directory_is_told(tmp_path, monkeypatch, place, how):
    (tmp_path / "file").write_text("somebody's")
    monkeypatch.setattr(load, "load_windows", lambda *_: pytest.fail("it began to simulate"))
    refused = run_cli("pose", "--out", tmp_path / place, *TINY, *how)

    assert (refused.status, f"{tmp_path / 'file'} is a file, not a run directory" in refused.err) == (30, True)
    assert "--out with another directory" in refused.err


def test_a_run_that_is_refused_leaves_no_directory(tmp_path):
    refused = run_cli("pose", "--out", tmp_path / "run", *TINY, "--set", "split.kind=subject")

    assert refused.status == 30
    assert not (tmp_path / "run").exists()


def test_all_files_of_a_run_have_the_modes_that_the_umask_leaves(pose_run):
    assert {path.name: path.stat().st_mode for path in pose_run.iterdir()} == dict.fromkeys(
        (path.name for path in pose_run.iterdir()), (pose_run / rundir.DESCRIPTION).stat().st_mode
    )


@pytest.mark.parametrize("log", ["nowhere/x.jsonl", "file/x.jsonl", "folder", "cut.jsonl"])
def test_a_log_that_can_not_be_written_is_refused_before_the_old_run_is_touched(pose_run, tmp_path, monkeypatch, log):
    out = shutil.copytree(pose_run, tmp_path / "run")
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "cut.jsonl").write_text('{"format"')
    monkeypatch.setattr(load, "load_windows", lambda *_: pytest.fail("it began to simulate"))
    refused = run_cli("pose", "--out", out, *TINY, "--overwrite", "--log", tmp_path / log)

    assert (refused.status, str(tmp_path / log) in refused.err) == (30, True), refused.err
    assert ("--log FILE" in refused.err) == (log != "cut.jsonl")
    assert contents(out) == contents(pose_run)


def test_a_log_in_the_run_directory_is_made_with_it(tmp_path):
    ran = run_cli("pose", "--out", tmp_path / "runs" / "a", *TINY, "--log", tmp_path / "runs" / "a" / "log.jsonl")

    assert ran.status == 0, ran.err
    assert (tmp_path / "runs" / "a" / "log.jsonl").exists()


@pytest.mark.parametrize("kept", [rundir.REPORT, rundir.PREDICTIONS])
def test_a_directory_that_holds_an_evaluation_is_refused(tmp_path, kept):
    out = tmp_path / "ev"
    out.mkdir()
    (out / kept).write_text("of an evaluation")
    refused = run_cli("pose", "--out", out, *TINY)

    assert (refused.status, f"train: {out} holds what `cogd-train evaluate` kept" in refused.err) == (30, True)
    assert "--overwrite" in refused.err
    assert contents(out) == {kept: b"of an evaluation"}
    assert run_cli("pose", "--out", out, *TINY, "--overwrite").status == 0


@pytest.mark.parametrize("how", ["--overwrite", "--resume"])
def test_a_run_in_the_place_of_another_leaves_nothing_of_it(count_run, tmp_path, how):
    out = shutil.copytree(count_run, tmp_path / "run")
    stale = ("report.html", "report.png", "calibration.safetensors", "fold-1.pt")
    for name in stale:
        (out / name).write_text("of the old run")
    (out / "tensorboard").mkdir()
    (out / "tensorboard" / "events").write_text("of the old run")
    (out / "notes.txt").write_text("somebody's own")
    ran = run_cli(
        "count", "--out", out, *TINY, "--persons", "0,2", how, *(["--epochs", "3"] if how == "--resume" else [])
    )

    assert ran.status == 0, ran.err
    left = {path.name for path in out.rglob("*") if path.is_file() and path.read_bytes() == b"of the old run"}
    assert left == ({"fold-1.pt", "events"} if how == "--resume" else set())
    assert (out / "notes.txt").exists()
    assert len(read_history(out / rundir.HISTORY)) == (3 if how == "--resume" else 2)


def test_a_run_that_can_not_go_on_leaves_the_finished_one_as_it_was(pose_run, tmp_path):
    out = shutil.copytree(pose_run, tmp_path / "run")
    refused = run_cli("pose", "--out", out, *TINY, "--resume", "--learning-rate", "0.5")

    assert (refused.status, "begun with another train.learning_rate" in refused.err) == (30, True)
    assert contents(out) == contents(pose_run)


@pytest.mark.parametrize("verb", sorted(verbs()))
def test_every_verb_explains_itself(verb):
    ran = run_cli(verb, "--help")

    assert ran.status == 0
    assert verbs()[verb].split()[0] in ran.out.lower()


def test_held_out_data_that_also_train_are_refused():
    rooms = "sim:rooms=1&first_room=5&persons=1&minutes=0.2&nodes=1"
    config = changed(POSE, {"data.spec": rooms, "data.held_out": rooms})

    with pytest.raises(TrainError, match="room 5, 1 persons"):
        load.load_windows(config, lambda *_: None)
