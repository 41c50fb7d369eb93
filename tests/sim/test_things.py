import numpy as np
import pytest

from cogd.sim.domain import KIT, Domain
from cogd.sim.room import make_room
from cogd.sim.things import Curtain, Door, Fan, things_in

ROOM = make_room(3, 1)
TIMES_S = np.arange(12_000) / 100


def speeds(thing) -> np.ndarray:
    """Of the fastest point, m/s."""
    return np.linalg.norm(np.diff(thing.at(TIMES_S), axis=0), axis=-1).max(axis=1) * 100


@pytest.mark.parametrize("seed", range(8))
def test_a_door_moves_when_it_says_so_and_never_else(seed):
    door = Door(ROOM, np.random.default_rng(seed))
    moving = door.moving(TIMES_S)
    speed = speeds(door)
    assert 0.01 < moving.mean() < 0.5
    assert speed[~moving[1:] & ~moving[:-1]].max() < 1e-3
    assert speed[moving[1:] & moving[:-1]].min() > 0.05
    assert speed.max() < 2.0


def test_a_door_does_not_depend_on_how_it_is_asked_for():
    whole = Door(ROOM, np.random.default_rng(1)).at(TIMES_S)
    door = Door(ROOM, np.random.default_rng(1))
    np.testing.assert_array_equal(whole, np.concatenate([door.at(part) for part in np.split(TIMES_S, 10)]))


def test_a_fan_turns_about_its_hub():
    fan = Fan(ROOM, np.random.default_rng(1))
    points = fan.at(TIMES_S)
    hub = points.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(hub, np.broadcast_to(hub[:1], hub.shape), atol=1e-5)
    assert np.ptp(np.linalg.norm(points - hub, axis=-1)) < 1e-4
    assert fan.moving(TIMES_S).all()


def test_a_curtain_sways_by_centimetres():
    points = Curtain(ROOM, np.random.default_rng(1)).at(TIMES_S)
    assert 0.005 < np.ptp(points, axis=0).max() < 0.15


def test_a_kit_has_none_and_a_domain_as_often_as_it_says():
    assert things_in(ROOM, KIT, np.random.default_rng(1)) == []
    domain = Domain(door_chance=1.0, fan_chance=0.5, curtain_chance=0.0)
    kinds = [type(thing) for seed in range(200) for thing in things_in(ROOM, domain, np.random.default_rng(seed))]
    assert kinds.count(Door) == 200
    assert 60 < kinds.count(Fan) < 140
    assert Curtain not in kinds
