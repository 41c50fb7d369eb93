"""The rules for bundles of the pose head: their output and calibration."""

from __future__ import annotations

from math import isfinite

from cogd.errors import ManifestError
from cogd.heads.calibration import numbers
from cogd.heads.platt import Line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cogd.heads.calibration import Calibration, Output

JOINT_COUNT = 17
LOG_SCALE = -7.0, 3.0
"""What the pose model's scales are taken to lie between: so it was trained, and so radii are finite."""

RADIUS_50, RADIUS_90 = 1.6783469900166612, 3.889720169867429
"""In units of its scale, the radii that hold a joint with those probabilities: where (1 + r) exp(-r) is 0.5 and 0.1.

The error's density is exp(-r / s) / (2 pi s^2), which is Laplace's in every direction alike: r is Gamma(2, s)."""

_KEYPOINTS, _LOG_SCALE = ("keypoints", [2 * JOINT_COUNT]), ("log_scale", [JOINT_COUNT])


def check(output: Output, calibration: Calibration) -> None:
    """Check a bundle's output and calibration.

    Raises:
        ManifestError: they do not suit the pose head.
    """
    pose_calibration(output, calibration)


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
    slope, offset = numbers(calibration, ("slope", "offset"))
    if slope <= 0:
        raise ManifestError(
            "the calibration's slope must be above 0: the less a pose may be off, the likelier it is right"
        )
    return list(scales), Line(slope, offset)
