import shutil

import msgspec
import numpy as np
import onnx
import pytest
import safetensors.numpy
import torch

from cogd.errors import ConfigError, GoldenError, ModelError, TrainError
from cogd.runtime.app import load_app
from cogd.train import rundir
from cogd.train.export import export_onnx
from cogd.train.heads.pose.net import PoseNet
from cogd.train.metrics.figure import verdict
from cogd.train.package import Naming, model_card, package
from tests.train.factory import KEY, bundle, run_cli, verified

pytestmark = pytest.mark.train

NAMING = Naming("tiny", "1.2.3")


@pytest.fixture
def run(tmp_path, pose_run):
    """A run directory that may be broken."""
    shutil.copytree(pose_run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(params=["pose", "count"])
def either_run(request):
    return request.getfixturevalue(f"{request.param}_run")


def test_a_run_becomes_a_signed_bundle_that_reproduces_its_golden_pair(either_run, key_file, tmp_path):
    ran = bundle(either_run, key_file, tmp_path / "bundle.tar")

    assert ran.status == 0, ran.err
    assert "tiny 1.2.3" in ran.out
    made = verified(tmp_path / "bundle.tar")
    assert made.key_ids == (KEY.public.key_id,)
    assert (made.manifest.id, made.manifest.version) == ("tiny", "1.2.3")
    app = load_app(made)
    assert app.golden_error < 1e-6
    golden = safetensors.numpy.load(made.file(rundir.GOLDEN))
    for name, values in app.infer(golden["window"]).items():
        np.testing.assert_allclose(values, golden[name], rtol=0, atol=1e-6)
    assert list(tmp_path.iterdir()) == [tmp_path / "bundle.tar"]


def test_the_bundle_holds_what_it_needs_and_nothing_else(pose_run, key_file, tmp_path):
    bundle(pose_run, key_file, tmp_path / "bundle.tar")

    made = verified(tmp_path / "bundle.tar")

    assert sorted(made.files) == ["MODEL_CARD.md", "golden.safetensors", "model.onnx"]
    assert made.file("model.onnx") == (pose_run / "model.onnx").read_bytes()


def test_a_model_that_is_not_the_golden_pairs_is_never_signed(run):
    proto = onnx.load_model_from_string((run / "model.onnx").read_bytes())
    largest = max(proto.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    largest.raw_data = (np.frombuffer(largest.raw_data, np.float32) * np.float32(1.5)).tobytes()
    (run / "model.onnx").write_bytes(proto.SerializeToString())

    with pytest.raises(GoldenError):
        package(run / "model.onnx", NAMING, [KEY])


def test_the_card_holds_every_figure_beside_its_baseline(either_run):
    description = rundir.read_description(either_run)
    card = model_card(description, NAMING)

    assert card.startswith(f"# {description.title}: tiny 1.2.3\n")
    assert len(description.provenance.metrics) >= 6
    for metric in description.provenance.metrics:
        row = (
            f"| {metric.name} | {metric.value:.4f} | {between(metric)} | {metric.baseline_value:.4f} "
            f"({metric.baseline_name}) | {verdict(metric)} | {metric.n} |"
        )
        assert card.splitlines().count(f"On {metric.split}") == 1, "each part has one table"
        assert row in card.splitlines()
        assert f"* `{metric.name}`: {metric.definition}" in card.splitlines()
        assert metric.interval is None or f"* interval: {metric.interval}" in card.splitlines()
    for limit in description.provenance.limits:
        assert f"* {limit}" in card.splitlines()
    for source in description.provenance.data:
        assert f"* {source.name}; licence {source.licence}" in card


def between(metric) -> str:
    return "not known" if metric.interval is None else f"{metric.low:.4f} to {metric.high:.4f}"


def test_the_card_in_the_bundle_is_signed(pose_run, key_file, tmp_path):
    bundle(pose_run, key_file, tmp_path / "bundle.tar")

    expected = model_card(rundir.read_description(pose_run), NAMING)

    assert verified(tmp_path / "bundle.tar").file("MODEL_CARD.md").decode() == expected


def test_a_given_time_makes_the_bundle_the_same_to_the_byte(pose_run, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    model = pose_run / "model.onnx"

    assert package(model, NAMING, [KEY]) == package(model, NAMING, [KEY])


def test_the_bundle_says_when_it_was_made(pose_run, key_file, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")

    bundle(pose_run, key_file, tmp_path / "bundle.tar")

    assert verified(tmp_path / "bundle.tar").manifest.created == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("epoch", ["", "noon", "1.5", "99999999999999999999"])
def test_a_time_that_is_none_is_refused(pose_run, monkeypatch, epoch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)

    with pytest.raises(TrainError, match="SOURCE_DATE_EPOCH"):
        package(pose_run / "model.onnx", NAMING, [KEY])


@pytest.mark.parametrize("name", ["description.json", "golden.safetensors", "model.onnx"])
def test_what_is_missing_is_named(run, name):
    (run / name).unlink()

    with pytest.raises(TrainError, match=name):
        package(run / "model.onnx", NAMING, [KEY])


@pytest.mark.parametrize("app_id", ["", "x", "Tiny", "tiny app", "../tiny", "t" * 33])
def test_a_name_that_is_no_app_id_is_refused(pose_run, key_file, tmp_path, app_id):
    ran = bundle(pose_run, key_file, tmp_path / "bundle.tar", app_id=app_id)

    assert ran.status == ConfigError.exit_status
    assert f"cogd-train: config: {app_id!r} is no app's id\n" in ran.err
    assert "2 to 32 of a-z, 0-9 and -" in ran.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("version", ["", "1", "1.0", "v1.2.3", "1.2.3.4", "01.2.3"])
def test_a_version_that_is_no_semver_is_refused_in_words(pose_run, key_file, tmp_path, version):
    ran = bundle(pose_run, key_file, tmp_path / "bundle.tar", version=version)

    assert ran.status == ConfigError.exit_status
    assert f"cogd-train: config: {version!r} is no version\n" in ran.err
    assert "three numbers such as 1.0.0" in ran.err
    assert "A-Z" not in ran.err, "a pattern is no help"


@pytest.mark.parametrize("expires", ["", "tomorrow", "2027-01-31", "2027-01-31T00:00:00+01:00", "2027-02-30T00:00:00Z"])
def test_an_end_that_is_no_time_is_refused_in_words(expires):
    with pytest.raises(ConfigError, match="is no time") as refused:
        Naming("tiny", "1.2.3", expires)

    assert "2027-01-31T00:00:00Z" in refused.value.hint


def test_a_secret_key_that_others_can_read_is_refused(pose_run, key_file, tmp_path):
    open_key = tmp_path / "open.pem"
    shutil.copyfile(key_file, open_key)
    open_key.chmod(0o644)

    ran = bundle(pose_run, open_key, tmp_path / "bundle.tar")

    assert (ran.status, ran.err.splitlines()[1]) == (19, f"cogd-train: hint: chmod 600 {open_key}")
    assert not (tmp_path / "bundle.tar").exists()


@pytest.mark.parametrize("content", [None, b"", b"no key"])
def test_a_secret_key_that_is_none_is_refused(pose_run, tmp_path, content):
    key = tmp_path / "wrong.pem"
    if content is not None:
        key.write_bytes(content)
        key.chmod(0o600)

    ran = bundle(pose_run, key, tmp_path / "bundle.tar")

    assert ran.status == 19
    assert str(key) in ran.err


def test_several_keys_sign_the_same_bundle(pose_run, key_file, tmp_path):
    run_cli("keygen", "--out", tmp_path / "second")
    command = ["bundle", "--model", pose_run / "model.onnx", "--id", "tiny", "--version", "1.2.3"]
    out = tmp_path / "bundle.tar"

    ran = run_cli(*command, "--key", key_file, "--key", tmp_path / "second.pem", "--out", out)
    twice = run_cli(*command, "--key", key_file, "--key", key_file, "--out", tmp_path / "twice.tar")

    assert (ran.status, "2 signature(s)" in ran.out) == (0, True)
    assert verified(out).key_ids == (KEY.public.key_id,)
    assert twice.status == 13


@pytest.mark.parametrize("out", ["missing/bundle.tar", "folder"])
def test_a_bundle_that_can_not_be_written_is_said_to_be_so(pose_run, key_file, tmp_path, out):
    (tmp_path / "folder").mkdir()

    ran = bundle(pose_run, key_file, tmp_path / out)

    assert ran.status == 30
    assert f"{tmp_path / out} can't be written: " in ran.err


def test_the_published_models_are_refused(data, key_file, tmp_path):
    for path in ("pose-estimation/pose_v1.onnx", "person-count/count_v1.onnx"):
        with pytest.raises(ModelError, match="has no weights"):
            package(data / "ruview" / path, NAMING, [KEY])


def test_a_calibration_travels_with_its_model(count_run, tmp_path):
    run = shutil.copytree(count_run, tmp_path / "run")
    (run / rundir.CALIBRATION).unlink(missing_ok=True)
    description = rundir.read_description(run)
    import msgspec

    output = msgspec.structs.replace(description.output, confidence="platt", calibration=rundir.CALIBRATION)
    rundir.write_description(run, msgspec.structs.replace(description, output=output))

    with pytest.raises(TrainError, match=r"calibration\.safetensors"):
        package(run / "model.onnx", NAMING, [KEY])
    one = np.ones(1, np.float32)
    safetensors.numpy.save_file({"temperature": one, "slope": one, "offset": one}, run / rundir.CALIBRATION)

    assert b"calibration.safetensors" in package(run / "model.onnx", NAMING, [KEY])


def test_a_model_without_the_normaliser_inside_takes_it_along(run, key_file, tmp_path):
    """As of a graph that could not be rewritten."""
    plain = run / "model.onnx"
    net = PoseNet()
    weights = safetensors.numpy.load_file(run / rundir.WEIGHTS)
    net.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in weights.items()})
    plain.write_bytes(export_onnx(net, net.output_names, 20))
    description = rundir.read_description(run)
    spec = msgspec.structs.replace(description.input, normaliser=rundir.NORMALISER)
    rundir.write_description(run, msgspec.structs.replace(description, input=spec))

    assert bundle(run, key_file, tmp_path / "bundle.tar").status == 0

    made = verified(tmp_path / "bundle.tar")
    assert rundir.NORMALISER in made.files
    assert load_app(made).golden_error < 1e-6
