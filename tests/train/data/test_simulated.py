import numpy as np
import pytest

from cogd.errors import ConfigError, TrainError
from cogd.sim.domain import HOMES, KIT
from cogd.sim.simulator import Scene, Simulator
from cogd.train.data import simulated
from cogd.train.data.dataset import open_dataset
from cogd.train.data.simulated import SimulatedRooms
from tests.test_imports import GRAPH, MODULES
from tests.train.factory import simulate_windows

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def plan() -> SimulatedRooms:
    return SimulatedRooms(rooms=(5, 6), persons=(0, 1, 2), minutes=0.2, nodes=2, stride=20)


@pytest.fixture(scope="module")
def windows(plan):
    return simulate_windows(plan)


def test_every_number_of_persons_in_every_room_is_a_session(windows):
    assert sorted(set(windows.session.tolist())) == [0, 1, 2, 3, 4, 5]
    for session, persons in enumerate([0, 1, 2, 0, 1, 2]):
        assert set(windows.persons[windows.session == session].tolist()) == {persons}


def test_only_windows_of_one_person_have_keypoints(windows):
    labelled = np.isfinite(windows.keypoints).all(axis=(1, 2))

    assert (labelled == (windows.persons == 1)).all()
    assert ((windows.keypoints[labelled] >= -0.5) & (windows.keypoints[labelled] <= 1.5)).all()


def test_a_pose_is_the_simulators_truth_at_the_windows_end(plan, windows):
    seed = plan.seed * 1_000_003 + 5 * 101 + 1
    truth = Simulator(Scene(nodes=2, persons=1, seed=seed, room=5, rate_hz=plan.rates_hz[0])).advance(300).truth
    mine = windows.session == 1

    for end_s, keypoints in zip(windows.end_s[mine], windows.keypoints[mine], strict=True):
        near = np.abs(truth.times_s - end_s) <= 0.06
        distance = np.abs(truth.keypoints[near, 0] - keypoints).max(axis=(1, 2))
        assert distance.min() < 1e-5


def test_windows_are_as_long_as_twenty_frames_take(plan, windows):
    assert windows.csi.shape[1:] == (56, 20)
    span_s = windows.end_s - windows.start_s
    assert (span_s >= 19 / plan.rates_hz[0] - 0.06).all()
    assert (span_s < 19 * windows.max_gap_s).all()


def test_the_same_plan_makes_the_same_windows_and_another_seed_others(plan, windows):
    import dataclasses

    again, other = simulate_windows(plan), simulate_windows(dataclasses.replace(plan, seed=2))

    np.testing.assert_array_equal(again.csi, windows.csi)
    np.testing.assert_array_equal(again.keypoints, windows.keypoints)
    assert not np.array_equal(other.csi[:10], windows.csi[:10])


def test_the_origin_says_how_to_make_the_data_again_however_many_rooms_there_are():
    plan = SimulatedRooms(rooms=tuple(range(7, 9)), persons=(1,), minutes=0.1, nodes=1)

    assert simulate_windows(plan).origin.name == (
        "cogd simulator: rooms 7 to 8, persons [1], 0.1 min each, 1 nodes, 20 Hz, seed 1, "
        f"domain kit ({KIT.digest()}), stride 10"
    )


def test_rooms_that_are_no_range_are_listed():
    plan = SimulatedRooms(rooms=(3, 1), persons=(1,), minutes=0.1, nodes=1)

    assert "rooms [3, 1]," in simulate_windows(plan).origin.name


def test_scenes_without_a_single_window_are_refused():
    with pytest.raises(TrainError, match="not a single window of 20 frames"):
        simulate_windows(SimulatedRooms(rooms=(1,), persons=(1,), minutes=0.1, nodes=1, rates_hz=(2.0, 2.0)))


def test_progress_is_told_scene_by_scene():
    told = []

    simulate_windows(
        SimulatedRooms(rooms=(1, 2), persons=(0, 1), minutes=0.05, nodes=1), lambda *step: told.append(step)
    )

    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_specification_names_its_domain():
    homes = open_dataset("sim:rooms=3&persons=0&minutes=0.05&domain=homes")

    assert f"domain homes ({HOMES.digest()})" in homes.name
    assert {recording.chip for recording in homes.recordings()} <= set(HOMES.chips)
    assert len({recording.chip for recording in homes.recordings()}) > 1
    assert {recording.chip for recording in open_dataset("sim:rooms=3&persons=0").recordings()} == {"s3"}
    with pytest.raises(ConfigError, match="no domain 'castles'"):
        open_dataset("sim:domain=castles")


def test_joints_out_of_the_cameras_sight_are_not_labelled():
    recordings = open_dataset("sim:rooms=6&persons=1&minutes=0.2&nodes=1&domain=homes").recordings()
    shares = []
    for recording in recordings:
        track = recording.track()
        inside = ((track.keypoints >= 0) & (track.keypoints <= 1)).all(axis=-1)
        assert not track.visible[~inside].any()
        shares.append((track.visible == 2).mean())

    assert min(shares) < 0.9
    assert max(shares) > 0.95


# --- as a data set ---------------------------------------------------------------------------------------------


def test_each_node_of_a_scene_is_a_recording(tmp_path):
    dataset = open_dataset("sim:rooms=2&persons=0,1&minutes=0.1&first_room=5")

    recordings = dataset.recordings()

    assert [(r.session, r.room, r.node) for r in recordings][:3] == [
        ("room 5, 0 persons, seed 1", "simulated room 5", 1),
        ("room 5, 0 persons, seed 1", "simulated room 5", 2),
        ("room 5, 1 persons, seed 1", "simulated room 5", 1),
    ]
    assert dataset.origin.sha256 is None


def test_moving_is_whether_anybody_does_all_through_a_window(windows, plan):
    scene = Scene(nodes=2, persons=2, seed=plan.seed * 1_000_003 + 5 * 101 + 2, room=5, rate_hz=plan.rates_hz[0])
    truth = Simulator(scene).advance(300).truth
    mine = windows.session == 2

    told = set()
    for start_s, end_s, moving in zip(windows.start_s[mine], windows.end_s[mine], windows.moving[mine], strict=True):
        inside = truth.moving[(truth.times_s >= start_s) & (truth.times_s <= end_s)].any(axis=1)
        told.add(int(moving))
        if moving == 1:
            assert inside.mean() > 0.95  # between two frames somebody may stop for a step
        elif moving == 0:
            assert inside.mean() < 0.05
        else:
            assert 0 < inside.mean() < 1
    assert len(told) > 1
    assert (windows.moving[windows.persons == 0] == 0).all()


def test_a_cached_scene_is_the_same_for_every_node(tmp_path):
    text = "sim:persons=1&minutes=0.1"
    fresh = [recording.track() for recording in open_dataset(text).recordings()]

    for _ in range(2):
        kept = [recording.track() for recording in open_dataset(f"{text}&cache={tmp_path}").recordings()]
        for one, other in zip(kept, fresh, strict=True):
            assert isinstance(one.amplitude, np.memmap)
            for column in ("time_s", "amplitude", "keypoints", "persons", "moving"):
                np.testing.assert_array_equal(getattr(one, column), getattr(other, column))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("rooms=-1", "rooms=-1 is out"), ("rooms=0", "rooms=0 is out"), ("persons=1,9", "persons=1,9 is out"),
        ("minutes=-1", "minutes=-1 is out"), ("nodes=0", "nodes=0 is out"), ("rate=nan", "rate=nan is out"),
        ("rate=20-10", "rate=20-10 is out"),
    ],
)  # fmt: skip
def test_an_option_out_of_its_bounds_is_named(query, told):
    with pytest.raises(ConfigError, match=told) as refused:
        open_dataset(f"sim:{query}")

    assert refused.value.hint.startswith(f"{query.partition('=')[0]} must be ")


@pytest.mark.parametrize(
    "query", ["rooms=0", "persons=9", "persons=", "minutes=-1", "nodes=0", "rate=nan", "rooms=x", "walls=4"]
)
def test_an_option_without_a_usable_value_is_refused(query):
    with pytest.raises(ConfigError, match="sim"):
        open_dataset(f"sim:{query}")


class TestTheCodeInTheCachesKey:
    MAKES_NO_TRACK = frozenset({"cogd", "cogd.errors", "cogd.train", "cogd.train.data", "cogd.csi", "cogd.wire"})
    """The error types, and packages with nothing but a docstring."""

    LABELS_WINDOWS = frozenset({"cogd.train.data.windows"})
    """A track takes a type from there that it does not hold."""

    def test_is_every_module_that_decides_a_track(self):
        """The simulator, what decodes its datagrams, and what makes a track of frames: all that these import."""
        waiting = {name for name in MODULES if name.startswith("cogd.sim")}
        waiting |= {"cogd.wire.adr018", "cogd.train.data.frames"}
        deciding = {"cogd.train.data.simulated"}
        while waiting:
            name = waiting.pop()
            deciding.add(name)
            waiting |= GRAPH[name] - deciding - self.MAKES_NO_TRACK - self.LABELS_WINDOWS
        assert {str(MODULES[name]) for name in deciding} == {str(path) for path in simulated._code()}
