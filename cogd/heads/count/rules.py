"""The rules for bundles of the count head: their output and calibration."""

from __future__ import annotations

from cogd.errors import ManifestError
from cogd.heads.calibration import numbers
from cogd.heads.platt import Line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cogd.heads.calibration import Calibration, Output

_FUSED = ("fused_slope", "fused_offset")
_ODDS = "odds"


def check(output: Output, calibration: Calibration) -> None:
    """Check a bundle's output and calibration.

    Raises:
        ManifestError: they do not suit the count head.
    """
    count_classes(output)
    count_calibration(output, calibration)


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
    odds = numbers(calibration, [_ODDS])[0] if _ODDS in calibration else 0.0
    if not calibration.keys().isdisjoint(_FUSED):
        names += _FUSED
    temperature, slope, offset, *fused = numbers(calibration, names)
    if temperature <= 0:
        raise ManifestError("the calibration must have a temperature above 0")
    return temperature, Line(slope, offset), odds, Line(*fused) if fused else None
