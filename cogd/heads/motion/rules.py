"""The rules for bundles of the motion head: their output and calibration."""

from __future__ import annotations

from cogd.errors import ManifestError
from cogd.heads.calibration import numbers
from cogd.heads.platt import Line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cogd.heads.calibration import Calibration, Output

_LINES = ("slope", "offset", "baseline_slope", "baseline_offset")
_BASELINE_SHARE = "baseline_share"


def check(output: Output, calibration: Calibration) -> None:
    """Check a bundle's output and calibration.

    Raises:
        ManifestError: they do not suit the motion head.
    """
    motion_calibration(output, calibration)


def motion_calibration(output: Output, calibration: Calibration) -> tuple[Line, Line, float]:
    """The line for a node without a baseline, the one for a node that has one, and how much of its baseline counts.

    Raises:
        ManifestError: the output, or the calibration, does not suit the motion head.
    """
    if [(tensor.name, tensor.shape) for tensor in output.tensors] != [("motion_logits", [1])]:
        raise ManifestError("the motion head wants one output `motion_logits` of 1 value")
    if output.labels != ["quiet", "moving"] or output.trained_classes != [0, 1]:
        raise ManifestError("the motion head wants the labels quiet and moving, both trained")
    if output.confidence != "platt":
        raise ManifestError("the motion head wants a calibration: without it a logit means nothing")
    slope, offset, above_slope, above_offset = numbers(calibration, _LINES)
    share = numbers(calibration, [_BASELINE_SHARE])[0] if _BASELINE_SHARE in calibration else 1.0
    if min(slope, above_slope) <= 0:
        raise ManifestError("the calibration's slopes must be above 0: the greater the logit, the more moves")
    if not 0 <= share <= 1:
        raise ManifestError("the calibration's baseline_share must be between 0 and 1")
    return Line(slope, offset), Line(above_slope, above_offset), share
