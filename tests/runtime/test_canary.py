import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.runtime.canary import SHARE, SILENCE_S, Canary, Pace, Verdict

STEP = st.tuples(
    st.floats(0, 5),  # seconds since the step before
    st.integers(0, 40),  # windows
    st.integers(0, 40),  # events
    st.sampled_from([None, None, None, None, "it broke"]),
)


def steady(canary: Canary, seconds: float, *, rate_hz: float = 20.0, share: float = 1.0, start_s: float = 0.0):
    """Windows at an even rate, of which the new version gives a share; returns the time and verdict at the end."""
    for number in range(1, round(seconds * rate_hz) + 1):
        canary.observe(start_s + number / rate_hz, number, int(number * share))
    return canary.verdict


def serving(canary_s: float = 10.0, old_hz: float = 20.0, new_hz: float = 20.0) -> Canary:
    canary = Canary(canary_s, old_hz, new_hz)
    canary.serves()
    return canary


class TestANewVersionThatServes:
    def test_is_pending_until_the_time_is_over_and_confirmed_then(self):
        assert steady(serving(), 9.9) is Verdict.PENDING
        assert steady(serving(), 10.1) is Verdict.CONFIRMED

    def test_fails_at_once_when_it_can_not_infer(self):
        canary = serving()
        assert canary.observe(0.0, 1, 0, "it broke") is Verdict.FAILED
        assert canary.reason == "it broke"

    @pytest.mark.parametrize(("share", "verdict"), [(0.89, Verdict.FAILED), (0.91, Verdict.CONFIRMED)])
    def test_must_give_nine_of_ten_events(self, share, verdict):
        assert steady(serving(), 10.1, share=share) is verdict

    @pytest.mark.parametrize(("share", "verdict"), [(0.44, Verdict.FAILED), (0.46, Verdict.CONFIRMED)])
    def test_for_half_the_frame_rate_must_give_half_of_them(self, share, verdict):
        assert steady(serving(new_hz=10.0), 10.1, share=share) is verdict

    def test_for_twice_the_frame_rate_need_not_give_more(self):
        assert steady(serving(new_hz=40.0), 10.1) is Verdict.CONFIRMED

    def test_says_how_much_was_missing(self):
        canary = serving()
        steady(canary, 10.1, rate_hz=16, share=0.5)
        assert canary.reason == "80 events within 10 s, where the version before would have given 161"

    def test_proves_nothing_by_silence(self):
        canary = serving()
        canary.observe(0.0, 1, 1)
        for now_s in range(1, 1000):
            assert canary.observe(float(now_s), 1, 1) is Verdict.PENDING
        assert canary.observe(1000.0, 2, 2) is Verdict.PENDING

    def test_of_a_slow_node_is_confirmed_later(self):
        assert steady(serving(), 19.9, rate_hz=0.5) is Verdict.PENDING
        assert steady(serving(), 30.0, rate_hz=0.5) is Verdict.CONFIRMED

    @pytest.mark.parametrize(
        ("new_s", "old_s", "verdict"),
        [
            (None, None, Verdict.CONFIRMED),
            (0.04, 0.001, Verdict.CONFIRMED),  # there is time for it
            (0.11, 0.06, Verdict.CONFIRMED),  # the one before missed the tick too
            (0.13, 0.06, Verdict.FAILED),
            (0.06, None, Verdict.FAILED),
        ],
    )
    def test_must_keep_up_with_the_tick_as_the_one_before_did(self, new_s, old_s, verdict):
        canary = serving(0.5)
        for number in range(12):
            canary.observe(number * 0.05, number + 1, number + 1, None, Pace(0.05, new_s, old_s))
        assert canary.verdict is verdict

    def test_says_how_slow_it_was(self):
        assert (
            Pace(0.05, 0.13, 0.06).too_slow
            == "its batches take 130 ms, where the tick is 50 ms and the version before 60 ms"
        )


class TestANewVersionWhoseWindowsFill:
    def test_fails_if_they_do_not_within_the_time(self):
        canary = Canary(10.0, 20.0, 20.0)
        assert steady(canary, 9.9, share=0) is Verdict.PENDING
        assert steady(Canary(10.0, 20.0, 20.0), 10.1, share=0) is Verdict.FAILED

    def test_may_take_the_time_that_long_windows_need_and_is_watched_no_longer_for_it(self):
        assert steady(Canary(10.0, 20.0, 20.0, fill_s=30.0), 29.9, share=0) is Verdict.PENDING
        canary = Canary(10.0, 20.0, 20.0, fill_s=30.0)
        assert steady(canary, 30.1, share=0) is Verdict.FAILED
        assert canary.reason.startswith("its windows did not fill within 30 s")
        canary = Canary(10.0, 20.0, 20.0, fill_s=30.0)
        canary.serves()
        assert steady(canary, 10.1) is Verdict.CONFIRMED

    def test_has_the_canary_at_the_least(self):
        assert steady(Canary(10.0, 20.0, 20.0, fill_s=1.0), 9.9, share=0) is Verdict.PENDING

    def test_is_pending_without_input(self):
        canary = Canary(10.0, 20.0, 20.0)
        assert canary.observe(1e6, 0, 0) is Verdict.PENDING

    def test_is_counted_anew_once_it_serves(self):
        canary = Canary(10.0, 20.0, 20.0)
        steady(canary, 9.0, share=0)
        canary.serves()
        assert steady(canary, 9.9, start_s=9.0) is Verdict.PENDING


class Played:
    """A canary after a random course; the totals at each step, and the verdicts."""

    def __init__(self, steps, canary_s=3.0):
        self.canary = serving(canary_s)
        self.now_s = self.windows = self.events = 0
        self.live_s = 0.0
        self.verdicts = []
        last_s = None
        for wait_s, windows, events, failure in steps:
            self.now_s += wait_s
            self.windows += windows
            self.events += min(events, windows)
            if windows:
                self.live_s += 0 if last_s is None else min(self.now_s - last_s, SILENCE_S)
                last_s = self.now_s
            self.verdicts.append(self.canary.observe(self.now_s, self.windows, self.events, failure))
            if self.verdicts[-1] is not Verdict.PENDING:
                self.failed_by = failure
                break


@given(st.lists(STEP, max_size=40))
def test_a_verdict_is_what_the_counts_say(steps):
    played = Played(steps)
    verdict = played.canary.verdict
    enough = played.events >= SHARE * played.windows
    if verdict is Verdict.CONFIRMED:
        assert played.live_s >= 3.0
        assert enough
    elif verdict is Verdict.FAILED:
        assert played.failed_by is not None or (played.live_s >= 3.0 and not enough)
    else:
        assert played.live_s < 3.0
        assert all(failure is None for *_, failure in steps)
    assert bool(played.canary.reason) == (verdict is Verdict.FAILED)


@given(st.lists(STEP, max_size=40), st.lists(STEP, max_size=10))
def test_a_verdict_stands(steps, more):
    canary = Played(steps).canary
    before = canary.verdict
    for _, windows, events, failure in more:
        canary.observe(1e9, windows, events, failure)
    assert before is Verdict.PENDING or canary.verdict is before


@given(st.lists(st.floats(0, 1e6), max_size=30))
def test_without_windows_nothing_is_ever_decided(waits):
    canary, now_s = serving(), 0.0
    for wait_s in waits:
        now_s += wait_s
        assert canary.observe(now_s, 0, 0) is Verdict.PENDING
