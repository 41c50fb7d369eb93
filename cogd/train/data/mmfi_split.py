"""MM-Fi's official splits: three protocols of actions by three settings, as its authors' toolbox draws them.

The toolbox has two parts; its validation part tests here, and a calibration part is taken out of its training part:
whole subjects where the setting keeps subjects apart, else whole actions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from cogd.errors import TrainError
from cogd.train.data.split import Split, official_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.train.data.windows import Windows

Setting = Literal["random", "cross_subject", "cross_scene"]

SUBJECTS = tuple(f"S{number:02d}" for number in range(1, 41))
_DAILY = (2, 3, 4, 5, 13, 14, 17, 18, 19, 20, 21, 22, 23, 27)
_REHABILITATION = (1, 6, 7, 8, 9, 10, 11, 12, 15, 16, 24, 25, 26)
PROTOCOLS = {
    number: tuple(f"A{action:02d}" for action in actions)
    for number, actions in ((1, _DAILY), (2, _REHABILITATION), (3, range(1, 28)))
}
"""Protocol to actions: daily, rehabilitation, all."""


def mmfi_split(
    windows: Windows,
    rows: NDArray[np.int64],
    protocol: int,
    setting: Setting,
    *,
    ratio: float = 0.8,
    calibration: float = 0.1,
    seed: int = 0,
) -> Split:
    """An official split; windows of other actions are left out.

    `random`: for each action another permutation of the 40 subjects, of which the first `ratio` train; no performance
    is in two parts, but every subject is. `cross_subject`: every fifth subject tests. `cross_scene`: E04 tests, and
    so subjects are new too.

    Args:
        windows: of the data set `mmfi`.
        rows: which of them.
        protocol: 1, 2 or 3.
        setting: as above.
        ratio: of the subjects that train, in `random`.
        calibration: share of the training part that calibrates.
        seed: of the permutations, one more for each action; of the calibration part.

    Raises:
        TrainError: there is no such protocol, the windows are not MM-Fi's, or a part would be empty.
    """
    if protocol not in PROTOCOLS:
        raise TrainError(f"MM-Fi has no protocol {protocol}", hint="1 daily, 2 rehabilitation, 3 all actions")
    sessions = [windows.names["session"][number] for number in np.unique(windows.session[rows])]
    places = {session: tuple(session.split("/")) for session in sessions}
    if any(len(place) != 3 for place in places.values()):
        raise TrainError("these windows are not MM-Fi's: their sessions are not named E01/S01/A01")
    actions = PROTOCOLS[protocol]
    used = {session: place for session, place in places.items() if place[2] in actions}
    trains = _random(actions, ratio, seed) if setting == "random" else None

    def tests(place: tuple[str, ...]) -> bool:
        environment, subject, action = place
        if trains is not None:
            return subject not in trains[action]
        return environment == "E04" if setting == "cross_scene" else subject in SUBJECTS[4::5]

    tested = [session for session, place in used.items() if tests(place)]
    rest = {session: place for session, place in used.items() if not tests(place)}
    # Whole subjects calibrate where subjects are kept apart, else single performances.
    groups = sorted({place if setting == "random" else place[1:2] for place in rest.values()})
    count = max(1, round(calibration * len(groups)))
    drawn = {groups[number] for number in np.random.default_rng(seed).permutation(len(groups))[:count]}
    calibrates = [session for session, place in rest.items() if drawn & {place, place[1:2]}]
    shown = setting.replace("_", "-")
    name = f"MM-Fi protocol {protocol}, {shown} (official), seed {seed}, calibration out of its training part"
    return official_split(
        windows,
        rows,
        name,
        {
            "train": [session for session in rest if session not in calibrates],
            "calibration": calibrates,
            "test": tested,
        },
    )


def _random(actions: tuple[str, ...], ratio: float, seed: int) -> dict[str, set[str]]:
    """Subjects that train, for each action."""
    count = int(np.floor(ratio * len(SUBJECTS)))
    trains: dict[str, set[str]] = {}
    for turn, action in enumerate(actions):
        # The toolbox draws with NumPy's old generator, and no other draws the same.
        order = np.random.RandomState(seed + turn).permutation(len(SUBJECTS))
        trains[action] = {SUBJECTS[number] for number in order[:count]}
    return trains
