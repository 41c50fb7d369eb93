import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.csi.frame import Origin
from cogd.csi.link import REORDER_SPAN, Link, LinkLimits, LinkState, Observed, Order

from .factory import lltf, make_frame

WRAP = 2**32
LIMITS = LinkLimits(stale_after_s=2.0, absent_after_s=10.0, frozen_after=3)


def frame_of(sequence: int | None, time_s: float = 100.0, level: int | None = None, origin=Origin.LIVE):
    """A frame whose bins differ with its sequence unless a level is given."""
    own = (sequence or 0) % 100 + 1
    return make_frame(lltf(own if level is None else level), time_s=time_s, sequence=sequence, origin=origin)


def test_a_link_is_absent_until_its_first_frame():
    link = Link(LIMITS)
    assert link.state is LinkState.ABSENT
    assert link.check(1e9) is None
    assert link.observe(frame_of(5)) == Observed(Order.NEXT, 0, LinkState.LIVE)
    assert link.observe(frame_of(6)) == Observed(Order.NEXT, 0, None)
    assert link.last_time_s == 100.0


def test_duplicates():
    link = Link(LIMITS)
    link.observe(frame_of(5))
    assert link.observe(frame_of(5, level=99)) == Observed(Order.DUPLICATE, 0, None)
    assert link.observe(frame_of(6)).order is Order.NEXT


@pytest.mark.parametrize("first", [5, WRAP - 1, WRAP - 2, WRAP // 2 - 1])
@pytest.mark.parametrize("lost", [0, 1, 1000])
def test_missing_frames_are_counted_across_the_wrap(first, lost):
    link = Link(LIMITS)
    link.observe(frame_of(first))
    after_s = 100.0 + lost / 50
    assert link.observe(frame_of((first + lost + 1) % WRAP, after_s)) == Observed(Order.NEXT, lost, None)


@pytest.mark.parametrize("step", [1000, 2**20, WRAP // 2 - 1])
def test_a_sequence_that_ran_ahead_faster_than_any_node_sends_is_another_nodes(step):
    link = Link(LIMITS)
    link.observe(frame_of(7))
    assert link.observe(frame_of(7 + step, 101.0)) == Observed(Order.RESTARTED, 0, None)


def test_a_node_that_boots_again_and_again_is_heard_every_time():
    link = Link(LIMITS)
    accepted = 0
    for boot in range(10):
        for sequence in range(30):
            order = link.observe(
                frame_of(sequence, 100.0 + 8 * boot + sequence / 20, level=(boot + sequence) % 100)
            ).order
            accepted += order in {Order.NEXT, Order.RESTARTED}
    assert accepted == 300


def test_a_clock_set_back_a_little_neither_delays_nor_loses_frames_that_are_in_sequence():
    link = Link(LIMITS)
    link.observe(frame_of(1, 100.0))
    assert link.observe(frame_of(2, 99.5)) == Observed(Order.NEXT, 0, None)
    assert link.observe(frame_of(3, 99.55)) == Observed(Order.NEXT, 0, None)


@pytest.mark.parametrize("first", [1000, 3, 0])
def test_late_frames(first):
    link = Link(LIMITS)
    link.observe(frame_of(first))
    for behind in (1, REORDER_SPAN):
        assert link.observe(frame_of((first - behind) % WRAP)).order is Order.LATE
    assert link.observe(frame_of(first + 1)) == Observed(Order.NEXT, 0, None)


@pytest.mark.parametrize("boot_sequence", [0, 1, 1000 - REORDER_SPAN - 1])
def test_a_node_that_was_started_again(boot_sequence):
    link = Link(LIMITS)
    link.observe(frame_of(1000))
    assert link.observe(frame_of(boot_sequence)) == Observed(Order.RESTARTED, 0, None)
    assert link.observe(frame_of(boot_sequence + 1)) == Observed(Order.NEXT, 0, None)


@given(
    st.integers(0, WRAP - 1),
    st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.integers(0, 3)), min_size=1, max_size=60),
)
def test_every_number_is_accounted_for(first, steps):
    """Losses, repetitions and late arrivals in any mixture, anywhere on the circle of sequence numbers."""
    link = Link(LinkLimits(frozen_after=10**6))
    link.observe(frame_of(first))
    last, accepted, lost = first, 1, 0
    for step, again, late in steps:
        last += step
        observed = link.observe(frame_of(last % WRAP))
        assert observed.order is Order.NEXT
        accepted, lost = accepted + 1, lost + observed.lost
        if again:
            assert link.observe(frame_of(last % WRAP)) == Observed(Order.DUPLICATE, 0, None)
        if late:
            assert link.observe(frame_of((last - late) % WRAP)) == Observed(Order.LATE, 0, None)
    assert accepted + lost == last - first + 1


# --- without sequence numbers ----------------------------------------------------------------------------------


def test_without_numbers_the_time_and_the_content_tell():
    link = Link(LIMITS)
    link.observe(frame_of(None, 100.0, level=1))
    assert link.observe(frame_of(None, 100.0, level=1)).order is Order.DUPLICATE
    assert link.observe(frame_of(None, 100.0, level=2)).order is Order.NEXT
    assert link.observe(frame_of(None, 100.1, level=2)).order is Order.NEXT
    assert link.observe(frame_of(None, 99.5, level=3)).order is Order.LATE
    assert link.observe(frame_of(None, 99.0, level=3)).order is Order.RESTARTED


# --- the clock ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("numbered", [True, False])
def test_a_clock_that_was_set_back_begins_anew(numbered):
    link = Link(LIMITS)
    link.observe(frame_of(5 if numbered else None, 1e9, level=1))
    assert link.observe(frame_of(6 if numbered else None, 1000.0, level=2)).order is Order.RESTARTED
    assert link.last_time_s == 1000.0
    assert link.observe(frame_of(7 if numbered else None, 1000.1, level=3)).order is Order.NEXT


def test_a_clock_that_was_set_forward_goes_on():
    link = Link(LIMITS)
    link.observe(frame_of(5, 1000.0))
    assert link.observe(frame_of(6, 1e9)) == Observed(Order.NEXT, 0, None)


# --- states ------------------------------------------------------------------------------------------------------


def test_silence():
    link = Link(LIMITS)
    link.observe(frame_of(1))
    assert link.check(1.9) is None
    assert link.check(2.0) is LinkState.STALE
    assert link.check(3.0) is None
    assert link.check(10.0) is LinkState.ABSENT
    assert link.check(11.0) is None
    assert link.check(5.0) is None  # what is absent comes back with a frame only
    assert link.state is LinkState.ABSENT
    assert link.observe(frame_of(2)).changed is LinkState.LIVE


def test_silence_that_nobody_looked_at_in_time():
    link = Link(LIMITS)
    link.observe(frame_of(1))
    assert link.check(1000.0) is LinkState.ABSENT


def test_duplicates_and_late_frames_do_not_end_a_silence():
    link = Link(LIMITS)
    link.observe(frame_of(40, 100.0))
    assert link.check(3.0) is LinkState.STALE
    assert link.observe(frame_of(40, 100.5)).changed is None
    assert link.observe(frame_of(39, 100.5)).changed is None
    assert link.state is LinkState.STALE
    assert link.last_time_s == 100.0


def test_frozen_and_thawed():
    link = Link(LIMITS)
    changes = [link.observe(frame_of(n, 100 + n / 10, level=7)).changed for n in range(5)]
    assert changes == [LinkState.LIVE, None, LinkState.FROZEN, None, None]
    assert link.observe(frame_of(5, 101.0, level=8)).changed is LinkState.LIVE


@given(st.lists(st.integers(1, 2), min_size=1, max_size=40))
def test_frozen_exactly_while_the_last_frames_are_equal(levels):
    link = Link(LIMITS)
    for n, level in enumerate(levels):
        link.observe(frame_of(n, 100 + n / 10, level=level))
        last = levels[: n + 1][-LIMITS.frozen_after :]
        frozen = len(last) == LIMITS.frozen_after and len(set(last)) == 1
        assert link.state is (LinkState.FROZEN if frozen else LinkState.LIVE)


def test_a_frozen_node_that_falls_silent():
    link = Link(LIMITS)
    for n in range(3):
        link.observe(frame_of(n, 100.0, level=7))
    assert link.check(3.0) is LinkState.STALE
    assert link.observe(frame_of(3, 103.5, level=7)).changed is LinkState.FROZEN


def test_simulated_and_live():
    link = Link(LIMITS)
    assert link.observe(frame_of(1, origin=Origin.SIMULATED)).changed is LinkState.SIMULATED
    assert link.observe(frame_of(2, origin=Origin.SIMULATED)).changed is None
    assert link.observe(frame_of(3)).changed is LinkState.LIVE
    assert link.observe(frame_of(4, origin=Origin.REPLAYED)).changed is None


def test_a_change_in_one_bin_is_a_change():
    link = Link(LIMITS)
    iq = lltf()
    for n in range(6):
        iq = iq.copy()
        iq[10, 1] = n
        link.observe(make_frame(iq, sequence=n))
    assert link.state is LinkState.LIVE


def test_ready_amplitudes_freeze_too():
    link = Link(LIMITS)
    for n in range(3):
        link.observe(make_frame(amplitude=np.ones(56), time_s=100 + n))
    assert link.state is LinkState.FROZEN
