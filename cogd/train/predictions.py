"""What a model said of labelled windows, beside the truth: what figures are made of, and reports drawn from.

`predictions.safetensors` of a run directory holds one or more parts (the test part; data of which nothing trained).
Its metadata has `format`, `cogd.predictions/1`, and `parts`, a JSON list of `{head, part, leaky, labels, names}`. The
tensors of part number `i` are

i.truth       pose: float32 [n, joints, 2], NaN where not known; count: int64 [n]; motion: bool [n]
i.predicted   the same
i.confidence  float64 [n], the calibrated probability that it is right; absent where the model has none
i.radius      pose: float64 [n, joints], what holds a joint's error with a probability of 50 %; absent where not known
i.score       motion: float64 [n], the higher the more it looks like motion; absent elsewhere
i.session     int64 [n], and so are i.room (-1 unknown); `names` has their names
i.end_s       float64 [n], time of the window's newest frame, within its session
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np
import safetensors
import safetensors.numpy

from cogd.errors import TrainError
from cogd.train import rundir
from cogd.train.metrics.bootstrap import Groups, coarsest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from cogd.heads.platt import Line
    from cogd.train.data.windows import Windows

FORMAT = "cogd.predictions/1"
MAKE_ANEW: Final = "make it anew: train with --overwrite, or evaluate --out once more"
BLOCK_S = 10.0
"""Where there are too few rooms and sessions, stretches of this length are what an interval is made of."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """One part's: see the module.

    Attributes:
        head: what kind of model said it.
        part: which part of which data, as figures name it.
        truth: what was so.
        predicted: what was said.
        confidence: probability that it is right, or None.
        score: what ranks windows by motion, or None.
        radius: of poses, within which each joint's error is with a probability of 50 %, or None.
        session: number of the recording.
        room: number of the room, -1 unknown.
        end_s: when.
        names: of sessions and rooms, by number.
        labels: of joints or classes.
        leaky: whether it is of a leaky split: its figures then prove nothing, and `part` says so.
    """

    head: str
    part: str
    truth: NDArray[Any]
    predicted: NDArray[Any]
    confidence: NDArray[np.float64] | None
    score: NDArray[np.float64] | None
    session: NDArray[np.int64]
    room: NDArray[np.int64]
    end_s: NDArray[np.float64]
    names: Mapping[str, tuple[str, ...]]
    labels: tuple[str, ...]
    leaky: bool = False
    radius: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.truth)

    @classmethod
    def of_windows(
        cls,
        head: str,
        part: str,
        windows: Windows,
        rows: NDArray[np.int64],
        answer: Answer,
        truth: NDArray[Any],
        *,
        leaky: bool = False,
    ) -> Predictions:
        """What was answered of these rows of the data; `truth` is the label of every window."""
        return cls(
            head=head,
            part=part,
            truth=truth[rows],
            predicted=answer.predicted,
            confidence=answer.confidence,
            score=answer.score,
            session=windows.session[rows],
            room=windows.room[rows],
            end_s=windows.end_s[rows],
            names={group: windows.names[group] for group in ("session", "room")},
            labels=answer.labels,
            leaky=leaky,
            radius=answer.radius,
        )

    def groups(self) -> Groups | None:
        """What goes together: rooms if there are enough of them, else sessions, else stretches of time."""
        kinds: list[Groups] = []
        if (self.room >= 0).all():
            kinds.append(Groups(self.room, "rooms"))
        kinds.append(Groups(self.session, "sessions"))
        block = np.floor(self.end_s / BLOCK_S).astype(np.int64)
        _, number = np.unique(np.stack([self.session, block]), axis=1, return_inverse=True)
        kinds.append(Groups(number.ravel(), f"stretches of {BLOCK_S:g} s (which tell nothing of other recordings)"))
        return coarsest(kinds)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64], part: str) -> Predictions:
        """Some of the windows, as a part of that name."""
        mine = {name: tensor[rows] for name in _TENSORS if (tensor := getattr(self, name)) is not None}
        return replace(self, part=part, **mine)

    def by(self, group: Literal["session", "room"]) -> Iterable[Predictions]:
        """A part for each session or room; none where there is only one, or they aren't known."""
        numbers: NDArray[np.int64] = getattr(self, group)
        present = np.unique(numbers)
        if len(present) < 2 or present[0] < 0:
            return
        for number in present.tolist():
            yield self.take(numbers == number, f"{self.part}; {group} {self.names[group][number]}")


@dataclass(frozen=True, eq=False)
class Counted:
    """What makes one count of those of several nodes.

    Attributes:
        probabilities: of each window, over the trained numbers.
        numbers: the trained numbers of persons.
        fused_line: makes a confidence of several nodes' log-odds; None where the model has none.
    """

    probabilities: Sequence[Sequence[float]]
    numbers: Sequence[int]
    fused_line: Line | None


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says of windows, without the truth; see `Predictions`. `counted` is there if persons are counted."""

    predicted: NDArray[Any]
    labels: tuple[str, ...]
    confidence: NDArray[np.float64] | None = None
    score: NDArray[np.float64] | None = None
    radius: NDArray[np.float64] | None = None
    counted: Counted | None = None


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    head: str
    part: str
    leaky: bool
    labels: tuple[str, ...]
    names: dict[str, tuple[str, ...]]


_TENSORS = ("truth", "predicted", "confidence", "score", "radius", "session", "room", "end_s")
_OPTIONAL = frozenset({"confidence", "score", "radius"})


def write_predictions(path: Path, parts: Sequence[Predictions]) -> None:
    """Write the file.

    Raises:
        TrainError: it can't be written.
    """
    tensors = {
        f"{number}.{name}": np.ascontiguousarray(tensor)
        for number, part in enumerate(parts)
        for name in _TENSORS
        if (tensor := getattr(part, name)) is not None
    }
    about = [_Part(part.head, part.part, part.leaky, part.labels, dict(part.names)) for part in parts]
    try:
        rundir.write_tensors(path, tensors, {"format": FORMAT, "parts": msgspec.json.encode(about).decode()})
    except OSError as error:
        raise TrainError(f"{path} can't be written: {error.strerror}", hint="is the disk full?") from error


def read_predictions(path: Path) -> list[Predictions]:
    """Read the file.

    Raises:
        TrainError: it is not there, or not one.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as content:
            metadata: Mapping[str, str] = content.metadata() or {}
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - it is no mapping
        if metadata.get("format") != FORMAT:
            raise TrainError(f"{path} is not a file of predictions, {FORMAT}", hint=MAKE_ANEW)
        about = msgspec.json.decode(metadata["parts"], type=list[_Part])
    except (OSError, KeyError, TypeError, safetensors.SafetensorError, msgspec.DecodeError) as error:
        raise TrainError(f"{path} is not a readable file of predictions: {error}", hint=MAKE_ANEW) from error
    return [_read_part(path, number, part, tensors) for number, part in enumerate(about)]


def _read_part(path: Path, number: int, part: _Part, tensors: Mapping[str, NDArray[Any]]) -> Predictions:
    mine: dict[str, Any] = {name: tensors.get(f"{number}.{name}") for name in _TENSORS}
    rows = {name: len(tensor) for name, tensor in mine.items() if tensor is not None and tensor.ndim}
    if len(set(rows.values())) != 1 or not set(_TENSORS) - _OPTIONAL <= rows.keys():
        raise TrainError(f"{path}: part {number} lacks tensors, or they differ in length", hint=MAKE_ANEW)
    return Predictions(head=part.head, part=part.part, names=part.names, labels=part.labels, leaky=part.leaky, **mine)
