"""Splits: which windows train, calibrate and test; no window of one part shares a frame with another part's."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cogd.errors import TrainError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from cogd.train.data.windows import Windows

PARTS = ("train", "calibration", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of the parts of a data set.

    Attributes:
        name: how it was made, for reports; a leaky one's says so.
        kind: `time`, `session`, `room`, `subject`, `official`, `random` or `rows`.
        train: int64 rows that train.
        calibration: int64 rows that calibrate.
        test: int64 rows that test.
        ids: for each part the names of its groups, or its stretches of time.
        leaky: whether windows of one part may share frames with another's, so that its figures prove nothing.
    """

    name: str
    kind: str
    train: NDArray[np.int64]
    calibration: NDArray[np.int64]
    test: NDArray[np.int64]
    ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    leaky: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 over kind, ids and rows: the same split of the same windows has the same."""
        content = hashlib.sha256(
            json.dumps([self.kind, self.leaky, {k: list(v) for k, v in self.ids.items()}]).encode()
        )
        for part in PARTS:
            rows: NDArray[np.int64] = getattr(self, part)
            content.update(len(rows).to_bytes(8, "little") + rows.astype("<i8").tobytes())
        return content.hexdigest()


def rows_split(name: str, train: NDArray[np.int64], calibration: NDArray[np.int64], test: NDArray[np.int64]) -> Split:
    """A split by given rows; whoever gives them answers for it that no two parts share a frame."""
    return Split(name, "rows", train, calibration, test)


def temporal_split(windows: Windows, rows: NDArray[np.int64], *, test: float = 0.2, calibration: float = 0.1) -> Split:
    """Cut each session in time: the first part trains, the next calibrates, the last tests.

    After a cut as much time is left out as the longest window spans, so that no two parts meet.

    Raises:
        TrainError: a part would be empty.
    """
    if len(rows) == 0:
        raise TrainError("no window of the data has a usable label", hint="pose needs windows of exactly one person")
    parts: dict[str, list[NDArray[np.int64]]] = {"train": [], "calibration": [], "test": []}
    for session in np.unique(windows.session[rows]):
        mine = rows[windows.session[rows] == session]
        first, last = windows.start_s[mine].min(), windows.end_s[mine].max()
        to_calibration = last - (last - first) * (test + calibration)
        to_test = last - (last - first) * test
        start_s, end_s = windows.start_s[mine], windows.end_s[mine]
        gap_s = (end_s - start_s).max()
        parts["train"].append(mine[end_s < to_calibration])
        parts["calibration"].append(mine[(start_s >= to_calibration + gap_s) & (end_s < to_test)])
        parts["test"].append(mine[start_s >= to_test + gap_s])
    joined = {name: np.concatenate(pieces) for name, pieces in parts.items()}
    for name, part in joined.items():
        if len(part) == 0:
            raise TrainError(f"the {name} part of the data is empty", hint="record or simulate for longer")
    label = (
        f"temporal, per session: first {1 - test - calibration:.0%} train, next {calibration:.0%} calibrate, "
        f"last {test:.0%} test, a window's time between them left out"
    )
    return Split(label, "time", joined["train"], joined["calibration"], joined["test"])
