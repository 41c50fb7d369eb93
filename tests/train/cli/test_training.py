import json

import pytest

from cogd.train import rundir
from cogd.train.cli import VERBS, training
from cogd.train.recipe import COUNT, POSE
from tests.train.factory import TINY, run_cli

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", "0"), "epochs must be 1 or more"),
        (("--batch-size", "-1"), "batch size 0 or more"),
        (("--learning-rate", "0"), "learning rate above 0"),
        (("--learning-rate", "nan"), "learning rate above 0"),
        (("--rooms", "0"), "must be above 0"),
        (("--nodes", "0"), "must be above 0"),
        (("--nodes", "256"), "255 nodes at most"),
        (("--stride", "0"), "must be above 0"),
        (("--minutes", "0"), "must be above 0"),
        (("--minutes", "nan"), "must be above 0"),
        (("--minutes", "inf"), "must be above 0"),
        (("--seed", "-1"), "a seed is 0 to 899"),
        (("--seed", "900"), "a seed is 0 to 899"),
        (("--rooms", "1001"), "1000 rooms at most"),
        (("--persons", "1,1"), "0 to 7, each once"),
        (("--persons", "8"), "0 to 7, each once"),
        (("--persons", "-1"), "0 to 7, each once"),
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
    assert (POSE.epochs, POSE.batch_size, POSE.learning_rate, POSE.weight_decay) == (400, 0, 1e-3, 0.01)
    assert (POSE.restart_epochs, POSE.subcarrier_dropout, POSE.dropout_epochs, POSE.keep) == (50, 0.1, 50, "last")
    assert (COUNT.epochs, COUNT.batch_size, COUNT.learning_rate, COUNT.weight_decay) == (400, 64, 1e-3, 0.01)
    assert (COUNT.restart_epochs, COUNT.subcarrier_dropout, COUNT.dropout_epochs, COUNT.keep) == (50, 0, 0, "best")


def test_the_recipe_that_was_asked_for_is_in_the_report(count_run):
    recipe = json.loads((count_run / rundir.REPORT).read_bytes())["recipe"]

    assert (recipe["head"], recipe["epochs"], recipe["batch_size"], recipe["seed"]) == ("count", 2, 64, 0)


def test_no_room_both_trains_and_is_held_out(monkeypatch, tmp_path):
    import argparse

    plans = []
    monkeypatch.setattr(training, "simulate_windows", lambda plan, _: plans.append(plan))
    parser = argparse.ArgumentParser()
    training.add_training_arguments(parser, COUNT, (0, 1))
    for seed in (0, 1, 899):
        training._data(parser.parse_args(["--out", str(tmp_path), "--seed", str(seed)]))

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

    assert (refused.status, "holds no checkpoint" in refused.err) == (30, True)
    assert more.status == 0, more.err
    assert json.loads((out / rundir.REPORT).read_bytes())["recipe"]["epochs"] == 3
    assert (other.status, "begun with another learning_rate" in other.err) == (30, True)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself(verb):
    ran = run_cli(verb, "--help")

    assert ran.status == 0
    assert VERBS[verb].split()[0] in ran.out.lower()
