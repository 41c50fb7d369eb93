import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from cogd import demo
from cogd.bundle.keys import load_public, save_public
from cogd.bundle.load import load_bundle
from cogd.bundle.manifest import DataSource
from cogd.bundle.trust import TrustStore
from cogd.errors import TrainError
from cogd.heads.base import Baseline
from cogd.runtime.app import load_app
from cogd.train import evaluate as evaluate_module
from cogd.train.data import dataset as dataset_module
from cogd.train.data.track import Dataset, Recording, Timing, Track
from cogd.train.data.windows import DataOrigin
from cogd.train.evaluate import answer_of, evaluate, overlap
from cogd.train.predictions import read_predictions
from cogd.train.quiet import QuietRooms, Watched
from tests.train.factory import KEY, bundle, rippled_windows, run_cli, verified

pytestmark = pytest.mark.train

SIM = "sim:rooms=2&persons=0,2&minutes=0.3&nodes=1"


def make_dataset(persons: int | None = 2, *, rate_hz: float = 20.0) -> Dataset:
    """One recording of 100 frames in which nobody comes or goes."""
    frames = rippled_windows(1, frames=100)[0].T
    track = Track(
        time_s=np.arange(100) / rate_hz,
        amplitude=np.ascontiguousarray(frames),
        kind=np.zeros(100, np.int16),
        kinds=("ht-64",),
        segment=np.zeros(100, np.int32),
        persons=None if persons is None else np.full(100, persons),
    )
    recording = Recording(
        "a", session="a", room=None, subject=None, chip=None, node=0, rate_hz=None, timing=Timing.MEASURED, files=(),
        load=lambda: track,
    )  # fmt: skip
    return Dataset("made up", "CC0-1.0", "ht56", (recording,), Path())


@pytest.fixture(scope="module")
def count_bundle(count_run, key_file, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "count.tar"
    assert bundle(count_run, key_file, out).status == 0
    return out


@pytest.fixture(scope="module")
def count_app(count_bundle):
    return load_app(verified(count_bundle))


@pytest.fixture
def public_key(tmp_path):
    save_public(tmp_path / "publisher.pub", KEY.public)
    return tmp_path / "publisher.pub"


def test_answers_are_the_daemons_for_batches_of_any_size(count_app):
    windows = rippled_windows(150)
    answer = answer_of(count_app, windows)

    assert answer.predicted.shape == (150,)
    for row in (0, 63, 64, 149):
        alone = answer_of(count_app, windows[row : row + 1])
        assert alone.predicted[0] == answer.predicted[row]


def test_a_bundle_is_scored_on_labelled_windows(count_app):
    evaluation, (predictions,) = evaluate(count_app, make_dataset())
    by_name = {metric.name: metric for metric in evaluation.metrics}

    assert evaluation.windows == {"cut": 5, "labelled": 5}
    assert by_name["accuracy"].value == np.mean(predictions.predicted == 2)
    assert by_name["accuracy"].n == 5
    assert "always 2, the most frequent count of these very windows" in by_name["accuracy"].baseline_name
    assert by_name["accuracy"].baseline_value == 1.0
    assert evaluation.app["backend"] == "ort"
    assert np.sum(evaluation.confusion) == 5
    assert evaluation.limits == count_app.bundle.manifest.provenance.limits


def test_counts_of_several_nodes_in_one_moment_are_fused(count_app):
    one = make_dataset()
    (recording,) = one.listed
    two = dataclasses.replace(one, listed=(recording, dataclasses.replace(recording, name="b", node=1)))

    evaluation, (alone, fused) = evaluate(count_app, two)

    assert (len(alone), len(fused)) == (10, 5)
    assert fused.part == f"fused counts of 2 nodes; {alone.part}"
    assert fused.predicted.tolist() == alone.predicted[:5].tolist()  # the nodes hear the same
    of_fused = {metric.name: metric for metric in evaluation.metrics if metric.split == fused.part}
    assert of_fused["accuracy"].n == 5
    assert of_fused["accuracy"].value == np.mean(fused.predicted == 2)
    assert {gate.why for gate in evaluation.gates} == {"the data don't tell their rooms"}
    assert any("at most 0.1 s apart; the daemon" in note and "1 s old" in note for note in evaluation.notes)


def test_windows_may_overlap_if_one_asks_for_it(count_app):
    evaluation, _ = evaluate(count_app, make_dataset(), stride=5)

    assert (evaluation.windows["cut"], evaluation.stride) == (17, 5)


def test_another_frame_rate_is_told(count_app):
    assert not any("frames a second" in note for note in evaluate(count_app, make_dataset())[0].notes)
    slow, _ = evaluate(count_app, make_dataset(rate_hz=10))

    assert any("10 frames a second, the model was made for" in note for note in slow.notes)


def test_of_cells_it_is_told_that_no_frame_rate_is_stated(motion_app):
    data = quiet_and_moving(1)
    first, second = (
        dataclasses.replace(one, rate_hz=rate) for one, rate in zip(data.listed, (20.0, 50.0), strict=True)
    )
    told, _ = evaluate(motion_app, dataclasses.replace(data, listed=(first, second)))
    even, _ = evaluate(motion_app, dataclasses.replace(data, listed=(first, dataclasses.replace(second, rate_hz=20.0))))
    silent, _ = evaluate(motion_app, data)

    states_none = "the bundle states no frame rate to compare with that of the data"
    assert next(note for note in told.notes if states_none in note).endswith("are of 20 to 50 frames a second")
    assert next(note for note in even.notes if states_none in note).endswith("which are of 20 frames a second")
    assert next(note for note in silent.notes if states_none in note).endswith(states_none)


def test_why_a_model_has_no_confidence_is_told(pose_run, key_file, public_key, tmp_path):
    out = tmp_path / "pose.tar"
    assert bundle(pose_run, key_file, out).status == 0
    data = "sim:rooms=1&persons=1&minutes=0.2&nodes=1"
    ran = run_cli("evaluate", out, data, "--trust", public_key, "--trust-dir", tmp_path)

    assert "\nnote: confidence: none: the network estimates no confidence\n" in ran.out


def test_data_without_labels_are_refused(count_app):
    with pytest.raises(TrainError, match="has no window with a label for the head count"):
        evaluate(count_app, make_dataset(persons=None))


def test_a_head_that_nobody_scores_is_refused(count_app, monkeypatch):
    monkeypatch.setattr(evaluate_module, "trainer_names", lambda: ["motion", "pose"])

    with pytest.raises(TrainError, match="has the head count"):
        evaluate(count_app, make_dataset())


SHA = "ab" * 32


@pytest.mark.parametrize(
    ("named", "name", "sha256", "same"),
    [
        ((("theirs", SHA),), "ours", SHA, True),
        ((("theirs", "cd" * 32), ("theirs", SHA)), "ours", SHA, True),
        (((f"a (sha256 {SHA}); b", None),), "ours", SHA, True),
        ((("theirs", "cd" * 32),), "theirs", SHA, False),
        ((("rooms 0 to 3", None),), "rooms 0 to 3", None, True),
        ((("rooms 0 to 3", SHA),), "rooms 0 to 3", None, False),
        ((("rooms 0 to 3", None),), "rooms 4 to 7", None, False),
        ((), "ours", SHA, False),
    ],
)
def test_data_that_the_bundle_names_are_an_overlap(named, name, sha256, same):
    sources = [DataSource(name=one, sha256=digest, licence="any") for one, digest in named]
    found, told = overlap(sources, DataOrigin(name, sha256, "any"))

    assert found is same
    assert told.startswith("OVERLAP") is same


@pytest.mark.parametrize(
    ("rooms", "shared"), [((7, 8), None), ((3, 8), "1 of the 2 rooms"), ((4, 9), "2 of the 2 rooms"), ((), None)]
)
@pytest.mark.parametrize("sha256", [None, SHA])
def test_rooms_that_the_bundle_names_are_an_overlap(sha256, rooms, shared):
    named = DataSource(
        name="cogd simulator: rooms 3 to 5, x; a flat; cogd simulator: rooms [9, 11], y", sha256=sha256, licence="any"
    )
    names = {f"simulated room {number}" for number in rooms}
    found, told = overlap([named], DataOrigin("cogd simulator: other", None, "any"), names)

    assert found is (shared is not None)
    assert shared is None or told.startswith(f"OVERLAP: {shared}")


def test_a_packaged_bundle_in_a_room_that_trained_it():
    words = ("evaluate", demo.APPS / "demo-motion.tar", "sim:rooms=1&persons=0,1&minutes=0.3&nodes=1&seed=1")
    said = json.loads(run_cli(*words[:2], f"{words[2]}&first_room=100000", "--demo", "--json").out)
    elsewhere = json.loads(run_cli(*words, "--demo", "--json").out)

    assert said["same_data"]
    assert said["notes"][0].startswith("OVERLAP: 1 of the 1 rooms")
    assert all(metric["split"].startswith("OVERLAP") for metric in said["metrics"])
    assert not elsewhere["same_data"]


def test_an_overlap_is_in_the_name_of_every_figure(count_app, monkeypatch):
    monkeypatch.setattr(evaluate_module, "overlap", lambda *_: (True, "OVERLAP: told"))
    evaluation, _ = evaluate(count_app, make_dataset())

    assert evaluation.same_data
    assert all(metric.split.startswith("OVERLAP") for metric in [*evaluation.metrics, *evaluation.parts])


@pytest.fixture(scope="module")
def motion_app():
    trust = TrustStore([(load_public(demo.PUBLIC_KEY), demo.PUBLIC_KEY)])
    return load_app(load_bundle(demo.APPS / "demo-motion.tar", trust))


def quiet_and_moving(nodes: int) -> Dataset:
    """Of each node a recording of a quiet room, and one of motion there."""
    made = make_dataset()
    track = made.listed[0].track()
    recordings = [
        dataclasses.replace(
            made.listed[0], session=("quiet", "moving")[moving], setup="here", node=node,
            load=lambda moving=moving: dataclasses.replace(track, moving=np.full(100, moving, np.int8)),
        )
        for moving in (0, 1)
        for node in range(nodes)
    ]  # fmt: skip
    return dataclasses.replace(made, listed=tuple(recordings))


def watched_for_two_seconds(*nodes: int):
    """What watching found: these nodes have a baseline, and no other."""

    def watch(dataset, *_):
        baseline = Watched(Baseline(score=-3.0, time=2.0), "quiet", 0.0, 2.0)
        others = {one.node for one in dataset.listed} - set(nodes)
        return QuietRooms(
            2.0, {("here", node): baseline for node in nodes}, {("here", node): "something moved" for node in others},
            {"quiet": "here", "moving": "here"},
        )  # fmt: skip

    return watch


def test_calibrated_figures_are_of_the_nodes_that_have_a_baseline(motion_app, monkeypatch):
    monkeypatch.setattr(evaluate_module, "watch", watched_for_two_seconds(0, 2))
    evaluation, (calibrated, uncalibrated) = evaluate(motion_app, quiet_and_moving(3), calibrate_s=2.0)
    alone, _ = evaluate(motion_app, quiet_and_moving(1))

    each = alone.windows["labelled"] // 2  # of a node's two recordings
    assert calibrated.part.endswith("; calibrated for 2 s")
    assert uncalibrated.part.endswith("; nodes whose quiet room was refused, without a baseline")
    assert len(uncalibrated) == 2 * each
    assert 2 * each < len(calibrated) < 4 * each, "what made the baselines is in no part"
    assert evaluation.windows["calibrated"] == len(calibrated)
    assert evaluation.windows["uncalibrated"] == len(uncalibrated)
    assert {metric.n for metric in evaluation.metrics if metric.split == calibrated.part} == {len(calibrated)}
    assert {metric.n for metric in evaluation.metrics if metric.split == uncalibrated.part} == {len(uncalibrated)}
    assert {metric.split for metric in evaluation.metrics} == {calibrated.part, uncalibrated.part}
    assert np.sum(evaluation.confusion) == len(calibrated)
    assert any("no baseline for here, node 1: something moved" in note for note in evaluation.notes)


def test_where_every_node_has_a_baseline_nothing_is_judged_without(motion_app, monkeypatch):
    monkeypatch.setattr(evaluate_module, "watch", watched_for_two_seconds(0))
    evaluation, (calibrated,) = evaluate(motion_app, quiet_and_moving(1), calibrate_s=2.0)

    assert evaluation.windows["calibrated"] == len(calibrated)
    assert evaluation.windows["uncalibrated"] == 0


def test_a_data_set_that_ends_with_its_quiet_rooms_leaves_nothing_to_judge(motion_app, monkeypatch):
    monkeypatch.setattr(evaluate_module, "watch", watched_for_two_seconds(0))
    data = quiet_and_moving(1)
    data = dataclasses.replace(data, listed=data.listed[:1])
    monkeypatch.setattr(Watched, "holds", lambda *_: True)

    with pytest.raises(TrainError, match="nothing is left to judge behind the 2 s") as refused:
        evaluate(motion_app, data, calibrate_s=2.0)
    assert refused.value.hint == "watch for less time"


def test_an_evaluation_after_calibration_prints_how_many_windows_had_no_baseline(monkeypatch):
    monkeypatch.setattr(dataset_module, "open_dataset", lambda _: quiet_and_moving(2))
    monkeypatch.setattr(evaluate_module, "watch", watched_for_two_seconds(0))
    ran = run_cli("evaluate", demo.APPS / "demo-motion.tar", "sim:", "--demo", "--calibrate-s", "2")

    assert ran.status == 0, ran.err
    assert re.search(r"\d+ with a label, \d+ with a baseline, \d+ without\n", ran.out)
    assert "\nmade up; calibrated for 2 s\n" in ran.out
    assert "\nmade up; nodes whose quiet room was refused, without a baseline\n" in ran.out


@pytest.mark.parametrize("seconds", ["1", "601", "nan"])
def test_a_quiet_room_is_watched_as_long_as_the_daemon_does(seconds):
    words = ("evaluate", demo.APPS / "demo-motion.tar", SIM, "--demo", "--calibrate-s", seconds)
    ran = run_cli(*words)

    assert ran.status == 2
    assert "2 to 600 s" in ran.err


def test_the_command_prints_what_it_found(count_bundle, public_key, tmp_path):
    ran = run_cli("evaluate", count_bundle, SIM, "--trust", public_key, "--trust-dir", tmp_path, "--json")
    assert ran.status == 0, ran.err
    said = json.loads(ran.out)

    assert said["app"]["head"] == "count"
    assert {metric["name"] for metric in said["metrics"]} >= {"accuracy", "within_1", "mae_persons"}
    assert any(": room" in metric["split"] or "; room" in metric["split"] for metric in said["parts"])

    ran = run_cli("evaluate", count_bundle, SIM, "--trust", public_key, "--trust-dir", tmp_path)
    for metric in said["metrics"]:
        assert f"{metric['value']:9.4f} " in ran.out
        assert f"{metric['name']}: {metric['definition']}" in ran.out
    for note in said["notes"]:
        assert note in ran.out
    assert "confusion" in ran.out


def test_a_packaged_pose_bundle_on_the_simulator():
    ran = run_cli("evaluate", demo.APPS / "demo-pose.tar", "sim:rooms=2&persons=1&minutes=0.3", "--demo", "--json")
    assert ran.status == 0, ran.err
    metrics = {metric["name"] for metric in json.loads(ran.out)["metrics"]}

    assert {"mpjpe_picture", "pck20_torso_rsho_lhip", "pa_mpjpe_picture", "oks_keypoint_box"} <= metrics


def test_whom_nobody_trusts_is_not_run_and_the_option_is_named(count_bundle, tmp_path):
    ran = run_cli("evaluate", count_bundle, SIM, "--trust-dir", tmp_path)

    assert ran.status == 14
    assert KEY.public.key_id in ran.err
    assert "--trust NAME.pub" in ran.err


@pytest.mark.parametrize(
    ("name", "trust", "status", "told"),
    [
        ("nowhere.tar", "publisher.pub", 11, ("nowhere.tar: No such file", "bundle.tar that is there")),
        ("words.tar", "publisher.pub", 11, ("words.tar: member 0", "copy the bundle again")),
        ("words.tar", "nobody.pub", 19, ("nobody.pub: No such file", "a public key that is there")),
    ],
)
@pytest.mark.usefixtures("public_key")
def test_what_is_no_bundle_or_not_there_is_named(tmp_path, name, trust, status, told):
    (tmp_path / "words.tar").write_text("words\n" * 1000)
    ran = run_cli("evaluate", tmp_path / name, SIM, "--trust", tmp_path / trust, "--trust-dir", tmp_path / "none")

    assert ran.status == status
    for words in told:
        assert words in ran.err


def test_a_bundle_that_was_changed_is_not_run(count_bundle, public_key, tmp_path):
    changed = bytearray(count_bundle.read_bytes())
    changed[len(changed) // 2] ^= 1
    (tmp_path / "changed.tar").write_bytes(changed)
    ran = run_cli("evaluate", tmp_path / "changed.tar", SIM, "--trust", public_key, "--trust-dir", tmp_path)

    assert ran.status in {11, 13, 15}
    assert ran.out == ""


@pytest.mark.parametrize(
    ("dataset", "arguments", "status"),
    [("nothing", (), 2), ("paired:/nowhere", (), 30), (SIM, ("--stride", "0"), 2)],
)
def test_what_can_not_be_evaluated_is_refused(count_bundle, public_key, tmp_path, dataset, arguments, status):
    trust = ("--trust", public_key, "--trust-dir", tmp_path)

    assert run_cli("evaluate", count_bundle, dataset, *trust, *arguments).status == status


def test_what_was_kept_can_be_drawn(count_bundle, public_key, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
    out, trust = tmp_path / "kept", ("--trust", public_key, "--trust-dir", tmp_path)
    ran = run_cli("evaluate", count_bundle, SIM, *trust, "--out", out)
    assert ran.status == 0, ran.err

    (predictions,) = read_predictions(out / "predictions.safetensors")
    assert len(predictions) == json.loads((out / "report.json").read_bytes())["windows"]["labelled"]
    assert run_cli("report", out).status == 0
    assert (out / "report.png").stat().st_size > 10_000
    assert run_cli("evaluate", count_bundle, SIM, *trust, "--out", out).status == 0
    assert {path.name for path in out.iterdir()} == {"report.json", "predictions.safetensors"}, "of the one before"


def test_what_is_kept_never_takes_the_place_of_a_runs_report(count_bundle, count_run, public_key, tmp_path):
    before = (count_run / "report.json").read_bytes()
    trust = ("--trust", public_key, "--trust-dir", tmp_path)
    ran = run_cli("evaluate", count_bundle, SIM, *trust, "--out", count_run)

    assert (ran.status, "is a run directory" in ran.err) == (30, True)
    assert (count_run / "report.json").read_bytes() == before
