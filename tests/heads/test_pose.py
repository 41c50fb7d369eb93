import msgspec
import numpy as np
import pytest

from cogd.bundle.manifest import Tensor
from cogd.errors import ManifestError
from cogd.heads.pose import PoseHead

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
        assert reading.level == "info"


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
