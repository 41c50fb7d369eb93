"""The sender's datagrams are an ESP32's, and as many and as many nodes' as was asked for."""

import socket
from collections import Counter

import numpy as np
import pytest

from cogd.bench import sender
from cogd.bench.sender import Group
from cogd.csi.frame import Origin
from cogd.csi.tones import select_tones
from cogd.errors import BenchError
from cogd.wire import adr018


@pytest.fixture
def listeners():
    opened = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for one in opened:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**21)
        one.bind(("127.0.0.1", 0))
        one.setblocking(False)
    yield opened
    for one in opened:
        one.close()


def received(listener):
    taken = []
    while True:
        try:
            taken.append(adr018.decode(listener.recv(4096)))
        except BlockingIOError:
            return taken


def test_datagrams_are_raw_csi_of_the_legacy_field_and_all_differ():
    made = sender.datagrams(7, seed=1)
    assert len({bytes(datagram) for datagram in made}) == len(made) > 10  # ten alike in a row would be frozen
    for datagram in made:
        decoded = adr018.decode(bytes(datagram))
        assert (decoded.node_id, decoded.bins, decoded.n_antennas) == (7, 64, 1)
        frame = adr018.to_frame(decoded, source="udp", time_s=0.0, arrival_s=0.0, origin=Origin.LIVE)
        tones = select_tones(frame, "ht56")
        assert tones.kind == "lltf-64"
        assert (tones.measured, np.isfinite(tones.values).all()) == (52, True)


def test_phases_are_spread_evenly_and_sequences_count():
    due = list(sender.schedule(10, Group(4, 25.0, 1.0, 1.08)))
    assert [node for _, node, _ in due] == [10, 11, 12, 13, 10, 11, 12, 13]
    assert [sequence for _, _, sequence in due] == [0] * 4 + [1] * 4
    assert [time_s for time_s, _, _ in due] == pytest.approx([1.0 + 0.01 * step for step in range(8)])


def test_everything_is_sent_to_the_ports_in_turn_and_reported(listeners):
    groups = [Group(300, 20.0, 0.0, 0.2), Group(100, 20.0, 0.1, 0.2)]
    assert sender.ports_needed(groups) == 2
    sent = sender.send([listener.getsockname()[1] for listener in listeners], groups)

    taken = [received(listener) for listener in listeners]
    assert sent.datagrams == [300 * 4, 100 * 2]
    assert sent.total == sum(sent.buckets) == sum(len(one) for one in taken) == 1400
    assert sent.refused == 0
    assert sent.ended_s[0] <= sent.took_s
    for one in taken:
        by_node = Counter(datagram.node_id for datagram in one)
        assert len(by_node) == 200
        for node_id in by_node:
            numbers = [datagram.sequence for datagram in one if datagram.node_id == node_id]
            assert numbers == list(range(len(numbers)))


def test_the_process_reports_and_a_port_that_nobody_listens_on_is_counted():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sent = sender.finish(sender.start([port], [Group(2, 50.0, 0.0, 0.2)]))
    assert sent.datagrams == [20]
    assert sent.refused > 0


def test_a_sender_that_fails_says_so():
    with pytest.raises(BenchError, match="status"):
        sender.finish(sender.start([-1], [Group(1, 25.0, 0.0, 0.1)]))
