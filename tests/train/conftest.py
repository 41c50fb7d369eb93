import importlib.util
from pathlib import Path

import pytest

from tests.train import factory

if importlib.util.find_spec("torch") is None:  # the extra `train` is not installed: these modules can't be imported
    collect_ignore_glob = ["test_*.py", "data/test_*.py", "metrics/test_*.py", "report/test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Results are the same bits only for the same number of threads."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def key_file(tmp_path_factory) -> Path:
    """The secret key file of `factory.KEY`."""
    from cogd.bundle.keys import save_private

    path = tmp_path_factory.mktemp("key") / "publisher.pem"
    save_private(path, factory.KEY)
    return path


@pytest.fixture(scope="session")
def pose_run(tmp_path_factory) -> Path:
    """A finished run directory of the pose network; not to be changed."""
    return factory.train("pose", tmp_path_factory.mktemp("runs") / "pose")


@pytest.fixture(scope="session")
def count_run(tmp_path_factory) -> Path:
    """A finished run directory of the count network; not to be changed."""
    return factory.train("count", tmp_path_factory.mktemp("runs") / "count", "--persons", "0,2")


@pytest.fixture(scope="session")
def pose_weights(data) -> Path:
    return data / "ruview" / "pose-estimation" / "pose_v1.safetensors"


@pytest.fixture(scope="session")
def count_weights(data) -> Path:
    return data / "ruview" / "person-count" / "count_v1.safetensors"


@pytest.fixture(scope="session")
def recording(data) -> Path:
    return data / "ruview" / "pretrain-1775182186.csi.jsonl"
