"""Splits: which windows train, calibrate and test; no window of one part shares a frame with another part's."""

from __future__ import annotations

import fnmatch
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from cogd.errors import TrainError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cogd.train.data.windows import Windows

    Rows = NDArray[np.int64]

_SESSIONS_CALIBRATE = "sessions of it may calibrate: split.calibration_by=session with split.calibration=0.5"
PARTS = ("train", "calibration", "test")
Group = Literal["session", "room", "subject"]
Share = float | tuple[str, ...]
"""How much of the groups, or which: names in which `*` stands for anything."""


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
        leaky: whether the parts are of the same sessions, in no order: then figures of the test part prove nothing.
    """

    name: str
    kind: str
    train: Rows
    calibration: Rows
    test: Rows
    ids: Mapping[str, tuple[str, ...]]
    leaky: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 over kind, ids and rows: the same split of the same windows has the same."""
        ids = {part: list(names) for part, names in self.ids.items()}
        content = hashlib.sha256(json.dumps([self.kind, self.leaky, ids]).encode())
        for part in PARTS:
            rows: Rows = getattr(self, part)
            content.update(len(rows).to_bytes(8, "little") + rows.astype("<i8").tobytes())
        return content.hexdigest()


def rows_split(name: str, train: Rows, calibration: Rows, test: Rows) -> Split:
    """A split by given rows; whoever gives them answers for it that no two parts share a frame."""
    return Split(name, "rows", train, calibration, test, {})


def temporal_split(windows: Windows, rows: Rows, *, test: float = 0.2, calibration: float = 0.1) -> Split:
    """Cut each session in time: the first part trains, the next calibrates, the last tests.

    After a cut as much time is left out as the longest window spans, so that no two parts meet.

    Raises:
        TrainError: a part would be empty.
    """
    _refuse_none(rows)
    pieces: dict[str, list[Rows]] = {part: [] for part in PARTS}
    ids: dict[str, list[str]] = {part: [] for part in PARTS}
    for session in np.unique(windows.session[rows]):
        mine = rows[windows.session[rows] == session]
        first, last = windows.start_s[mine].min(), windows.end_s[mine].max()
        to_calibration = last - (last - first) * (test + calibration)
        to_test = last - (last - first) * test
        start_s, end_s = windows.start_s[mine], windows.end_s[mine]
        gap_s = (end_s - start_s).max()
        pieces["train"].append(mine[end_s < to_calibration])
        pieces["calibration"].append(mine[(start_s >= to_calibration + gap_s) & (end_s < to_test)])
        pieces["test"].append(mine[start_s >= to_test + gap_s])
        for part in PARTS:
            own = pieces[part][-1]
            if len(own):
                stretch = f"{windows.start_s[own].min():.3f} to {windows.end_s[own].max():.3f} s"
                ids[part].append(f"{windows.names['session'][session]}: {stretch}")
    trains = f"first {1 - test - calibration:.0%} of each session train"
    label = f"{trains}, next {calibration:.0%} calibrate, last {test:.0%} test"
    parts = {part: np.concatenate(pieces[part]) for part in PARTS}
    return _made(label, "time", parts, {part: tuple(names) for part, names in ids.items()})


def group_split(
    windows: Windows,
    rows: Rows,
    by: Group,
    *,
    test: Share = 0.2,
    calibration: Share = 0.1,
    calibration_by: Group | None = None,
    seed: int = 0,
) -> Split:
    """Deal whole sessions, rooms or subjects to the parts; no group is in two of them.

    Args:
        windows: what to split.
        rows: which of them.
        by: the groups.
        test: which groups test: a share, at least one, drawn by the seed, or their names.
        calibration: the same for those that calibrate, out of what is left.
        calibration_by: other groups for the calibration part. With two rooms, one tests, and of the other's sessions
            some calibrate: `by="room", calibration_by="session"`.
        seed: of the draws.

    Raises:
        TrainError: there are too few groups, a name fits none, or some windows don't tell their group.
    """
    _refuse_none(rows)
    inner = calibration_by or by
    generator = np.random.default_rng(seed)
    tests, rest = _deal(windows, rows, by, test, generator, part="test", spared=2 if inner == by else 1)
    calibrates, trains = _deal(windows, rest, inner, calibration, generator, part="calibration", spared=1)
    parts = {"train": trains, "calibration": calibrates, "test": tests}
    ids = {part: _names(windows, part_rows, by if part == "test" else inner) for part, part_rows in parts.items()}
    drawn = isinstance(test, float) or isinstance(calibration, float)
    label = f"by {by}" + (f", calibration by {inner}" if inner != by else "") + (f", seed {seed}" if drawn else "")
    return _made(f"{label}: {_told(ids)}", by, parts, ids, windows)


def with_training_rows(split: Split, windows: Windows, rows: Rows) -> Split:
    """The split with rows of further sessions in its training part.

    Raises:
        TrainError: a session of theirs is in another part.
    """
    parts = {"train": np.concatenate([split.train, rows]), "calibration": split.calibration, "test": split.test}
    own = {"calibration": windows.session[split.calibration], "test": windows.session[split.test]}
    for part, sessions in own.items():
        if np.isin(windows.session[rows], sessions).any():
            raise TrainError(f"further training data are in the {part} part", hint="give each data set once")
    further = _names(windows, rows, "session")
    ids = {**split.ids, "train": (*split.ids["train"], *further)}
    name = f"{split.name}; {len(further)} further sessions train"
    return Split(name, split.kind, parts["train"], parts["calibration"], parts["test"], ids, split.leaky)


def official_split(windows: Windows, rows: Rows, name: str, sessions: Mapping[str, Sequence[str]]) -> Split:
    """The split that a data set's publisher names: sessions for each part. Windows of no part's sessions are left out.

    Raises:
        TrainError: a part would be empty.
    """
    _refuse_none(rows)
    own = np.asarray(windows.names["session"], dtype=object)[windows.session[rows]]
    parts = {part: rows[np.isin(own, list(sessions[part]))] for part in PARTS}
    ids = {part: _names(windows, part_rows, "session") for part, part_rows in parts.items()}
    return _made(name, "official", parts, ids, windows)


def random_split(
    windows: Windows,
    rows: Rows,
    *,
    allow_leaky: bool = False,
    test: float = 0.2,
    calibration: float = 0.1,
    seed: int = 0,
) -> Split:
    """Deal windows at random, as much published work does: so what is tested is partly known.

    Neighbours share frames where windows overlap, and a room, persons and what they do where they don't.

    Raises:
        TrainError: `allow_leaky` is not set.
    """
    if not allow_leaky:
        raise TrainError(
            "a random split of windows leaks: neighbours share frames or what happens, and a session its room",
            hint="split by session, room, subject or time; --allow-leaky to do it all the same, marked in every report",
        )
    _refuse_none(rows)
    shuffled = np.random.default_rng(seed).permutation(rows)
    tests, calibrates = round(test * len(rows)), round(calibration * len(rows))
    parts = {
        "test": np.sort(shuffled[:tests]),
        "calibration": np.sort(shuffled[tests : tests + calibrates]),
        "train": np.sort(shuffled[tests + calibrates :]),
    }
    frames = _overlapping(windows, parts["test"], parts["train"])
    session = float(np.isin(windows.session[parts["test"]], windows.session[parts["train"]]).mean()) if tests else 0.0
    name = (
        f"LEAKY: windows drawn at random, seed {seed}; of those that test {_percent(session)} share a session with "
        f"windows that train, {_percent(frames)} share frames"
    )
    return _made(name, "random", parts, dict.fromkeys(PARTS, ()), leaky=True)


def _percent(share: float) -> str:
    """A share that is not quite all or nothing is not told as such."""
    if share in {0.0, 1.0}:
        return "none" if share == 0 else "all"
    return f"{min(max(share, 0.01), 0.99):.0%}"


def _overlapping(windows: Windows, rows: Rows, others: Rows) -> float:
    """The share of the rows that overlap in time with another row of their session and node."""
    found = 0
    for session, node in np.unique(np.stack([windows.session[rows], windows.node[rows]], axis=1), axis=0):
        mine, theirs = (
            some[(windows.session[some] == session) & (windows.node[some] == node)] for some in (rows, others)
        )
        if len(theirs):
            theirs = theirs[np.argsort(windows.start_s[theirs], kind="stable")]
            latest_end_s = np.maximum.accumulate(windows.end_s[theirs])
            begun = np.searchsorted(windows.start_s[theirs], windows.end_s[mine], side="right")
            found += int(((begun > 0) & (latest_end_s[begun - 1] >= windows.start_s[mine])).sum())
    return found / max(1, len(rows))


def _deal(
    windows: Windows, rows: Rows, by: Group, share: Share, generator: np.random.Generator, *, part: str, spared: int
) -> tuple[Rows, Rows]:
    """Rows of the chosen groups, and the rest; a share leaves so many groups over."""
    numbers: Rows = getattr(windows, by)[rows]
    unknown = int((numbers < 0).sum())
    if unknown:
        raise TrainError(
            f"{unknown} of {len(rows)} windows don't tell their {by}, so they can't be split by it",
            hint="split by session or by time",
        )
    present = np.unique(numbers)
    names = [windows.names[by][number] for number in present]
    if isinstance(share, tuple):
        refuse_unknown(by, share, names, part)
        chosen = present[[any(fnmatch.fnmatchcase(name, pattern) for pattern in share) for name in names]]
    else:
        wanted = max(1, min(round(share * len(present)), len(present) - spared))
        chosen = generator.permutation(present)[:wanted]
    mine = np.isin(numbers, chosen)
    if mine.all():
        there = f"only {len(names)} {by}{'s' if len(names) > 1 else ''}: {_some(names)}"
        otherwise = _SESSIONS_CALIBRATE if part == "calibration" else "split.kind=session or split.kind=time"
        raise TrainError(
            f"the {part} part would take all that is left; there {'is' if len(names) == 1 else 'are'} {there}",
            hint=f"more {by}s are needed; or " + ("split.kind=time" if by == "session" else otherwise),
        )
    return rows[mine], rows[~mine]


def refuse_unknown(by: Group, patterns: Sequence[str], names: Sequence[str], part: str) -> None:
    """Raise TrainError if one of the patterns fits no name of a group."""
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise TrainError(f"there is no {by} {pattern!r} for the {part} part", hint="there are " + _some(names))


def _names(windows: Windows, rows: Rows, by: Group) -> tuple[str, ...]:
    return tuple(windows.names[by][number] for number in np.unique(getattr(windows, by)[rows]))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _told(ids: Mapping[str, tuple[str, ...]]) -> str:
    """The groups by name where they are few, else how many."""
    verbs = {"train": "train", "calibration": "calibrate", "test": "test"}
    return "; ".join(f"{_some(names) if len(names) <= 4 else len(names)} {verbs[part]}" for part, names in ids.items())


def _refuse_none(rows: Rows) -> None:
    if len(rows) == 0:
        raise TrainError(
            "no window of the data has a usable label",
            hint="pose needs one person with keypoints, count a number of persons, motion a label; see `data inspect`",
        )


def _made(
    name: str,
    kind: str,
    parts: Mapping[str, Rows],
    ids: Mapping[str, tuple[str, ...]],
    windows: Windows | None = None,
    *,
    leaky: bool = False,
) -> Split:
    """The split, if no part is empty and, where whole groups were dealt, no session is in two parts."""
    for part in PARTS:
        if len(parts[part]) == 0:
            raise TrainError(
                f"the {part} part of the data is empty",
                hint="longer recordings are needed, or another share"
                + (f", such as split.{part}=0.3" if part != "train" else "")
                + ", or another split.kind",
            )
    if windows is not None:
        sessions = [set(windows.session[parts[part]].tolist()) for part in PARTS]
        shared = (sessions[0] & sessions[1]) | (sessions[0] & sessions[2]) | (sessions[1] & sessions[2])
        if shared:
            raise TrainError(
                f"the session {windows.names['session'][min(shared)]!r} would be in two parts, which so share frames",
                hint="split by session or by time",
            )
    return Split(name, kind, parts["train"], parts["calibration"], parts["test"], ids, leaky)
