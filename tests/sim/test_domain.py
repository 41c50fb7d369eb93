import dataclasses

import numpy as np
import pytest

from cogd.sim.domain import KIT, Domain
from cogd.sim.room import make_room, moved_furniture
from cogd.sim.simulator import Scene, Simulator
from cogd.wire import adr018


def test_a_domain_is_known_by_its_digest():
    assert Domain().digest() == Domain().digest()
    assert dataclasses.replace(Domain(), fan_chance=0.2).digest() != Domain().digest()
    assert str(KIT) == f"kit ({KIT.digest()})"


def test_rooms_of_a_domain_are_as_large_as_it_says_and_differ():
    rooms = [make_room(seed, 1, Domain()) for seed in range(100)]
    widths = np.asarray([room.size_m[0] for room in rooms])
    assert widths.min() >= 2.8
    assert widths.max() <= 7.5
    assert np.ptp(widths) > 3.5
    assert len({len(room.furniture_m) for room in rooms}) > 10
    assert 10 < sum(len(room.screens_m) == 2 for room in rooms) < 45  # a corner walled off


def test_nodes_keep_away_from_the_access_point_and_stand_behind_a_wall_as_often_as_it_says():
    domain = Domain(free_placement_chance=1.0, next_room_chance=0.3, corner_chance=0.0)
    behind = 0
    for seed in range(100):
        room = make_room(seed, 2, domain)
        inside = ((room.nodes_m > 0) & (room.nodes_m < room.size_m)).all(axis=1)
        behind += int((~inside).sum())
        assert len(room.screens_m) == (~inside).sum()
        assert (np.linalg.norm(room.nodes_m - room.transmitter_m, axis=1) > 1.0).all()
        assert (room.screen_transmission < 1).all()
    assert 35 < behind < 85


def test_a_room_of_any_domain_keeps_its_plan_when_a_node_is_added():
    domain = Domain(free_placement_chance=1.0, next_room_chance=0.5)
    for seed in range(20):
        two, three = (make_room(seed, nodes, domain) for nodes in (2, 3))
        np.testing.assert_array_equal(two.nodes_m, three.nodes_m[:2])
        assert two.size_m == three.size_m


def test_furniture_moves_from_day_to_day_and_the_room_stays():
    room = make_room(1, 1, Domain(furniture=(20, 20)))
    day = moved_furniture(room, 0.3, np.random.default_rng(1))
    moved = (day.furniture_m != room.furniture_m).any(axis=1)
    assert 1 <= moved.sum() <= 12
    assert dataclasses.replace(day, furniture_m=room.furniture_m) == dataclasses.replace(room)


@pytest.mark.parametrize("persons", [0, 1, 7])
def test_scenes_of_homes_play_whatever_is_drawn(persons):
    for seed in range(12):
        chunk = Simulator(Scene(nodes=2, persons=persons, seed=seed, domain=Domain())).advance(130)
        assert len(chunk.packets) > 100
        assert chunk.truth.keypoints.shape == (650, persons, 17, 2)
        assert chunk.truth.visible.shape == (650, persons, 17)
        assert np.isfinite(chunk.truth.keypoints).all()
        for packet in chunk.packets:
            assert isinstance(adr018.decode(packet.datagram), adr018.CsiDatagram)


def test_a_scene_of_homes_does_not_depend_on_the_lengths_of_its_chunks():
    for seed in range(6):
        scene = Scene(nodes=2, persons=2, seed=seed, rate_hz=33.3, domain=Domain())
        whole, parts = Simulator(scene).advance(150), Simulator(scene)
        pieces = [parts.advance(frames) for frames in (1, 70, 79)]
        assert [p for piece in pieces for p in piece.packets] == list(whole.packets)
        for name in ("keypoints", "visible", "act", "moving", "disturbed"):
            together = np.concatenate([getattr(piece.truth, name) for piece in pieces])
            np.testing.assert_array_equal(together, getattr(whole.truth, name))


def test_what_moves_besides_people_is_told():
    fan = Domain(fan_chance=1.0, door_chance=0.0, curtain_chance=0.0)
    still = dataclasses.replace(fan, fan_chance=0.0)
    assert Simulator(Scene(persons=0, domain=fan)).advance(40).truth.disturbed.all()
    assert not Simulator(Scene(persons=0, domain=still)).advance(40).truth.disturbed.any()
