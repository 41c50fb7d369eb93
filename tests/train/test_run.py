import dataclasses
import json

import msgspec
import numpy as np
import pytest
import safetensors.numpy

from cogd.bundle.manifest import Metric, OutputSpec
from cogd.csi.model_input import ModelInput
from cogd.errors import TrainError
from cogd.train import run as run_module
from cogd.train import rundir
from cogd.train.configfile import read_config
from cogd.train.data.split import temporal_split
from cogd.train.edge import EdgeModel
from cogd.train.heads.learning import Trained
from cogd.train.heads.registry import forward
from cogd.train.history import read_history
from cogd.train.metrics.figure import verdict
from cogd.train.predictions import read_predictions
from cogd.train.run import Run, train
from tests.train.factory import make_config, make_windows, rippled_windows

pytestmark = pytest.mark.train

TENSORS = (rundir.MODEL, rundir.WEIGHTS, rundir.NORMALISER, rundir.GOLDEN)


@pytest.fixture
def unexported(monkeypatch):
    """Leave out the export, for tests of what lies around it."""
    edge = EdgeModel(b"no model", normaliser_inside=True, graph="none")
    monkeypatch.setattr(run_module, "export_for_edge", lambda *_: (edge, 0.0))


def quick(out, head="pose", held_out=None, **columns) -> Run:
    windows = make_windows(40, csi=1 + np.abs(make_windows(40).csi), **columns)
    return Run(make_config(head, epochs=2), windows, held_out, out)


def test_held_out_data_without_a_label_are_refused_before_anything_is_trained(tmp_path):
    held_out = make_windows(8, persons=np.zeros(8, dtype=np.int64), keypoints=np.full((8, 17, 2), np.nan, np.float32))

    with pytest.raises(TrainError, match="has no window with a label for the head pose") as refused:
        train(quick(tmp_path / "run", held_out=held_out))
    assert "data.held_out" in refused.value.hint
    assert not (tmp_path / "run").exists()


def description_of(run) -> rundir.Description:
    return rundir.read_description(run)


def metrics_of(run) -> dict[tuple[str, str], dict]:
    report = json.loads((run / rundir.REPORT).read_bytes())
    return {(metric["split"].partition(":")[0], metric["name"]): metric for metric in report["metrics"]}


@pytest.mark.parametrize("head", ["pose", "count"])
def test_a_run_directory_holds_everything_that_a_bundle_needs(request, head):
    run = request.getfixturevalue(f"{head}_run")
    files = {path.name for path in run.iterdir()} - {rundir.CALIBRATION}

    texts = {rundir.DESCRIPTION, rundir.REPORT, rundir.REPORT_TEXT, rundir.CONFIG}
    assert files == {*TENSORS, *texts, rundir.PREDICTIONS, rundir.HISTORY, rundir.CHECKPOINT}
    assert description_of(run).head == head


@pytest.mark.parametrize("head", ["pose", "count"])
def test_the_report_gives_each_figure_beside_its_baseline_for_time_and_rooms(request, head):
    run = request.getfixturevalue(f"{head}_run")
    metrics = metrics_of(run)

    assert {part for part, _ in metrics} == {"held-out time", "held-out rooms"}
    names = {name for _, name in metrics if not name.startswith("confidence_")}
    assert names == (
        {
            "mpjpe_picture",
            "pa_mpjpe_picture",
            "pck20_torso_rsho_lhip",
            "pck50_torso_rsho_lhip",
            "pck20_hip_hip_else_box",
            "pck20_box",
            "pckh50_ears",
            "pck_abs0.05_picture",
            "oks_keypoint_box",
            "pose_right_half_torso",
        }
        if head == "pose"
        else {"accuracy", "within_1", "mae_persons"}
    )
    text = (run / rundir.REPORT_TEXT).read_text()
    for metric in metrics.values():
        compared = verdict(msgspec.convert(metric, Metric))
        assert f" {metric['baseline_value']:9.4f} {metric['n']:7d}  {compared}\n" in text
        assert f": {metric['baseline_name']}\n" in text
        assert f"{metric['name']}: {metric['definition']}" in text
        assert metric["n"] > 0


def test_the_predictions_are_those_that_the_figures_are_of(pose_run):
    parts = read_predictions(pose_run / rundir.PREDICTIONS)

    for part in parts:
        distance = np.linalg.norm(part.predicted.astype(np.float64) - part.truth, axis=-1).mean()
        (metric,) = [
            m for m in metrics_of(pose_run).values() if (m["split"], m["name"]) == (part.part, "mpjpe_picture")
        ]
        assert metric["value"] == pytest.approx(distance, abs=1e-6)
        assert metric["n"] == len(part)
    assert len(parts) == 2


def test_each_joint_is_in_the_report_and_not_in_the_manifest(pose_run):
    joints = {metric["name"] for metric in json.loads((pose_run / rundir.REPORT).read_bytes())["parts"]}

    assert {"mpjpe_picture.left_wrist", "pck20_torso_rsho_lhip.nose"} <= joints
    assert not any("." in name for _, name in metrics_of(pose_run) if "abs" not in name)


def test_the_manifests_figures_are_the_reports(pose_run):
    provenance = description_of(pose_run).provenance

    assert [(m.split, m.name, m.value, m.baseline_value, m.n) for m in provenance.metrics] == [
        (m["split"], m["name"], m["value"], m["baseline_value"], m["n"]) for m in metrics_of(pose_run).values()
    ]
    assert len(provenance.data) == 2
    assert any("simulation alone" in limit for limit in provenance.limits)


@pytest.mark.parametrize("head", ["pose", "count"])
def test_the_golden_pair_is_what_the_numpy_forward_makes_of_raw_windows(request, head):
    run = request.getfixturevalue(f"{head}_run")
    golden = safetensors.numpy.load_file(run / rundir.GOLDEN)
    normaliser = safetensors.numpy.load_file(run / rundir.NORMALISER)
    windows = golden.pop("window")

    rms = np.sqrt((windows.astype(np.float64) ** 2).mean(axis=(1, 2), keepdims=True))
    prepared = (windows / rms - normaliser["mean"][:, None]) / normaliser["std"][:, None]
    expected = forward(safetensors.numpy.load_file(run / rundir.WEIGHTS), prepared.astype(np.float32))

    assert windows.shape == (4, 56, 20)
    assert golden.keys() == expected.keys()
    for name, values in golden.items():
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=1e-6)


def test_the_same_data_and_recipe_make_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        train(quick(tmp_path / name))

    for name in (*TENSORS, rundir.DESCRIPTION, rundir.REPORT, rundir.REPORT_TEXT):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes(), name


@pytest.mark.usefixtures("unexported")
def test_the_normaliser_is_measured_on_the_training_part_alone(tmp_path):
    def normaliser(run: Run) -> dict[str, np.ndarray]:
        train(run)
        return safetensors.numpy.load_file(run.out / rundir.NORMALISER)

    run = quick(tmp_path / "a")
    split = temporal_split(run.windows, np.arange(40))
    tested, trained = run.windows.csi.copy(), run.windows.csi.copy()
    for rows in (split.calibration, split.test):
        tested[rows, 10:20] *= 50
    trained[split.train[0], 10:20] *= 50

    original = normaliser(run)
    after_tests = normaliser(dataclasses.replace(run, windows=dataclasses.replace(run.windows, csi=tested)))
    after_training = normaliser(dataclasses.replace(run, windows=dataclasses.replace(run.windows, csi=trained)))

    np.testing.assert_array_equal(after_tests["mean"], original["mean"])
    np.testing.assert_array_equal(after_tests["std"], original["std"])
    assert not np.array_equal(after_training["mean"], original["mean"])
    laid_out = ModelInput("subcarrier_major", "window_rms").lay_out(run.windows.csi[split.train]).astype(np.float64)
    np.testing.assert_allclose(original["mean"], laid_out.mean(axis=(0, 2)), rtol=1e-5)
    np.testing.assert_allclose(original["std"], laid_out.std(axis=(0, 2)), rtol=1e-4)


@pytest.mark.usefixtures("unexported")
def test_the_mean_pose_is_the_training_parts(tmp_path):
    run = quick(tmp_path)
    split = temporal_split(run.windows, np.arange(40))

    metrics = {metric.name: metric for metric in train(run)}

    keypoints = run.windows.keypoints.astype(np.float64)
    error = np.linalg.norm(keypoints[split.train].mean(axis=0) - keypoints[split.test], axis=-1).mean()
    assert metrics["mpjpe_picture"].baseline_value == pytest.approx(error, abs=1e-6)
    assert metrics["mpjpe_picture"].n == len(split.test)


@pytest.mark.usefixtures("unexported")
def test_the_most_frequent_count_is_the_training_parts(tmp_path):
    persons = np.asarray([2] * 20 + [1] * 20, dtype=np.int64)  # 27 windows train; 1 is all there is to test

    metrics = {metric.name: metric for metric in train(quick(tmp_path, "count", persons=persons))}

    assert "always 2," in metrics["accuracy"].baseline_name
    assert metrics["accuracy"].baseline_value == 0.0
    assert metrics["mae_persons"].baseline_value == 1.0


@pytest.mark.usefixtures("unexported")
def test_a_class_that_only_the_later_parts_hold_is_untrained_and_no_obstacle(tmp_path):
    persons = np.asarray([0, 2] * 14 + [2, 5] * 6, dtype=np.int64)

    metrics = {metric.name: metric for metric in train(quick(tmp_path, "count", persons=persons))}

    output = description_of(tmp_path).output
    assert output.trained_classes == [0, 2]
    assert output.labels == ["0", "1", "2", "3", "4", "5", "6", "7"]
    assert metrics["accuracy"].value <= 0.5 + 1 / 8  # never 5


def counted(tmp_path, monkeypatch, conf_of_right: float) -> OutputSpec:
    """The output's description when the confidence logit of a right count is this, and of a wrong one its negative."""
    persons = np.arange(200, dtype=np.int64) % 2
    windows = make_windows(200, csi=1 + np.abs(make_windows(200).csi), persons=persons)

    def outputs(_, csi):
        part = [row for row in range(200) for one in csi if np.array_equal(one, windows.csi[row])]
        right = np.asarray(part) % 3 != 0
        said = np.where(right, persons[part], 1 - persons[part])
        logits = np.zeros((len(part), 8), dtype=np.float32)
        logits[np.arange(len(part)), said] = 2.0
        noise = np.random.default_rng(0).normal(0, 1, len(part))
        conf_logits = (np.where(right, conf_of_right, -conf_of_right) + noise).astype(np.float32)[:, None]
        return {"count_logits": logits, "conf_logits": conf_logits}

    monkeypatch.setattr(Trained, "outputs", outputs)
    train(Run(make_config("count", epochs=1), windows, None, tmp_path))
    return description_of(tmp_path).output


@pytest.mark.usefixtures("unexported")
def test_an_informative_confidence_is_calibrated_and_measured(tmp_path, monkeypatch):
    output = counted(tmp_path, monkeypatch, 3.0)

    assert output.confidence == "platt"
    assert output.calibration == rundir.CALIBRATION
    calibration = safetensors.numpy.load_file(tmp_path / rundir.CALIBRATION)
    assert set(calibration) == {"temperature", "slope", "offset"}
    assert calibration["slope"] > 0
    assert {"confidence_auroc", "confidence_ece"} <= {name for _, name in metrics_of(tmp_path)}


@pytest.mark.usefixtures("unexported")
@pytest.mark.parametrize("conf_of_right", [0.0, -3.0], ids=["uninformative", "inverted"])
def test_a_confidence_that_tells_nothing_or_lies_is_not_promised(tmp_path, monkeypatch, conf_of_right):
    output = counted(tmp_path, monkeypatch, conf_of_right)

    assert (output.confidence, output.calibration) == ("none", None)
    assert "told nothing" in output.confidence_note
    told = f"confidence: none: {output.confidence_note}"
    assert told in (tmp_path / rundir.REPORT_TEXT).read_text().splitlines()
    assert json.loads((tmp_path / rundir.REPORT).read_bytes())["notes"] == [told]
    assert not (tmp_path / rundir.CALIBRATION).exists()
    assert not {"confidence_auroc", "confidence_ece"} & {name for _, name in metrics_of(tmp_path)}


@pytest.mark.usefixtures("unexported")
def test_pose_trains_on_windows_of_exactly_one_believed_person(tmp_path):
    keypoints, weight, persons = make_windows(40).keypoints, np.ones(40, np.float32), np.ones(40, np.int64)
    keypoints[::4] = np.nan
    weight[1::4] = 0
    persons[2::4] = 2

    train(quick(tmp_path, keypoints=keypoints, weight=weight, persons=persons))

    parts = json.loads((tmp_path / rundir.REPORT).read_bytes())["windows"]
    assert 8 <= sum(parts.values()) <= 10


@pytest.mark.usefixtures("unexported")
def test_what_the_model_must_know_about_its_input_is_written_down(tmp_path):
    train(quick(tmp_path, tones="first56", rate_hz=12.5, min_gap_s=0.01, max_gap_s=0.7))

    spec = description_of(tmp_path).input
    assert (spec.layout, spec.tones, spec.subcarriers, spec.frames) == ("subcarrier_major", "first56", 56, 20)
    assert (spec.rate_hz, spec.min_gap_s, spec.max_gap_s, spec.gain) == (12.5, 0.01, 0.7, "window_rms")


@pytest.mark.usefixtures("unexported")
def test_a_run_goes_on_from_its_checkpoint_to_the_same_weights(tmp_path):
    straight, halted = quick(tmp_path / "straight"), quick(tmp_path / "halted")
    longer = make_config(epochs=4, dropout_epochs=0)
    shorter = make_config(epochs=2, dropout_epochs=0)
    train(dataclasses.replace(straight, config=longer))

    train(dataclasses.replace(halted, config=shorter))
    train(dataclasses.replace(halted, config=longer, resume=True))

    for name in (rundir.WEIGHTS, rundir.GOLDEN, rundir.DESCRIPTION):
        assert (tmp_path / "straight" / name).read_bytes() == (tmp_path / "halted" / name).read_bytes(), name


def test_there_is_nothing_to_resume_where_no_checkpoint_is(tmp_path):
    with pytest.raises(TrainError, match="is not a checkpoint"):
        train(dataclasses.replace(quick(tmp_path), resume=True))


def test_a_run_directory_that_can_not_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(TrainError, match="can't be written"):
        train(quick(tmp_path / "file" / "run"))


@pytest.mark.usefixtures("unexported")
def test_a_receivers_gain_does_not_matter(tmp_path):
    windows = make_windows(40, csi=rippled_windows(40))
    louder = dataclasses.replace(windows, csi=windows.csi * np.float32(8))
    for name, heard in (("a", windows), ("b", louder)):
        train(Run(make_config(epochs=2), heard, None, tmp_path / name))

    one, other = (safetensors.numpy.load_file(tmp_path / name / rundir.WEIGHTS) for name in "ab")
    for name, tensor in one.items():
        np.testing.assert_array_equal(tensor, other[name])


def test_a_run_that_fails_leaves_no_description_of_the_one_before(tmp_path, unexported, monkeypatch):
    """Else a bundle could hold one run's model and another's figures."""
    train(quick(tmp_path))
    assert (tmp_path / rundir.DESCRIPTION).exists()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rundir, "write_golden", full)
    with pytest.raises(TrainError, match="No space left on device"):
        train(quick(tmp_path))
    assert not (tmp_path / rundir.DESCRIPTION).exists()


def test_a_count_of_one_number_only_is_refused(tmp_path, unexported):
    with pytest.raises(TrainError, match="one number of persons only"):
        train(quick(tmp_path, "count", persons=np.full(40, 2, dtype=np.int64)))


@pytest.mark.parametrize("inside", [True, False])
def test_the_description_names_a_normaliser_only_if_the_model_does_not_hold_it(tmp_path, monkeypatch, inside):
    edge = EdgeModel(b"no model", normaliser_inside=inside, graph="of which more is said")
    monkeypatch.setattr(run_module, "export_for_edge", lambda *_: (edge, 0.0))

    train(quick(tmp_path))

    assert description_of(tmp_path).input.normaliser == (None if inside else rundir.NORMALISER)
    assert (tmp_path / rundir.NORMALISER).exists()
    assert "graph: of which more is said\n" in (tmp_path / rundir.REPORT_TEXT).read_text()


@pytest.mark.usefixtures("unexported")
def test_a_leaky_split_is_marked_wherever_its_figures_are(tmp_path):
    leaky = {"split.kind": "random", "split.allow_leaky": True}
    train(dataclasses.replace(quick(tmp_path), config=make_config(epochs=1, **leaky)))

    report = json.loads((tmp_path / rundir.REPORT).read_bytes())
    assert report["leaky"] is True
    figures = [*report["metrics"], *report["parts"]]
    assert len(figures) > 40
    assert all(metric["split"].startswith(report["split"]) for metric in figures)
    assert [name.count("LEAKY") for name in {metric["split"] for metric in figures}] == [1]
    text = (tmp_path / rundir.REPORT_TEXT).read_text()
    assert text.startswith("split: LEAKY")
    assert "\nLEAKY: test part\n" in text
    assert text.count(report["split"]) == 1
    provenance = description_of(tmp_path).provenance
    assert "split is leaky" in provenance.limits[0]
    assert "none share frames" in provenance.limits[0], "these windows do not overlap"
    assert all("LEAKY" in metric.split for metric in provenance.metrics)


@pytest.mark.usefixtures("unexported")
def test_a_split_by_session_is_named_as_such_and_not_leaky(tmp_path):
    session = np.repeat(np.arange(5), 8)
    run = quick(tmp_path, session=session)
    train(dataclasses.replace(run, config=make_config(epochs=1, **{"split.kind": "session"})))

    report = json.loads((tmp_path / rundir.REPORT).read_bytes())
    assert report["leaky"] is False
    assert {metric["split"].partition(":")[0] for metric in report["metrics"]} == {"held-out sessions"}
    assert sum(report["windows"].values()) == 40
    assert not any("leaky" in limit for limit in description_of(tmp_path).provenance.limits)


@pytest.mark.usefixtures("unexported")
def test_an_official_split_of_mmfi_is_named_as_such(tmp_path):
    names = {"session": tuple(f"E01/S{subject:02d}/A02" for subject in range(1, 11)), "room": (), "subject": ()}
    run = quick(tmp_path, session=np.repeat(np.arange(10), 4), names=names)
    train(dataclasses.replace(run, config=make_config(epochs=1, **{"split.kind": "mmfi"})))

    report = json.loads((tmp_path / rundir.REPORT).read_bytes())
    assert {metric["split"].partition(",")[0] for metric in report["metrics"]} == {
        "official test part: MM-Fi protocol 3"
    }
    assert report["windows"] == {"train": 28, "calibration": 4, "test": 8}


@pytest.mark.usefixtures("unexported")
def test_a_checkpoint_of_another_split_is_refused(tmp_path):
    run = quick(tmp_path, session=np.repeat(np.arange(5), 8))
    by_session = {"split.kind": "session"}
    train(dataclasses.replace(run, config=make_config(epochs=1, **by_session)))

    other = make_config(epochs=2, **by_session, **{"split.seed": 3})
    with pytest.raises(TrainError, match="belongs to another split"):
        train(dataclasses.replace(run, config=other, resume=True))


@pytest.mark.usefixtures("unexported")
def test_the_run_directory_says_with_which_configuration(tmp_path):
    config = make_config(epochs=1, noise_std=0.1, **{"data.licence": "CC0-1.0"})
    train(dataclasses.replace(quick(tmp_path), config=config))

    assert read_config("pose", tmp_path / rundir.CONFIG) == config
    assert json.loads((tmp_path / rundir.REPORT).read_bytes())["config_digest"] == config.digest()
    assert [epoch.epoch for epoch in read_history(tmp_path / rundir.HISTORY)] == [1]
