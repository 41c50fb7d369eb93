"""What the packaged heads want of a bundle's output. Apart from the heads, so that `cogd health` needs no NumPy."""

from __future__ import annotations

from math import isfinite

from cogd.errors import ManifestError
from cogd.heads.platt import Line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cogd.bundle.manifest import OutputSpec
    from cogd.probe.facts import OutputFacts

    Output = OutputSpec | OutputFacts
    Calibration = Mapping[str, Sequence[float]]


_MOTION = ("slope", "offset", "baseline_slope", "baseline_offset")
_FUSED = ("fused_slope", "fused_offset")
_ODDS = "odds"


def check_pose(output: Output, calibration: Calibration) -> None:
    """See that the output suits the pose head.

    Raises:
        ManifestError: it does not.
    """
    if [(tensor.name, tensor.shape) for tensor in output.tensors] != [("keypoints", [34])]:
        raise ManifestError("the pose head wants one output `keypoints` of 34 values")
    if output.confidence != "none" or calibration:
        raise ManifestError("the pose head knows no calibration")


def motion_calibration(output: Output, calibration: Calibration) -> tuple[Line, Line]:
    """The line for a node without a baseline, and the one for a node that has one.

    Raises:
        ManifestError: the output, or the calibration, does not suit the motion head.
    """
    if [(tensor.name, tensor.shape) for tensor in output.tensors] != [("motion_logits", [1])]:
        raise ManifestError("the motion head wants one output `motion_logits` of 1 value")
    if output.labels != ["quiet", "moving"] or output.trained_classes != [0, 1]:
        raise ManifestError("the motion head wants the labels quiet and moving, both trained")
    if output.confidence != "platt":
        raise ManifestError("the motion head wants a calibration: without it a logit means nothing")
    slope, offset, above_slope, above_offset = _numbers(calibration, _MOTION)
    if min(slope, above_slope) <= 0:
        raise ManifestError("the calibration's slopes must be above 0: the greater the logit, the more moves")
    return Line(slope, offset), Line(above_slope, above_offset)


def count_classes(output: Output) -> list[int]:
    """The number of persons that each trained class means, ascending.

    Raises:
        ManifestError: the output does not suit the count head.
    """
    shapes = {tensor.name: tensor.shape for tensor in output.tensors}
    if shapes != {"count_logits": [len(output.labels)], "conf_logits": [1]}:
        raise ManifestError("the count head wants `count_logits`, one for each label, and `conf_logits` of 1 value")
    if output.trained_classes is None or len(output.trained_classes) < 2:
        raise ManifestError("the count head must be told which classes were trained, two at least")
    try:
        counts = [int(output.labels[index]) for index in output.trained_classes]
    except ValueError as error:
        raise ManifestError("the count head's labels must be numbers of persons") from error
    if counts[0] < 0 or counts != sorted(set(counts)):
        raise ManifestError("the count head's labels must be numbers of persons, in ascending order")
    return counts


def count_calibration(output: Output, calibration: Calibration) -> tuple[float, Line, float, Line | None] | None:
    """Temperature, line and odds of the confidence, and the line of several nodes together, if any.

    None: there is no confidence.

    Raises:
        ManifestError: the calibration does not suit the count head.
    """
    if output.confidence != "platt":
        return None
    names = ["temperature", "slope", "offset"]
    odds = _numbers(calibration, [_ODDS])[0] if _ODDS in calibration else 0.0
    if not calibration.keys().isdisjoint(_FUSED):
        names += _FUSED
    temperature, slope, offset, *fused = _numbers(calibration, names)
    if temperature <= 0:
        raise ManifestError("the calibration must have a temperature above 0")
    return temperature, Line(slope, offset), odds, Line(*fused) if fused else None


def _numbers(calibration: Calibration, names: Sequence[str]) -> list[float]:
    """One finite number of each name."""
    try:
        numbers = [number for (number,) in (calibration[name] for name in names)]
    except (KeyError, ValueError) as error:
        listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        raise ManifestError(f"the calibration must hold {listed}, one number each") from error
    if not all(map(isfinite, numbers)):
        raise ManifestError("the calibration's numbers must be finite")
    return numbers
