import numpy as np
import pytest

from cogd.sim.esp32 import Impairments
from cogd.sim.traffic import Traffic


def depart(impairments: Impairments, frames: int = 40_000, rate_hz: float = 20.0):
    traffic = Traffic((1,), impairments, rate_hz)
    parts = [traffic.depart(np.arange(first, first + 64)) for first in range(0, frames, 64)]
    times_s, arrives = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    noise_db = None if parts[0][2] is None else np.concatenate([part[2] for part in parts])
    return times_s - np.arange(len(times_s)) / rate_hz, arrives, noise_db


def test_departures_have_the_loss_and_jitter_that_were_asked_for():
    late_s, arrives, noise_db = depart(Impairments(loss=0.05, jitter_s=0.004))
    assert (~arrives).mean() == pytest.approx(0.05, abs=0.005)
    assert (late_s >= 0).all()
    assert np.sqrt(np.mean(late_s**2)) == pytest.approx(0.004, rel=0.03)
    assert noise_db is None


def test_nothing_is_lost_or_late_on_perfect_hardware():
    late_s, arrives, _ = depart(Impairments(loss=0.0, jitter_s=0.0), 1000)
    assert arrives.all()
    assert np.abs(late_s).max() < 1e-9


def test_another_network_makes_bursts_of_loss_and_noise():
    _, arrives, noise_db = depart(Impairments(loss=0.02, interference_hz=0.2))
    disturbed = noise_db > 0
    assert 0.05 < disturbed.mean() < 0.25  # a burst lasts 0.8 s on average, every 5.8 s
    assert (noise_db[disturbed] >= 3).all()
    assert noise_db.max() <= 12
    assert (~arrives[disturbed]).mean() == pytest.approx(0.2, abs=0.03)
    assert (~arrives[~disturbed]).mean() == pytest.approx(0.02, abs=0.005)
    bursts = np.count_nonzero(np.diff(disturbed.astype(int)) == 1)
    assert bursts < disturbed.sum() / 5


def test_a_node_out_of_memory_is_silent_for_up_to_two_seconds():
    _, arrives, _ = depart(Impairments(loss=0.0, gaps_hz=0.05))
    numbers = np.flatnonzero(arrives)
    gaps_s = np.diff(numbers) / 20
    assert gaps_s.max() > 1.0
    assert gaps_s.max() <= 2.1
    assert 10 < np.count_nonzero(gaps_s > 0.1) < 200
