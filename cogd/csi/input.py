"""The input kind `csi`: the windows and the model input that a bundle's manifest describes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogd.csi.input_rules import SUBCARRIERS
from cogd.csi.model_input import ModelInput
from cogd.csi.window import WindowSpec
from cogd.errors import ManifestError, RequirementError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from cogd.bundle.manifest import InputSpec


def window_spec(spec: InputSpec) -> WindowSpec:
    """Return the windows that an input describes.

    Raises:
        RequirementError: the input wants another number of subcarriers than this cogd selects.
    """
    if spec.subcarriers != SUBCARRIERS:
        raise RequirementError(
            f"input.subcarriers is {spec.subcarriers}; this cogd selects {SUBCARRIERS}",
            hint="ask the publisher for a bundle for this version of cogd, or update cogd",
        )
    cell_s = 1 / spec.rate_hz if spec.columns == "cell_median" else None
    return WindowSpec(spec.tones, spec.frames, spec.min_gap_s, spec.max_gap_s, cell_s)


def input_shape(spec: InputSpec) -> tuple[int, int]:
    """Return the shape of one model input without the batch axis: `(subcarriers, frames)`."""
    return spec.subcarriers, spec.frames


def model_input(spec: InputSpec, normaliser: Mapping[str, NDArray[np.float32]] | None) -> ModelInput:
    """Return what turns windows into the model's input.

    Args:
        spec: the manifest's input.
        normaliser: the tensors of the file that `spec.normaliser` names; None where it names none.

    Raises:
        ManifestError: the normaliser does not hold `mean` and positive `std`, one value a subcarrier each.
    """
    if normaliser is None:
        return ModelInput(spec.layout, spec.gain)
    mean, std = normaliser.get("mean"), normaliser.get("std")
    rows = (spec.subcarriers,)
    if mean is None or std is None or mean.shape != rows or std.shape != rows or not (std > 0).all():
        raise ManifestError(f"{spec.normaliser} must hold `mean` and positive `std` of {spec.subcarriers} values")
    return ModelInput(spec.layout, spec.gain, mean, std)
