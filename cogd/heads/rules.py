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

JOINT_COUNT = 17
LOG_SCALE = -7.0, 3.0
"""What the pose model's scales are taken to lie between: so it was trained, and so radii are finite."""

RADIUS_50, RADIUS_90 = 1.6783469900166612, 3.889720169867429
"""In units of its scale, the radii that hold a joint with those probabilities: where (1 + r) exp(-r) is 0.5 and 0.1.

The error's density is exp(-r / s) / (2 pi s^2), which is Laplace's in every direction alike: r is Gamma(2, s)."""

_KEYPOINTS, _LOG_SCALE = ("keypoints", [2 * JOINT_COUNT]), ("log_scale", [JOINT_COUNT])
_MOTION = ("slope", "offset", "baseline_slope", "baseline_offset")
_FUSED = ("fused_slope", "fused_offset")
_BASELINE_SHARE = "baseline_share"
_ODDS = "odds"


def pose_calibration(output: Output, calibration: Calibration) -> tuple[list[float], Line] | None:
    """The factor on each joint's scale, and the line of the confidence; None: neither is known.

    Raises:
        ManifestError: the output, or the calibration, does not suit the pose head.
    """
    shapes = [(tensor.name, tensor.shape) for tensor in output.tensors]
    if shapes not in ([_KEYPOINTS], [_KEYPOINTS, _LOG_SCALE]):
        raise ManifestError("the pose head wants one output `keypoints` of 34 values, or `log_scale` of 17 behind it")
    if output.confidence != "platt" and not calibration:
        return None
    if output.confidence != "platt" or _LOG_SCALE not in shapes:
        raise ManifestError("the pose head knows no calibration but that of a confidence made of `log_scale`")
    scales = calibration.get("joint_scale", ())
    if len(scales) != JOINT_COUNT or not all(isfinite(scale) and scale > 0 for scale in scales):
        raise ManifestError("the calibration must hold joint_scale, 17 numbers above 0")
    slope, offset = _numbers(calibration, ("slope", "offset"))
    if slope <= 0:
        raise ManifestError(
            "the calibration's slope must be above 0: the less a pose may be off, the likelier it is right"
        )
    return list(scales), Line(slope, offset)


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
    slope, offset, above_slope, above_offset = _numbers(calibration, _MOTION)
    share = _numbers(calibration, [_BASELINE_SHARE])[0] if _BASELINE_SHARE in calibration else 1.0
    if min(slope, above_slope) <= 0:
        raise ManifestError("the calibration's slopes must be above 0: the greater the logit, the more moves")
    if not 0 <= share <= 1:
        raise ManifestError("the calibration's baseline_share must be between 0 and 1")
    return Line(slope, offset), Line(above_slope, above_offset), share


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
