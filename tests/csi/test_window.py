from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.csi.window import Drop, Pushed, Reset, Window, WindowSpec

SPEC = WindowSpec(tones="ht56", frames=4, min_gap_s=0.02, max_gap_s=1.0)


def values(number: float) -> np.ndarray:
    return np.arange(56, dtype=np.float32) + np.float32(100 * number)


def push_all(window: Window, count: int, *, kind: str = "a", start: int = 0, step_s: float = 0.1) -> list[Pushed]:
    return [window.push(values(start + n), kind, 56, (start + n) * step_s) for n in range(count)]


def test_a_window_is_complete_with_its_last_frame_and_slides():
    window = Window(SPEC)
    assert [pushed.complete for pushed in push_all(window, 6)] == [False, False, False, True, True, True]
    np.testing.assert_array_equal(window.view(), np.stack([values(n) for n in (2, 3, 4, 5)], axis=1))
    assert window.view().shape == (56, 4)
    assert window.span_s == pytest.approx(0.3)


def test_a_view_costs_no_copy_and_each_frame_lies_in_one_piece():
    window = Window(SPEC)
    push_all(window, 7)
    view = window.view()
    assert view.base is not None
    assert view.strides[0] == view.itemsize


def test_nothing_that_comes_later_changes_a_view():
    window = Window(SPEC)
    push_all(window, 4)
    views = [window.view()]
    for n in range(4, 60):
        window.push(values(n), "a", 56, n * 0.1)
        views.append(window.view())
    for first, view in enumerate(views):
        np.testing.assert_array_equal(view, np.stack([values(first + n) for n in range(4)], axis=1))


def test_frames_that_come_too_soon_are_left_out():
    window = Window(SPEC)
    window.push(values(0), "a", 56, 0.0)
    assert window.push(values(1), "a", 56, 0.019) == Pushed(complete=False, dropped=Drop.TOO_SOON)
    assert window.push(values(2), "a", 56, 0.0201) == Pushed(complete=False)
    assert len(window) == 2


def test_a_gap_empties_a_window_and_the_frame_after_it_is_the_first():
    window = Window(SPEC)
    push_all(window, 4)
    assert window.push(values(9), "a", 56, 0.3 + 1.0) == Pushed(complete=True)  # exactly the longest gap
    assert window.push(values(10), "a", 56, 1.3 + 1.001) == Pushed(complete=False, reset=Reset.GAP)
    assert (len(window), window.span_s) == (1, 0.0)


def test_another_kind_is_followed_with_the_majority_of_the_last_arrivals():
    window = Window(SPEC)
    push_all(window, 4)
    assert window.push(values(4), "b", 56, 0.4).dropped is Drop.OTHER_KIND
    assert window.push(values(5), "b", 56, 0.5).dropped is Drop.OTHER_KIND  # 2 of 4 are no majority
    assert window.push(values(6), "b", 52, 0.6) == Pushed(complete=False, reset=Reset.WIDTH)
    assert (window.kind, window.measured_tones, len(window)) == ("b", 52, 1)


def test_the_arrival_that_makes_the_majority_counts_once():
    window = Window(WindowSpec("ht56", 5, 0.0, 1.0))
    told = [window.push(values(n), kind, 56, n / 10) for n, kind in enumerate("aababbaa")]
    assert [n for n, pushed in enumerate(told) if pushed.reset is Reset.WIDTH] == [5, 7]


def test_a_minority_of_another_kind_never_empties_a_window():
    window = Window(SPEC)
    complete = 0
    for n in range(60):
        kind = "b" if n % 3 == 2 else "a"
        pushed = window.push(values(n), kind, 56, n * 0.1)
        assert pushed.reset is None
        complete += pushed.complete
    assert window.kind == "a"
    assert complete == 40 - 3


def test_clear_tells_its_reason_once():
    window = Window(SPEC)
    assert window.clear(Reset.FROZEN) is None
    push_all(window, 2)
    assert window.clear(Reset.FROZEN) is Reset.FROZEN
    assert window.clear(Reset.FROZEN) is None
    assert (len(window), window.complete, window.span_s) == (0, False, 0.0)


def test_after_clear_nothing_old_is_seen_again():
    window = Window(SPEC)
    push_all(window, 7)
    window.clear(Reset.RESTART)
    push_all(window, 4, start=20)
    np.testing.assert_array_equal(window.view(), np.stack([values(n) for n in range(20, 24)], axis=1))


@dataclass
class Model:
    """The same rules on plain lists."""

    spec: WindowSpec
    kind: str | None = None
    held: list[tuple[float, float]] = field(default_factory=list)
    arrivals: list[str] = field(default_factory=list)

    def push(self, number: float, kind: str, time_s: float) -> Pushed:
        self.arrivals = [*self.arrivals, kind][-self.spec.frames :]
        reset = None
        if self.kind is None:
            self.kind = kind
        if kind != self.kind:
            if 2 * self.arrivals.count(kind) <= self.spec.frames:
                return Pushed(complete=False, dropped=Drop.OTHER_KIND)
            reset, self.kind = self.clear(Reset.WIDTH), kind
        gap_s = time_s - self.held[-1][1] if self.held else None
        if gap_s is not None and gap_s > self.spec.max_gap_s:
            reset = self.clear(Reset.GAP)
        elif gap_s is not None and gap_s < self.spec.min_gap_s:
            return Pushed(complete=False, dropped=Drop.TOO_SOON, reset=reset)
        self.held = [*self.held, (number, time_s)][-self.spec.frames :]
        return Pushed(complete=len(self.held) == self.spec.frames, reset=reset)

    def clear(self, reason: Reset) -> Reset | None:
        was_held, self.held = self.held, []
        return reason if was_held else None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["a", "a", "b", "c"]), st.sampled_from([0.0, 0.01, 0.02, 0.1, 1.0, 1.1])),
        st.sampled_from(list(Reset)),
    ),
    max_size=60,
)


@given(st.integers(1, 6), STEPS)
def test_a_window_does_what_lists_do(frames, steps):
    spec = WindowSpec("ht56", frames, 0.015, 1.05)
    window, model = Window(spec), Model(spec)
    time_s = 0.0
    for number, step in enumerate(steps):
        if isinstance(step, Reset):
            assert window.clear(step) == model.clear(step)
        else:
            kind, gap_s = step
            time_s += gap_s
            assert window.push(values(number), kind, 56, time_s) == model.push(number, kind, time_s)
        assert (window.kind, len(window)) == (model.kind, len(model.held))
        assert window.complete == (len(model.held) == frames)
        if model.held:
            assert window.span_s == model.held[-1][1] - model.held[0][1]
        if window.complete:
            expected = np.stack([values(held) for held, _ in model.held], axis=1)
            np.testing.assert_array_equal(window.view(), expected)
