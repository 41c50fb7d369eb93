import msgspec
import numpy as np
import pytest
from scipy.stats import gamma

from cogd.bundle.manifest import Tensor
from cogd.errors import ManifestError
from cogd.heads.pose.head import PoseHead
from cogd.heads.pose.rules import LOG_SCALE, RADIUS_50

from .factory import POSE, contexts, shared_fields


def read(keypoints: np.ndarray):
    return PoseHead(POSE, {}).read({"keypoints": keypoints}, contexts(len(keypoints)))


def test_pairs_of_values_become_17_points_in_the_order_of_the_model():
    values = np.arange(34, dtype=np.float32)[None] / 64
    (reading,) = read(values)
    (person,) = reading.fields.persons
    assert person.keypoints == [[2 * k / 64, (2 * k + 1) / 64] for k in range(17)]


def test_each_row_becomes_one_reading_with_its_own_context():
    values = np.random.default_rng(1).random((5, 34), np.float32)
    readings = read(values)
    for row, reading, context in zip(values, readings, contexts(5), strict=True):
        fields = reading.fields
        np.testing.assert_allclose(np.ravel(fields.persons[0].keypoints), row, atol=5e-7)
        assert {name: getattr(fields, name) for name in shared_fields(context)} == shared_fields(context)
        assert reading.fields.event_level() == "info"


def test_one_skeleton_is_told_and_its_confidence_is_null():
    (reading,) = read(np.zeros((1, 34), np.float32))
    assert reading.fields.n_persons == len(reading.fields.persons) == 1
    assert reading.fields.persons[0].confidence is None


def test_coordinates_are_rounded_to_six_decimals():
    (reading,) = read(np.full((1, 34), 1 / 3, np.float32))
    assert reading.fields.persons[0].keypoints[0] == [0.333333, 0.333333]


@pytest.mark.parametrize(
    "tensors",
    [
        [Tensor(name="keypoints", shape=[33])],
        [Tensor(name="keypoints", shape=[17, 2])],
        [Tensor(name="points", shape=[34])],
        [Tensor(name="keypoints", shape=[34]), Tensor(name="more", shape=[1])],
    ],
)
def test_other_outputs_are_refused(tensors):
    with pytest.raises(ManifestError, match="one output `keypoints` of 34 values"):
        PoseHead(msgspec.structs.replace(POSE, tensors=tensors), {})


@pytest.mark.parametrize(
    ("confidence", "calibration"), [("platt", {}), ("none", {"temperature": np.ones(1, np.float32)})]
)
def test_a_calibration_is_refused(confidence, calibration):
    with pytest.raises(ManifestError, match="no calibration"):
        PoseHead(msgspec.structs.replace(POSE, confidence=confidence), calibration)


SCALED = msgspec.structs.replace(POSE, tensors=[*POSE.tensors, Tensor(name="log_scale", shape=[17])])
CALIBRATED = msgspec.structs.replace(SCALED, confidence="platt", calibration="calibration.safetensors")
CALIBRATION = {
    "joint_scale": np.linspace(0.5, 1.5, 17).astype(np.float32),
    "slope": np.asarray([2.0], np.float32),
    "offset": np.asarray([-5.0], np.float32),
}


def read_scales(log_scale: np.ndarray, output=CALIBRATED, calibration=CALIBRATION):
    outputs = {"keypoints": np.full((len(log_scale), 34), 0.5, np.float32), "log_scale": log_scale}
    return PoseHead(output, calibration).read(outputs, contexts(len(log_scale)))


def test_a_joints_radius_is_the_median_of_its_calibrated_errors():
    log_scale = np.random.default_rng(0).normal(-3, 0.5, (3, 17)).astype(np.float32)

    for row, reading in zip(log_scale.astype(np.float64), read_scales(log_scale), strict=True):
        scale = np.exp(row) * CALIBRATION["joint_scale"]
        error_50 = np.asarray(reading.fields.persons[0].error_50)
        np.testing.assert_allclose(error_50, gamma.ppf(0.5, 2, scale=scale), atol=1e-6)
        errors = np.random.default_rng(1).gamma(2, scale, (20_000, 17))
        np.testing.assert_allclose((errors < error_50).mean(axis=0), 0.5, atol=0.015)


def test_the_confidence_is_the_line_of_the_mean_scale_and_holds_events_back():
    readings = read_scales(np.asarray([[-3.0] * 17, [-2.0] * 17], np.float32))

    assert [reading.confidence for reading in readings] == [0.731059, 0.268941]  # sigmoid of 1 and of -1
    assert [reading.fields.persons[0].confidence for reading in readings] == [0.731059, 0.268941]


def test_scales_out_of_bounds_give_finite_numbers():
    readings = read_scales(np.asarray([[-1e30] * 17, [1e30] * 17], np.float32))

    for reading, bound in zip(readings, LOG_SCALE, strict=True):
        person = reading.fields.persons[0]
        np.testing.assert_allclose(person.error_50, RADIUS_50 * np.exp(bound) * CALIBRATION["joint_scale"], atol=1e-6)
        assert 0 <= person.confidence <= 1


@pytest.mark.parametrize("output", [POSE, SCALED])
def test_without_a_calibration_neither_is_told(output):
    (reading,) = read_scales(np.zeros((1, 17), np.float32), output, {})

    assert (reading.confidence, reading.fields.persons[0].error_50) == (None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"joint_scale": np.ones(16, np.float32)},
        {"joint_scale": np.zeros(17, np.float32)},
        {"joint_scale": np.full(17, np.inf, np.float32)},
        {"slope": np.asarray([-1.0], np.float32)},
        {"slope": np.asarray([0.0], np.float32)},
        {"offset": np.asarray([np.nan], np.float32)},
        {"offset": np.zeros(2, np.float32)},
    ],
)
def test_a_calibration_that_can_not_be_meant_is_refused(wrong):
    with pytest.raises(ManifestError):
        PoseHead(CALIBRATED, CALIBRATION | wrong)


@pytest.mark.parametrize("missing", CALIBRATION)
def test_a_calibration_that_lacks_a_tensor_is_refused(missing):
    with pytest.raises(ManifestError):
        PoseHead(CALIBRATED, {name: tensor for name, tensor in CALIBRATION.items() if name != missing})


def test_scales_in_the_wrong_place_are_refused():
    with pytest.raises(ManifestError, match="log_scale"):
        PoseHead(msgspec.structs.replace(SCALED, tensors=SCALED.tensors[::-1]), {})
