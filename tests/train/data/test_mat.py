import contextlib
import io

import numpy as np
import pytest
import scipy.io
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cogd.errors import TrainError
from cogd.train.data.mat import mat_arrays, parse_mat

pytestmark = pytest.mark.train

DTYPES = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]


def saved(content: dict[str, object], *, compressed: bool = False) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, content, do_compression=compressed)
    return file.getvalue()


@given(
    array=st.sampled_from(DTYPES).flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=2, max_dims=4))),
    compressed=st.booleans(),
)
def test_an_array_comes_back_as_scipy_wrote_it_and_reads_it(array, compressed):
    content = saved({"a": array, "a_longer_name": array}, compressed=compressed)

    read = parse_mat(content)

    expected = scipy.io.loadmat(io.BytesIO(content))
    for name in ("a", "a_longer_name"):
        np.testing.assert_array_equal(read[name], array)
        np.testing.assert_array_equal(read[name], expected[name])


def test_what_is_no_array_of_numbers_is_passed_over():
    content = saved({"text": "abc", "cell": np.array([1, "b"], object), "z": np.array([[1j]]), "a": np.ones((2, 2))})

    assert parse_mat(content).keys() == {"a"}


GOOD = saved({"CSIamp": np.arange(24.0).reshape(2, 3, 4), "x": np.ones((1, 1))})
SMALL = saved({"CSIamp": np.arange(24.0).reshape(2, 3, 4), "x": np.ones((1, 1))}, compressed=True)


@pytest.mark.parametrize("content", [GOOD, SMALL])
def test_a_file_that_is_cut_off_anywhere_lacks_an_array_or_is_told(content):
    for length in range(len(content)):
        try:
            read = parse_mat(content[:length])
        except ValueError:
            continue
        assert len(read) < 2  # it ended between two variables


@settings(max_examples=300)
@given(
    compressed=st.booleans(),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8),
)
@example(compressed=False, changes=[(132, 255), (133, 255)])
def test_a_file_that_is_altered_anywhere_is_read_or_told(compressed, changes):
    content = bytearray(SMALL if compressed else GOOD)
    for where, value in changes:
        content[where % len(content)] = value
    with contextlib.suppress(ValueError):
        parse_mat(bytes(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(200), "it is a MATLAB 7.3 file, which is HDF5"),
        (bytes(512) + b"\x89HDF", "it is a MATLAB 7.3 file, which is HDF5"),
        (b"text" * 100, "its header is not that of a MATLAB 5 file"),
    ],
)
def test_other_files_are_refused_by_what_they_are(tmp_path, content, message):
    path = tmp_path / "frame007.mat"
    path.write_bytes(content)

    with pytest.raises(TrainError, match=rf"frame007\.mat is broken: {message}"):
        mat_arrays(path)


def test_a_missing_file_is_told_by_name(tmp_path):
    with pytest.raises(TrainError, match=r"frame001\.mat can't be read: No such file"):
        mat_arrays(tmp_path / "frame001.mat")
