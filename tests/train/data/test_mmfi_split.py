import numpy as np
import pytest

from cogd.errors import TrainError
from cogd.train.config import SplitConfig
from cogd.train.data.mmfi_split import PROTOCOLS, mmfi_split
from cogd.train.data.split import PARTS
from cogd.train.load import split_windows
from tests.train.factory import make_windows

pytestmark = pytest.mark.train

SESSIONS = tuple(
    f"E{(subject - 1) // 10 + 1:02d}/S{subject:02d}/A{action:02d}"
    for subject in range(1, 41)
    for action in range(1, 28)
)
"""All of MM-Fi: the room follows from the subject."""


@pytest.fixture(scope="module")
def windows():
    """Two windows of every performance."""
    session = np.repeat(np.arange(len(SESSIONS)), 2)
    return make_windows(
        len(session),
        csi=np.zeros((len(session), 56, 2), dtype=np.float32),
        session=session,
        names={"session": SESSIONS, "room": (), "subject": ()},
    )


def places(windows, rows):
    return [SESSIONS[number].split("/") for number in windows.session[rows]]


@pytest.mark.parametrize("protocol", [1, 2, 3])
@pytest.mark.parametrize("setting", ["random", "cross_subject", "cross_scene"])
def test_parts_never_share_a_performance_and_hold_the_protocols_actions(windows, protocol, setting):
    rows = np.arange(len(windows))

    split = mmfi_split(windows, rows, protocol, setting)

    sessions = [set(windows.session[getattr(split, part)].tolist()) for part in PARTS]
    assert not sessions[0] & sessions[1] | sessions[0] & sessions[2] | sessions[1] & sessions[2]
    assert sum(len(part) for part in sessions) == 40 * len(PROTOCOLS[protocol])
    for rows in (split.train, split.test):
        assert {action for _, _, action in places(windows, rows)} == set(PROTOCOLS[protocol])
    assert (split.kind, split.leaky) == ("official", False)
    assert f"protocol {protocol}, {setting.replace('_', '-')} (official)" in split.name


def test_the_protocols_are_14_daily_and_13_rehabilitation_actions():
    assert (len(PROTOCOLS[1]), len(PROTOCOLS[2]), len(PROTOCOLS[3])) == (14, 13, 27)
    assert set(PROTOCOLS[1]) | set(PROTOCOLS[2]) == set(PROTOCOLS[3])


def test_across_subjects_every_fifth_tests_and_no_subject_is_in_two_parts(windows):
    split = mmfi_split(windows, np.arange(len(windows)), 3, "cross_subject")

    subjects = [{subject for _, subject, _ in places(windows, getattr(split, part))} for part in PARTS]
    assert subjects[2] == {"S05", "S10", "S15", "S20", "S25", "S30", "S35", "S40"}
    assert not subjects[0] & subjects[1]
    assert len(subjects[1]) == 3


def test_across_scenes_the_fourth_tests_and_calibration_is_not_of_it(windows):
    split = mmfi_split(windows, np.arange(len(windows)), 3, "cross_scene")

    assert {room for room, _, _ in places(windows, split.test)} == {"E04"}
    assert "E04" not in {room for room, _, _ in places(windows, np.concatenate([split.train, split.calibration]))}


def test_the_random_setting_is_the_toolboxs_for_each_action_another_permutation(windows):
    split = mmfi_split(windows, np.arange(len(windows)), 1, "random", seed=0)

    tested = {(subject, action) for _, subject, action in places(windows, split.test)}
    for turn, action in enumerate(PROTOCOLS[1]):
        np.random.seed(turn)  # noqa: NPY002  # as the toolbox seeds: one more for each action
        order = np.random.permutation(40)  # noqa: NPY002
        assert {subject for subject, of in tested if of == action} == {f"S{number + 1:02d}" for number in order[32:]}


def test_other_data_are_refused():
    with pytest.raises(TrainError, match="not MM-Fi's"):
        mmfi_split(make_windows(9), np.arange(9), 1, "random")


def test_an_unknown_protocol_is_refused(windows):
    with pytest.raises(TrainError, match="no protocol 4"):
        mmfi_split(windows, np.arange(9), 4, "random")


@pytest.mark.parametrize("setting", ["random", "cross_subject", "cross_scene"])
def test_a_configuration_chooses_an_official_split(windows, setting):
    rows = np.arange(len(windows))
    config = SplitConfig(kind="mmfi", protocol=2, setting=setting, test=0.3, calibration=0.2, seed=4)

    split = split_windows(windows, rows, config)

    expected = mmfi_split(windows, rows, 2, setting, ratio=0.7, calibration=0.2, seed=4)
    assert (split.name, split.digest) == (expected.name, expected.digest)


def test_a_share_of_subjects_tests_each_action_in_the_random_setting(windows):
    for tenths in range(1, 10):
        config = SplitConfig(kind="mmfi", setting="random", test=tenths / 10)

        split = split_windows(windows, np.arange(len(windows)), config)

        assert len(split.test) == 2 * 27 * 4 * tenths
