"""The golden pair without NumPy: the input made as `cogd.csi.model_input` makes it, the output compared."""

from __future__ import annotations

from array import array
from math import sqrt
from operator import mul, sub, truediv

from cogd.probe.not_quick import NotQuick

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cogd.probe.facts import Facts, Tensor

MAX_BATCH = 64
"""As the daemon's; a test holds them equal."""


def golden_windows(facts: Facts, golden: Mapping[str, Tensor]) -> Tensor:
    """The golden pair's input, `[1..64, subcarriers, frames]`.

    Raises:
        NotQuick: there is none that fits.
    """
    windows = golden.get("window")
    if windows is None or windows.shape[1:] != [facts.subcarriers, facts.frames]:
        raise NotQuick(f"{facts.golden_file} holds no window that fits")
    if len(windows.shape) != 3 or not 1 <= windows.shape[0] <= MAX_BATCH:
        raise NotQuick(f"{facts.golden_file} holds too many windows, or none")
    return windows


def prepare(facts: Facts, windows: Tensor, normaliser: Mapping[str, Tensor] | None) -> array[float]:
    """The model's input, as `cogd.csi.model_input` makes it: gain, layout and normaliser, float32 after every step.

    Raises:
        NotQuick: the normaliser does not fit, or a rule is not known here.
    """
    rows, columns = facts.subcarriers, facts.frames
    if facts.gain not in {"none", "window_rms"}:
        raise NotQuick(f"the gain rule {facts.gain}")
    if facts.layout not in {"subcarrier_major", "time_major_mislabelled_56x20"}:
        raise NotQuick(f"the layout {facts.layout}")
    mean, std = _of_rows("mean", normaliser, rows, columns), _of_rows("std", normaliser, rows, columns)
    if std is not None and min(std) <= 0:
        raise NotQuick("the normaliser's std is not positive")
    prepared = array("f")
    for first in range(0, len(windows.values), rows * columns):
        window = windows.values[first : first + rows * columns]
        if facts.gain == "window_rms":
            rms = array("f", [max(sqrt(sum(map(mul, window, window)) / len(window)), 1e-6)])[0]
            window = array("f", [value / rms for value in window])
        if facts.layout == "time_major_mislabelled_56x20":
            window = array("f", [value for frame in range(columns) for value in window[frame::columns]])
        if mean is not None and std is not None:
            window = array("f", map(truediv, array("f", map(sub, window, mean)), std))
        prepared += window
    return prepared


def _of_rows(name: str, normaliser: Mapping[str, Tensor] | None, rows: int, columns: int) -> array[float] | None:
    """A tensor of the normaliser, each row's value as often as there are columns."""
    if normaliser is None:
        return None
    tensor = normaliser.get(name)
    if tensor is None or tensor.shape != [rows]:
        raise NotQuick(f"the normaliser's {name}")
    return array("f", [value for value in tensor.values for _ in range(columns)])


def largest_difference(one: Iterable[float], other: Iterable[float]) -> float:
    """The largest absolute difference; NaN where there is one, for then nothing was reproduced."""
    worst = 0.0
    for difference in map(sub, one, other):
        if not abs(difference) <= worst:
            worst = abs(difference)
            if worst != worst:  # noqa: PLR0124  # NaN
                break
    return worst
