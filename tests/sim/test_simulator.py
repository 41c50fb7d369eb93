import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogd.csi.frame import Origin
from cogd.csi.tones import detect_layout, select_tones
from cogd.sim.esp32 import Impairments
from cogd.sim.simulator import NOISE_FLOOR_DBM, Scene, Simulator
from cogd.wire import adr018

NERVOUS = Impairments(jitter_s=0.02, loss=0.1)
"""Packets so late that they would overtake each other."""


def play(scene: Scene, *parts: int):
    """Packets, and the truth in one piece, of a scene that is asked for in parts."""
    simulator = Simulator(scene)
    chunks = [simulator.advance(frames) for frames in parts]
    packets = [packet for chunk in chunks for packet in chunk.packets]
    truth = [
        np.concatenate([getattr(chunk.truth, name) for chunk in chunks]) for name in ("times_s", "keypoints", "moving")
    ]
    return packets, truth


def amplitudes(packets, node: int) -> np.ndarray:
    """`[frames, 56]` of a node, as it delivers them."""
    rows = []
    for packet in packets:
        datagram = adr018.decode(packet.datagram)
        if datagram.node_id == node:
            frame = adr018.to_frame(datagram, source="s", time_s=0, arrival_s=0, origin=Origin.SIMULATED)
            rows.append(select_tones(frame, "ht56").values)
    return np.asarray(rows)


def restlessness(persons: int, seed: int) -> float:
    """How much a tone's amplitude varies in time, over its mean; on average over tones and nodes."""
    packets, _ = play(Scene(nodes=2, persons=persons, seed=seed), 400)
    of_nodes = [amplitudes(packets, node) for node in (1, 2)]
    return float(np.mean([(values.std(axis=0) / values.mean(axis=0)).mean() for values in of_nodes]))


class TestTheSameScene:
    def test_is_the_same_to_the_byte(self):
        one, two = (play(Scene(persons=2), 60) for _ in range(2))
        assert one[0] == two[0]
        for a, b in zip(one[1], two[1], strict=True):
            np.testing.assert_array_equal(a, b)

    def test_with_another_seed_is_another(self):
        assert play(Scene(seed=1), 20)[0] != play(Scene(seed=2), 20)[0]

    def test_in_another_room_is_another(self):
        assert play(Scene(room=1), 20)[0] != play(Scene(room=2), 20)[0]

    @given(
        parts=st.lists(st.integers(1, 40), min_size=2, max_size=5),
        rate_hz=st.sampled_from([1.0, 7.3, 20.0, 33.3, 50.0, 100.0]),
        persons=st.integers(0, 2),
        impairments=st.sampled_from([Impairments(), NERVOUS]),
    )
    @settings(max_examples=25, deadline=None)
    def test_does_not_depend_on_the_lengths_of_its_chunks(self, parts, rate_hz, persons, impairments):
        scene = Scene(nodes=2, persons=persons, rate_hz=rate_hz, impairments=impairments)
        whole, pieces = play(scene, sum(parts)), play(scene, *parts)
        assert whole[0] == pieces[0]
        for a, b in zip(whole[1], pieces[1], strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def played():
    return play(Scene(nodes=3, persons=1, impairments=Impairments(loss=0.05)), 1500)


def test_where_people_are_between_two_steps_does_not_depend_on_chunks_either():
    """At this rate packets fall between the steps of the bodies, and chunks too."""
    crisp = Impairments(snr_db=300, target_counts=40, loss=0, jitter_s=0)
    scene = Scene(nodes=1, persons=3, rate_hz=33.3, impairments=crisp)
    assert play(scene, 300)[0] == play(scene, *[1] * 300)[0]


class TestPackets:
    def test_are_frames_of_ht_64_with_every_tone(self, played):
        for packet in played[0][:300]:
            datagram = adr018.decode(packet.datagram)
            assert isinstance(datagram, adr018.CsiDatagram)
            filled = datagram.iq.any(axis=1)
            if filled.sum() == 56:  # a faded tone may round to zero
                assert detect_layout(filled, datagram.bins).name == "ht-64"
            assert not filled[[0, *range(29, 36)]].any()
            assert datagram.noise_floor_dbm == NOISE_FLOOR_DBM
            assert -95 < datagram.rssi_dbm < -10
            assert datagram.freq_mhz == 2437

    def test_come_in_the_order_of_time(self, played):
        times_s = [packet.time_s for packet in played[0]]
        assert times_s == sorted(times_s)

    def test_of_each_node_count_up_with_holes_where_one_was_lost(self, played):
        for node in (1, 2, 3):
            numbers = [
                datagram.sequence
                for packet in played[0]
                if (datagram := adr018.decode(packet.datagram)).node_id == node
            ]
            assert numbers == sorted(set(numbers))
            assert numbers[0] < 5
            assert numbers[-1] > 1494
            assert len(numbers) / 1500 == pytest.approx(0.95, abs=0.02)

    def test_leave_at_their_rate_and_a_little_late(self, played):
        for packet in played[0]:
            late_s = packet.time_s - adr018.decode(packet.datagram).sequence / 20.0
            assert -1e-9 <= late_s <= 0.045

    def test_of_one_node_never_overtake_each_other(self):
        packets, _ = play(Scene(nodes=1, rate_hz=100, impairments=NERVOUS), 500)
        numbers = [adr018.decode(packet.datagram).sequence for packet in packets]
        assert numbers == sorted(numbers)

    def test_are_all_there_on_perfect_hardware(self):
        packets, _ = play(Scene(nodes=2, impairments=Impairments(loss=0.0, jitter_s=0.0)), 100)
        assert len(packets) == 200
        assert [packet.time_s for packet in packets[::2]] == pytest.approx(np.arange(100) / 20)


@pytest.fixture(scope="module")
def truth():
    return Simulator(Scene(nodes=1, persons=3, seed=5)).advance(600).truth


class TestTheTruth:
    def test_is_on_a_grid_of_10_ms_from_the_start(self, truth):
        np.testing.assert_allclose(truth.times_s, np.arange(3000) * 0.01)
        assert truth.keypoints.shape == (3000, 3, 17, 2)
        assert truth.moving.shape == (3000, 3)
        assert truth.persons == 3

    def test_is_nearly_always_inside_the_picture(self):
        inside = []
        for seed in range(8):
            keypoints = Simulator(Scene(nodes=1, persons=2, seed=seed)).advance(600).truth.keypoints
            inside.append(((keypoints > 0) & (keypoints < 1)).all(axis=-1).mean())
        assert np.mean(inside) > 0.98
        assert min(inside) > 0.93

    def test_of_several_persons_is_of_each(self, truth):
        spread = np.abs(truth.keypoints[:, 0] - truth.keypoints[:, 1]).mean()
        assert spread > 0.02

    def test_of_an_empty_room_is_empty(self):
        truth = Simulator(Scene(persons=0)).advance(20).truth
        assert truth.keypoints.shape == (100, 0, 17, 2)
        assert truth.persons == 0


class TestTheChannel:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_of_an_empty_room_varies_by_noise_only(self, seed):
        quiet = Scene(persons=0, seed=seed, impairments=Impairments(snr_db=300, jitter_s=0))
        values = amplitudes(play(quiet, 100)[0], 1)
        assert values.std(axis=0).max() < 0.5  # rounding to whole counts

    def test_with_a_person_varies_clearly_more(self):
        ratios = [restlessness(1, seed) / restlessness(0, seed) for seed in range(6)]
        assert min(ratios) > 1.5
        assert np.mean(ratios) > 2.5

    def test_is_disturbed_by_who_moves_more_than_by_who_stands(self):
        """Rounding to whole counts, with a phase that is random in every frame, is part of both."""
        ratios = []
        for seed in range(1, 7):
            clean = Impairments(loss=0, jitter_s=0, snr_db=300, gain_hysteresis_db=100)
            packets, (times_s, _, moving) = play(Scene(nodes=1, persons=1, seed=seed, impairments=clean), 2000)
            change = np.abs(np.diff(amplitudes(packets, 1), axis=0)).mean(axis=1)
            moves = moving[np.searchsorted(times_s, np.arange(1, 2000) / 20), 0]
            ratios.append(change[moves].mean() / change[~moves].mean())
        assert min(ratios) > 1.2
        assert np.mean(ratios) > 1.8

    def test_of_two_nodes_differs(self):
        packets, _ = play(Scene(persons=0), 50)
        one, two = amplitudes(packets, 1).mean(axis=0), amplitudes(packets, 2).mean(axis=0)
        assert np.abs(one - two).max() > 1.0


def test_more_nodes_do_not_change_the_first_ones_or_the_truth():
    few, many = (play(Scene(nodes=nodes, persons=1, room=3), 40) for nodes in (1, 3))
    assert few[0] == [packet for packet in many[0] if adr018.decode(packet.datagram).node_id == 1]
    np.testing.assert_array_equal(few[1][1], many[1][1])


def test_a_scene_is_plain_data():
    assert dataclasses.replace(Scene(), seed=3) == Scene(seed=3)
