import ast
from pathlib import Path

import msgspec
import numpy as np
import pytest

import cogd
from cogd.csi.input import input_shape, model_input, window_spec
from cogd.csi.input_rules import SUBCARRIERS
from cogd.errors import ManifestError, RequirementError
from tests.runtime.factory import input_spec


def normaliser(**changes):
    return {"mean": np.zeros(SUBCARRIERS, np.float32), "std": np.ones(SUBCARRIERS, np.float32)} | changes


def test_windows_and_shape_are_those_of_the_manifest():
    spec = input_spec()
    window = window_spec(spec)
    assert (window.tones, window.frames, window.columns) == (spec.tones, spec.frames, "frames")
    assert (window.min_gap_s, window.max_gap_s) == (spec.min_gap_s, spec.max_gap_s)
    assert input_shape(spec) == (SUBCARRIERS, spec.frames)


def test_a_cell_is_as_long_as_the_time_between_two_columns():
    spec = msgspec.structs.replace(input_spec(), columns="cell_median", rate_hz=8.0)
    assert window_spec(spec).cell_s == 0.125


def test_another_number_of_subcarriers_is_refused_with_what_helps():
    with pytest.raises(RequirementError, match=r"input\.subcarriers is 52; this cogd selects 56") as refused:
        window_spec(input_spec(subcarriers=52))
    assert "update cogd" in refused.value.hint


def test_the_normaliser_is_applied_to_each_row():
    made = model_input(input_spec(gain="none"), normaliser(mean=np.full(SUBCARRIERS, 2, np.float32)))
    window = np.full((1, *input_shape(input_spec())), 3, np.float32)
    np.testing.assert_array_equal(made.prepare(window), np.ones_like(window))


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        normaliser(std=np.zeros(SUBCARRIERS, np.float32)),
        normaliser(mean=np.zeros(SUBCARRIERS - 1, np.float32)),
        normaliser(std=np.ones((SUBCARRIERS, 1), np.float32)),
    ],
)
def test_a_normaliser_that_does_not_fit_is_refused(tensors):
    with pytest.raises(ManifestError, match="must hold `mean` and positive `std` of 56 values"):
        model_input(input_spec(), tensors)


def test_no_other_package_of_the_daemon_contains_the_number_of_subcarriers():
    """The simulator makes CSI and the trainer has networks for it; all else takes shapes from the manifest."""
    root = Path(cogd.__file__).parent
    found = [
        f"{path.relative_to(root)}:{node.lineno}"
        for path in sorted(root.rglob("*.py"))
        if path.relative_to(root).parts[0] not in {"csi", "sim", "train"}
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and type(node.value) is int and node.value == SUBCARRIERS
    ]
    assert found == []
