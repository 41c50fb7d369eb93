import numpy as np
import pytest
import safetensors.numpy

from cogd.csi.model_input import ModelInput
from cogd.errors import TrainError
from cogd.runtime.app import load_app
from cogd.train import rundir
from cogd.train.heads.count.net import CountNet
from cogd.train.heads.pose.net import PoseNet
from cogd.train.heads.registry import forward
from cogd.train.import_cog import _recorded_windows, import_cog
from tests.train.factory import run_cli, verified

pytestmark = pytest.mark.train


def imported(weights, recording, key_file, out):
    """The bundle that `cogd-train import-cog` makes."""
    recorded = ("--recording", recording) if recording else ()
    ran = run_cli("import-cog", weights, *recorded, "--key", key_file, "--out", out)
    assert ran.status == 0, ran.err
    return verified(out)


@pytest.fixture(scope="module")
def pose_bundle(pose_weights, key_file, tmp_path_factory):
    return imported(pose_weights, None, key_file, tmp_path_factory.mktemp("pose") / "pose.tar")


@pytest.fixture(scope="module")
def pose_bundle_of_a_recording(pose_weights, recording, key_file, tmp_path_factory):
    return imported(pose_weights, recording, key_file, tmp_path_factory.mktemp("pose") / "pose.tar")


@pytest.fixture(scope="module")
def count_bundle(count_weights, recording, key_file, tmp_path_factory):
    return imported(count_weights, recording, key_file, tmp_path_factory.mktemp("count") / "count.tar")


@pytest.fixture(scope="module")
def count_normaliser(count_weights, recording, tmp_path_factory) -> dict[str, np.ndarray]:
    """As it lies in the run directory; in the bundle it is inside the model."""
    out = tmp_path_factory.mktemp("imported")
    import_cog(count_weights, recording, out)
    return safetensors.numpy.load_file(out / rundir.NORMALISER)


@pytest.fixture(params=["pose_bundle", "pose_bundle_of_a_recording", "count_bundle"])
def made(request):
    return request.getfixturevalue(request.param)


def test_an_imported_cog_runs_and_promises_no_more_than_is_known(made):
    manifest = made.manifest

    assert manifest.input.layout == "time_major_mislabelled_56x20"
    assert (manifest.input.tones, manifest.input.frames, manifest.input.gain) == ("first56", 20, "none")
    assert (manifest.output.confidence, manifest.output.calibration) == ("none", None)
    assert manifest.provenance.metrics == []
    assert manifest.provenance.limits
    assert "None was measured by this project." in made.file("MODEL_CARD.md").decode()
    assert load_app(made).golden_error < 1e-5


def test_the_pose_cog_keeps_its_name_and_has_no_normaliser(pose_bundle):
    manifest = pose_bundle.manifest

    assert (manifest.id, manifest.version, manifest.head) == ("pose-estimation", "0.0.1", "pose")
    assert manifest.input.normaliser is None
    assert manifest.output.trained_classes is None
    assert len(manifest.output.labels) == 17


def test_the_count_cog_has_two_trained_classes_and_a_measured_normaliser(count_bundle, count_normaliser, recording):
    manifest = count_bundle.manifest

    assert (manifest.id, manifest.version, manifest.head) == ("person-count", "0.0.2", "count")
    assert manifest.output.trained_classes == [0, 1]
    assert manifest.output.labels == ["0", "1", "2", "3", "4", "5", "6", "7"]
    assert manifest.input.normaliser is None, "it is inside the model"
    # Row r of the mislabelled layout holds the elements 20 r to 20 r + 19 of the window, frame after frame.
    flat = _recorded_windows(recording).transpose(0, 2, 1).reshape(-1, 1120).astype(np.float64)
    rows = [flat[:, 20 * row : 20 * row + 20] for row in range(56)]
    np.testing.assert_allclose(count_normaliser["mean"], [row.mean() for row in rows], rtol=1e-5)
    np.testing.assert_allclose(count_normaliser["std"], [row.std() + 1e-6 for row in rows], rtol=1e-5)


def test_the_golden_pair_comes_from_the_numpy_forward_of_the_published_weights(
    made, pose_weights, count_weights, count_normaliser
):
    weights = safetensors.numpy.load_file(pose_weights if made.manifest.head == "pose" else count_weights)
    golden = safetensors.numpy.load(made.file("golden.safetensors"))
    windows = golden.pop("window")
    prepared = windows.transpose(0, 2, 1).reshape(-1, 56, 20)
    if made.manifest.head == "count":
        prepared = (prepared - count_normaliser["mean"][:, None]) / count_normaliser["std"][:, None]

    expected = forward(weights, np.ascontiguousarray(prepared))

    assert windows.shape == (4, 56, 20)
    assert len(np.unique(windows, axis=0)) == 4
    assert golden.keys() == expected.keys()
    for name, values in golden.items():
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=1e-6)


def test_golden_windows_of_a_recording_are_windows_of_it(pose_bundle_of_a_recording, recording):
    golden = safetensors.numpy.load(pose_bundle_of_a_recording.file("golden.safetensors"))["window"]
    windows = _recorded_windows(recording)

    for window in golden:
        assert (windows == window).all(axis=(1, 2)).any()


def test_the_bundle_names_the_weights_and_the_recording_by_digest(count_bundle, count_weights, recording):
    import hashlib

    digests = [source.sha256 for source in count_bundle.manifest.provenance.data]

    assert digests == [hashlib.sha256(path.read_bytes()).hexdigest() for path in (count_weights, recording)]


def test_the_count_cog_spreads_little_over_the_classes_it_never_saw(count_bundle, recording):
    """Only with the layout and the z-score of its training does it put about an eighth of 0.1 on each of them."""
    windows = _recorded_windows(recording)[::10]
    app = load_app(count_bundle)
    logits = np.concatenate(
        [app.infer(part)["count_logits"] for part in np.split(windows, range(64, len(windows), 64))]
    )
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)

    assert probabilities[:, 2:].mean() == pytest.approx(0.0125, abs=0.004)


def test_the_count_cog_is_refused_without_a_recording(count_weights, key_file, tmp_path):
    ran = run_cli("import-cog", count_weights, "--key", key_file, "--out", tmp_path / "count.tar")

    assert ran.status == 30
    assert "training statistics were never published" in ran.err
    assert "--recording FILE" in ran.err
    assert not list(tmp_path.iterdir())


def weights_of(net) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in net.state_dict().items()}


def without(tensors, name):
    return {key: tensor for key, tensor in tensors.items() if key != name}


@pytest.mark.parametrize(
    "tensors",
    [
        {"a": np.zeros(3, np.float32)},
        {},
        without(weights_of(PoseNet()), "head.fc2.bias"),
        weights_of(CountNet()) | {"extra": np.zeros(1, np.float32)},
        weights_of(PoseNet()) | {"head.fc2.bias": np.zeros(30, np.float32)},
    ],
    ids=["other", "empty", "one less", "one more", "one smaller"],
)
def test_weights_of_no_published_cog_are_refused(tmp_path, tensors):
    path = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file(tensors, path)

    with pytest.raises(TrainError, match="holds the weights of neither published cog"):
        import_cog(path, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    weights = weights_of(PoseNet())
    weights["head.fc2.bias"] = np.full(34, np.nan, np.float32)
    safetensors.numpy.save_file(weights, tmp_path / "weights.safetensors")

    with pytest.raises(TrainError, match="off by nan"):
        import_cog(tmp_path / "weights.safetensors", None, tmp_path / "out")


def test_an_adapter_is_no_weight_file(data, tmp_path):
    with pytest.raises(TrainError, match="neither published cog"):
        import_cog(data / "ruview" / "pose-estimation" / "sample_room.adapter.safetensors", None, tmp_path / "out")


def test_a_recording_without_a_whole_window_is_refused(tmp_path):
    safetensors.numpy.save_file(weights_of(PoseNet()), tmp_path / "weights.safetensors")
    (tmp_path / "a.jsonl").write_text("{}\n")

    with pytest.raises(TrainError, match="holds no 20 frames in a row"):
        import_cog(tmp_path / "weights.safetensors", tmp_path / "a.jsonl", tmp_path / "out")


def test_random_weights_of_the_same_shapes_import_and_the_run_directory_is_whole(tmp_path):
    weights = weights_of(PoseNet())
    safetensors.numpy.save_file(weights, tmp_path / "weights.safetensors")

    import_cog(tmp_path / "weights.safetensors", None, tmp_path / "out")

    golden = safetensors.numpy.load_file(tmp_path / "out" / rundir.GOLDEN)
    model_input = ModelInput("time_major_mislabelled_56x20", "none")
    expected = forward(weights, model_input.prepare(golden["window"]))
    np.testing.assert_array_equal(golden["keypoints"], expected["keypoints"])
    assert rundir.read_description(tmp_path / "out").head == "pose"
