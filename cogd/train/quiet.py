"""Baselines of recorded nodes: `cogd calibrate` on the first seconds of each quiet stretch of a data set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from cogd.control.wire import MAX_CALIBRATION_S, MIN_CALIBRATION_S
from cogd.errors import CalibrationError, ConfigError, TrainError
from cogd.heads.base import Baseline
from cogd.runtime.calibrator import centre_of, too_little
from cogd.train.data.cut import cut_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from cogd.csi.window import WindowSpec
    from cogd.heads.base import QuietRule
    from cogd.train.data.track import Dataset, Recording
    from cogd.train.data.windows import Windows

    Scores = Callable[[NDArray[np.float32]], NDArray[np.float64]]


_ROUNDING_S: Final = 1e-6


class Watched(NamedTuple):
    """A node's baseline, and the stretch that it was measured in."""

    baseline: Baseline
    session: str
    start_s: float
    end_s: float

    def holds(self, session: str, start_s: float, end_s: float) -> bool:
        """Whether a window reaches into that stretch."""
        return session == self.session and start_s < self.end_s and end_s > self.start_s


@dataclass(frozen=True, eq=False)
class QuietRooms:
    """What was watched.

    Attributes:
        seconds: for how long each.
        watched: by setup and node.
        refused: why a setup's node has none.
        setups: which setup each session is of.
    """

    seconds: float
    watched: Mapping[tuple[str, int], Watched]
    refused: Mapping[tuple[str, int], str]
    setups: Mapping[str, str]

    def of(self, windows: Windows, rows: NDArray[np.int64]) -> list[Watched | None]:
        """What each row's node was watched to say; None where it was not."""
        names = windows.names["session"]
        return [
            self.watched.get((self.setups[names[session]], node))
            for session, node in zip(windows.session[rows].tolist(), windows.node[rows].tolist(), strict=True)
        ]

    def notes(self) -> list[str]:
        """What one must know to read the figures."""
        rule = (
            f"each node's baseline is what `cogd calibrate` makes of the first {self.seconds:g} s of the first quiet "
            "recording of its setup (same place and device, recordings made on end); no window that reaches into them "
            "is in a figure. Nodes without a baseline are judged without, as by the daemon, and are a part of their own"
        )
        return [rule, *(f"no baseline for {setup}, node {node}: {why}" for (setup, node), why in self.refused.items())]


def watch(dataset: Dataset, spec: WindowSpec, rule: QuietRule, scores: Scores, seconds: float) -> QuietRooms:
    """Watch every node of every setup for so long as the daemon does: all windows, its rules for enough and for quiet.

    Args:
        dataset: labelled.
        spec: of the windows.
        rule: the head's; decides whether a stretch that is labelled quiet really was.
        scores: of raw windows.
        seconds: for how long.

    Raises:
        ConfigError: the daemon would not watch for so long.
        TrainError: the data set has no setup with a quiet stretch.
    """
    if not MIN_CALIBRATION_S <= seconds <= MAX_CALIBRATION_S:
        raise ConfigError(
            f"calibrating for {seconds:g} s",
            hint=f"{MIN_CALIBRATION_S:g} to {MAX_CALIBRATION_S:g} s, as `cogd calibrate` takes",
        )
    by_node: dict[tuple[str, int], list[Recording]] = {}
    for recording in dataset.listed:
        by_node.setdefault((_setup(recording), recording.node), []).append(recording)
    watched: dict[tuple[str, int], Watched] = {}
    refused: dict[tuple[str, int], str] = {}
    for key, recordings in by_node.items():
        try:
            watched[key] = _watch_one(dataset, recordings, spec, rule, scores, seconds)
        except CalibrationError as error:
            refused[key] = str(error)
    if not watched:
        raise TrainError(
            f"{dataset.name} has no node with a baseline: {next(iter(refused.values()))}", hint="watch for less time"
        )
    return QuietRooms(seconds, watched, refused, {one.session: _setup(one) for one in dataset.listed})


def _setup(recording: Recording) -> str:
    return recording.setup or recording.session


def _watch_one(
    dataset: Dataset,
    recordings: Sequence[Recording],
    spec: WindowSpec,
    rule: QuietRule,
    scores: Scores,
    seconds: float,
) -> Watched:
    for recording in recordings:
        moving = recording.track().moving
        if moving is None or not (moving == 0).any():
            continue
        windows = cut_windows(replace(dataset, listed=(recording,)), spec)
        quiet = np.flatnonzero(windows.moving == 0)
        if len(quiet) == 0:
            continue
        start_s, first_s = float(windows.start_s[quiet[0]]), float(windows.end_s[quiet[0]])
        rows = quiet[windows.end_s[quiet] <= start_s + seconds + _ROUNDING_S]
        times_s = windows.end_s[rows].tolist()
        if lack := too_little(times_s, seconds - (first_s - start_s)):
            waited = f"the first window takes {first_s - start_s:.3g} s of the {seconds:g}"
            raise CalibrationError(f"{lack}; {waited}", hint="")
        if np.diff(times_s).max() > spec.max_gap_s:
            raise CalibrationError("the quiet stretch is interrupted", hint="")
        said = scores(windows.csi[rows]).tolist()
        if objection := rule.why_not(said):
            raise CalibrationError(objection, hint="")
        score, _ = centre_of(said)
        return Watched(Baseline(score=score, time=start_s + seconds), recording.session, start_s, start_s + seconds)
    raise CalibrationError("no quiet stretch is recorded", hint="")
