import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from cogd.errors import TrainError
from cogd.train import rundir

pytestmark = pytest.mark.train


def test_a_missing_description_is_refused_by_its_name(tmp_path):
    with pytest.raises(TrainError, match=r"description\.json is missing"):
        rundir.read_description(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"title": "a", "unknown": 1}'])
def test_what_is_no_description_is_refused(tmp_path, content):
    (tmp_path / rundir.DESCRIPTION).write_bytes(content)

    with pytest.raises(TrainError, match="is not a description"):
        rundir.read_description(tmp_path)


def test_an_unreadable_description_is_refused(tmp_path):
    (tmp_path / rundir.DESCRIPTION).mkdir()

    with pytest.raises(TrainError, match=r"description\.json can't be read: Is a directory"):
        rundir.read_description(tmp_path)


def test_a_description_reads_as_it_was_written(tmp_path, pose_run):
    description = rundir.read_description(pose_run)

    rundir.write_description(tmp_path, description)

    assert rundir.read_description(tmp_path) == description


def test_weights_of_another_type_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    for tensor in (torch.zeros(2).double(), torch.zeros(2).half()):
        safetensors.torch.save_file({"a": tensor}, path)
        with pytest.raises(TrainError, match="holds a as float"):
            rundir.read_weights(path)
    for tensor in (torch.zeros(2).bfloat16(), torch.zeros(2).to(torch.float8_e4m3fn)):
        safetensors.torch.save_file({"a": tensor}, path)
        with pytest.raises(TrainError):
            rundir.read_weights(path)


@pytest.mark.parametrize("content", [b"", b"text", bytes(100), b"\xff" * 100])
def test_what_is_no_weight_file_is_refused(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)

    with pytest.raises(TrainError, match="is not a readable safetensors file"):
        rundir.read_weights(path)


def test_a_truncated_or_missing_weight_file_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file({"a": np.zeros(100, np.float32)}, path)
    path.write_bytes(path.read_bytes()[:-1])

    for wrong in (path, tmp_path / "missing.safetensors"):
        with pytest.raises(TrainError, match="is not a readable safetensors file"):
            rundir.read_weights(wrong)
