import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.csi.frame import Origin
from cogd.csi.link import LinkLimits, LinkState
from cogd.csi.node import DROP_REASONS, Node, Taken
from cogd.csi.window import Reset, WindowSpec

from .factory import ht128, iq_of, lltf, make_frame

SPEC = WindowSpec(tones="ht56", frames=4, min_gap_s=0.0, max_gap_s=1.0)
RAW = WindowSpec(tones="first56", frames=2, min_gap_s=0.0, max_gap_s=1.0)
LIMITS = LinkLimits(frozen_after=3)


def node_of(*specs: WindowSpec, name: str = "a/1", believe_simulated: bool = False) -> Node:
    return Node(name, specs or (SPEC,), LIMITS, believe_simulated=believe_simulated)


class Sender:
    """A node's frames, one after the other, no two alike."""

    def __init__(self, node: Node, *, origin: Origin = Origin.LIVE) -> None:
        self.node = node
        self.origin = origin
        self.sequence = 0
        self.time_s = 100.0

    def send(self, iq=None, *, sequence: int | None = None, after_s: float = 0.1) -> Taken:
        self.sequence = self.sequence + 1 if sequence is None else sequence
        self.time_s += after_s
        if iq is None:
            iq = lltf(self.sequence % 100 + 1)
        return self.node.take(make_frame(iq, time_s=self.time_s, sequence=self.sequence, origin=self.origin))

    def fill(self, count: int = 4) -> list[Taken]:
        return [self.send() for _ in range(count)]


def test_frames_fill_a_window():
    node = node_of()
    taken = Sender(node).fill(6)
    assert [each.complete for each in taken] == [(), (), (), (SPEC,), (SPEC,), (SPEC,)]
    assert [each.link for each in taken] == [LinkState.LIVE, None, None, None, None, None]
    assert all(each.resets == () for each in taken)
    assert (node.frames, node.lost, node.dropped) == (6, 0, {})
    np.testing.assert_allclose(node.windows[SPEC].view()[0], [4, 5, 6, 7])  # newest last


def test_each_app_has_its_own_window():
    node = node_of(SPEC, RAW)
    taken = Sender(node).fill(4)
    assert [each.complete for each in taken] == [(), (RAW,), (RAW,), (SPEC, RAW)]


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(1, 100)), max_size=60))
def test_two_nodes_never_mix(arrivals):
    nodes = {
        number: Node(f"a/{number}", [SPEC], LinkLimits(frozen_after=100), believe_simulated=False) for number in (1, 2)
    }
    sent: dict[int, list[int]] = {1: [], 2: []}
    for n, (number, level) in enumerate(arrivals):
        sent[number].append(level)
        frame = make_frame(lltf(level), node=f"a/{number}", time_s=100 + n / 100, sequence=len(sent[number]))
        taken = nodes[number].take(frame)
        assert bool(taken.complete) == (len(sent[number]) >= 4)
        if taken.complete:
            np.testing.assert_allclose(
                nodes[number].windows[SPEC].view(), np.tile(sent[number][-4:], (56, 1)), rtol=1e-5
            )


def test_lost_frames_are_counted_and_a_short_loss_keeps_the_window():
    sender = Sender(node_of())
    sender.fill()
    taken = sender.send(sequence=sender.sequence + 4)
    assert taken.complete == (SPEC,)
    assert sender.node.lost == 3


def test_duplicates_and_late_frames_reach_no_window():
    sender = Sender(node_of())
    sender.fill()
    before = sender.node.windows[SPEC].view().copy()
    assert sender.send(sequence=4) == Taken(accepted=False)
    assert sender.send(sequence=3) == Taken(accepted=False)
    assert sender.node.dropped == {"duplicate": 1, "late": 1}
    np.testing.assert_array_equal(sender.node.windows[SPEC].view(), before)


def test_a_wider_kind_is_followed_after_a_majority():
    sender = Sender(node_of())
    sender.fill()
    taken = [sender.send(ht128(n)) for n in range(1, 7)]
    assert [each.resets for each in taken] == [(), (), ((SPEC, Reset.WIDTH),), (), (), ()]
    assert [each.complete for each in taken] == [(), (), (), (), (), (SPEC,)]
    assert sender.node.dropped == {"other_kind": 2}
    np.testing.assert_allclose(sender.node.windows[SPEC].view()[0], [3, 4, 5, 6])


def test_a_restart_empties_the_window_and_is_told():
    sender = Sender(node_of())
    sender.sequence = 1000
    sender.fill()
    taken = sender.send(sequence=0)
    assert taken == Taken(resets=((SPEC, Reset.RESTART),))
    assert sender.fill(3)[-1].complete == (SPEC,)


def test_a_clock_that_was_set_back_empties_the_window():
    sender = Sender(node_of())
    sender.fill()
    assert sender.send(after_s=-50.0).resets == ((SPEC, Reset.RESTART),)
    assert sender.fill(3)[-1].complete == (SPEC,)


def test_a_reset_is_told_once_until_the_window_is_complete_again():
    sender = Sender(node_of())
    sender.fill()
    assert sender.send(after_s=2.0).resets == ((SPEC, Reset.GAP),)
    for _ in range(5):  # too slow to fill the window
        assert sender.send(after_s=2.0).resets == ()
    assert sender.fill(3)[-1].complete == (SPEC,)
    assert sender.send(after_s=2.0).resets == ((SPEC, Reset.GAP),)


def test_a_node_that_is_too_slow_for_a_window_is_told_once():
    sender = Sender(node_of())
    resets = [sender.send(after_s=2.0).resets for _ in range(6)]
    assert resets == [(), ((SPEC, Reset.GAP),), (), (), (), ()]


def test_frozen_frames_empty_the_window_once():
    sender = Sender(node_of())
    sender.fill()
    taken = [sender.send(lltf(9)) for _ in range(5)]
    assert [each.link for each in taken] == [None, None, LinkState.FROZEN, None, None]
    assert [each.resets for each in taken] == [(), (), ((SPEC, Reset.FROZEN),), (), ()]
    assert [each.complete for each in taken] == [(SPEC,), (SPEC,), (), (), ()]
    assert sender.node.dropped == {"frozen": 3}
    assert sender.send().link is LinkState.LIVE
    assert len(sender.node.windows[SPEC]) == 1


def test_simulated_frames_are_told_and_not_believed():
    node = node_of()
    taken = Sender(node, origin=Origin.SIMULATED).fill(5)
    assert taken[0].link is LinkState.SIMULATED
    assert not any(each.complete for each in taken)
    assert node.dropped == {"simulated": 5}


def test_simulated_frames_are_believed_where_that_is_wanted():
    node = node_of(believe_simulated=True)
    taken = Sender(node, origin=Origin.SIMULATED).fill(4)
    assert taken[0].link is LinkState.SIMULATED
    assert taken[-1].complete == (SPEC,)


def test_frames_of_no_known_layout():
    sender = Sender(node_of())
    assert sender.send(iq_of(100, range(100))).complete == ()
    assert sender.node.dropped == {"unknown_layout": 1}


@given(
    st.lists(
        st.tuples(
            st.sampled_from([-40, -2, 0, 1, 1, 1, 1, 1, 2, 50]),  # steps of the sequence
            st.sampled_from([-5.0, -0.5, 0.0, 0.05, 0.05, 0.05, 0.05, 2.0]),  # steps of the time
            st.sampled_from([lltf(1), lltf(2), lltf(3), ht128(4), iq_of(100, [3]), lltf(0)]),
            st.sampled_from(list(Origin)),
        ),
        max_size=60,
    )
)
def test_whatever_comes_a_complete_window_is_fresh_and_in_order(steps):
    node = node_of(SPEC, RAW)
    sequence, time_s = 1000, 100.0
    for step, after_s, iq, origin in steps:
        sequence, time_s = sequence + step, time_s + after_s
        taken = node.take(make_frame(iq, time_s=time_s, sequence=sequence, origin=origin))
        assert set(node.dropped) <= set(DROP_REASONS)
        for spec in taken.complete:
            window = node.windows[spec]
            assert node.link.state is LinkState.LIVE
            assert list(window._times_s) == sorted(window._times_s)
            assert window._times_s[-1] == time_s
            assert window.span_s <= spec.max_gap_s * (spec.frames - 1)
            assert np.isfinite(window.view()).all()


@pytest.mark.parametrize("rule", ["ht56", "first56"])
def test_real_frames_complete_windows(data, rule):
    """Both nodes of a real recording, at ten frames a second, become windows of one kind each."""
    from cogd.wire import recording

    spec = WindowSpec(tones=rule, frames=20, min_gap_s=0.05, max_gap_s=1.0)
    nodes = {name: Node(name, [spec], LinkLimits(), believe_simulated=False) for name in ("r/1", "r/2")}
    complete = dict.fromkeys(nodes, 0)
    reader = recording.Recording()
    with (data / "ruview" / "pretrain-1775182186.csi.jsonl").open("rb") as file:
        for raw in file:
            for recorded in reader.read(raw).frames:
                frame = recording.to_frame(recorded, source="r", arrival_s=0.0)
                complete[frame.node] += bool(nodes[frame.node].take(frame).complete)
    for name, node in nodes.items():
        assert complete[name] > 500
        assert node.link.state is LinkState.LIVE
        assert set(node.dropped) <= {"too_soon", "other_kind"}
        assert node.windows[spec].kind == ("lltf-64" if rule == "ht56" else "first56-64")
