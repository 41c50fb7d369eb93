"""What the packaged heads want of a bundle's output. Apart from the heads, so that `cogd health` needs no NumPy."""

from __future__ import annotations

from math import isfinite

from cogd.errors import ManifestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cogd.bundle.manifest import OutputSpec
    from cogd.probe.facts import OutputFacts

    Output = OutputSpec | OutputFacts
    Calibration = Mapping[str, Sequence[float]]


def check_pose(output: Output, calibration: Calibration) -> None:
    """See that the output suits the pose head.

    Raises:
        ManifestError: it does not.
    """
    if [(tensor.name, tensor.shape) for tensor in output.tensors] != [("keypoints", [34])]:
        raise ManifestError("the pose head wants one output `keypoints` of 34 values")
    if output.confidence != "none" or calibration:
        raise ManifestError("the pose head knows no calibration")


def motion_calibration(output: Output, calibration: Calibration) -> tuple[float, float, float, float]:
    """Slope and offset for a node without a baseline, and those for one that has one.

    Raises:
        ManifestError: the output, or the calibration, does not suit the motion head.
    """
    if [(tensor.name, tensor.shape) for tensor in output.tensors] != [("motion_logits", [1])]:
        raise ManifestError("the motion head wants one output `motion_logits` of 1 value")
    if output.labels != ["quiet", "moving"] or output.trained_classes != [0, 1]:
        raise ManifestError("the motion head wants the labels quiet and moving, both trained")
    if output.confidence != "platt":
        raise ManifestError("the motion head wants a calibration: without it a logit means nothing")
    names = ("slope", "offset", "baseline_slope", "baseline_offset")
    try:
        (slope,), (offset,), (above_slope,), (above_offset,) = (calibration[name] for name in names)
    except (KeyError, ValueError) as error:
        raise ManifestError(f"the calibration must hold {', '.join(names)}, one number each") from error
    if not (all(map(isfinite, (slope, offset, above_slope, above_offset))) and min(slope, above_slope) > 0):
        raise ManifestError("the calibration's numbers must be finite and the slopes above 0")
    return slope, offset, above_slope, above_offset


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


def count_calibration(output: Output, calibration: Calibration) -> tuple[float, float, float] | None:
    """Temperature, slope and offset; None where there is no confidence.

    Raises:
        ManifestError: the calibration does not suit the count head.
    """
    if output.confidence != "platt":
        return None
    try:
        (temperature,), (slope,), (offset,) = (calibration[name] for name in ("temperature", "slope", "offset"))
    except (KeyError, ValueError) as error:
        raise ManifestError("the calibration must hold temperature, slope and offset, one number each") from error
    if not (all(map(isfinite, (temperature, slope, offset))) and temperature > 0):
        raise ManifestError("the calibration's numbers must be finite and the temperature above 0")
    return temperature, slope, offset
