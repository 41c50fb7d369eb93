"""Windows of cells: what the medians are, when they are known, and that pushing and computing at once agree."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.csi.cells import CellWindow, cell_columns
from cogd.csi.frame import Origin
from cogd.csi.link import LinkLimits, LinkState
from cogd.csi.node import Node
from cogd.csi.window import Drop, Pushed, Reset, Window, WindowSpec

from .factory import ht128, lltf, make_frame

CELL_S = 0.05
SPEC = WindowSpec("ht56", 4, 0.0, 0.5, CELL_S)
RNG = np.random.default_rng(7)
FRAMES = RNG.uniform(1, 40, (400, 56)).astype(np.float32)


def unit_median(frames) -> np.ndarray:
    """The column of a cell, by NumPy's own median in double precision."""
    frames = np.asarray(frames, np.float64)
    return np.median(frames / np.sqrt((frames**2).mean(axis=1, keepdims=True)), axis=0)


def push(window: Window, number: int, time_s: float, kind: str = "a") -> Pushed:
    return window.push(FRAMES[number], kind, 56, time_s)


class TestColumns:
    def test_are_the_medians_of_frames_of_unit_power(self):
        window = CellWindow(WindowSpec("ht56", 2, 0.0, 0.5, CELL_S))
        times_s = [0.01, 0.02, 0.03, 0.06, 0.07, 0.11]  # cells of 3 and 2 frames, and one that is open
        told = [push(window, number, time_s).complete for number, time_s in enumerate(times_s)]
        assert told == [False] * 5 + [True]
        expected = np.stack([unit_median(FRAMES[:3]), unit_median(FRAMES[3:5])], axis=1)
        np.testing.assert_allclose(window.view(), expected, rtol=1e-6)
        assert window.span_s == pytest.approx(2 * CELL_S)

    def test_do_not_know_the_gain_and_forget_a_single_bad_frame(self):
        frames = np.tile(FRAMES[0], (5, 1))
        gains = np.asarray([1, 3.7, 0.2, 1, 9], np.float32)[:, None]
        bad = frames * gains
        bad[2, 5:20] *= 30
        window = CellWindow(WindowSpec("ht56", 2, 0.0, 0.5, CELL_S))
        for number in range(11):
            window.push(bad[number % 5], "a", 56, number * 0.01 + 0.001)
        np.testing.assert_allclose(window.view()[:, 0], FRAMES[0] / np.sqrt((FRAMES[0] ** 2).mean()), rtol=1e-5)

    def test_of_a_silent_frame_are_silent(self):
        window = CellWindow(WindowSpec("ht56", 2, 0.0, 0.5, CELL_S))
        for number in range(3):
            window.push(np.zeros(56, np.float32), "a", 56, number * CELL_S + 0.01)
        assert not window.view().any()

    def test_are_cells_of_the_absolute_grid(self):
        """Whenever a node is first heard, its cells are the same."""
        times_s = np.arange(300) * 0.0123 + 1_790_000_000.0
        windows = [CellWindow(SPEC) for _ in range(2)]
        for number, time_s in enumerate(times_s):
            push(windows[0], number, time_s)
            if number > 5:
                push(windows[1], number, time_s)
        np.testing.assert_array_equal(windows[0].view(), windows[1].view())

    def test_repeat_where_no_frame_came(self):
        window = CellWindow(SPEC)
        for number, time_s in enumerate([0.01, 0.06, 0.12, 0.16, 0.21]):
            push(window, number, time_s)
        before = window.view().copy()
        assert push(window, 5, 0.21 + 3 * CELL_S).complete  # by three columns at once
        np.testing.assert_array_equal(window.view()[:, 0], before[:, 3])
        assert (window.view()[:, 1:] == window.view()[:, 1:2]).all()
        np.testing.assert_allclose(window.view()[:, 1], unit_median(FRAMES[4:5]), rtol=1e-6)

    def test_of_more_cells_than_a_window_holds_fill_it(self):
        window = CellWindow(SPEC)
        push(window, 0, 0.01)
        assert push(window, 1, 0.5).complete
        assert (len(window), window.span_s) == (4, pytest.approx(4 * CELL_S))

    def test_at_the_rate_of_the_cells_are_every_frame(self):
        columns, end_s, _ = cell_columns(np.arange(50) * CELL_S + 0.02, FRAMES[:50], CELL_S, 0.5)
        np.testing.assert_allclose(columns, [unit_median(FRAMES[n : n + 1]) for n in range(49)], rtol=1e-6)
        np.testing.assert_allclose(end_s, np.arange(1, 50) * CELL_S)


class TestAWindow:
    def test_needs_cells(self):
        with pytest.raises(ValueError, match="cells"):
            CellWindow(WindowSpec("ht56", 4, 0.0, 0.5))

    def test_is_complete_where_a_column_became_known(self):
        window = CellWindow(SPEC)
        told = [push(window, number, number * 0.02).complete for number in range(20)]
        moved = [math.floor(n * 0.02 / CELL_S) > math.floor((n - 1) * 0.02 / CELL_S) for n in range(20)]
        assert told == [is_moved and n * 0.02 >= 4 * CELL_S for n, is_moved in enumerate(moved)]

    def test_is_emptied_by_a_longer_silence_only(self):
        window = CellWindow(SPEC)
        for number in range(6):
            push(window, number, number * CELL_S)
        assert push(window, 6, 5 * CELL_S + 0.5) == Pushed(complete=True)
        assert push(window, 7, 5 * CELL_S + 0.5 + 0.501) == Pushed(complete=False, reset=Reset.GAP)
        assert (len(window), window.complete, window.span_s) == (0, False, 0.0)

    def test_leaves_out_what_was_measured_before_the_newest_frame(self):
        window = CellWindow(SPEC)
        push(window, 0, 0.02)
        assert push(window, 1, 0.01) == Pushed(complete=False, dropped=Drop.TOO_SOON)
        assert push(window, 2, 0.02) == Pushed(complete=False)

    def test_tells_once_why_it_was_emptied(self):
        window = CellWindow(SPEC)
        assert window.clear(Reset.FROZEN) is None
        push(window, 0, 0.01)  # no column yet, but a frame
        assert window.clear(Reset.FROZEN) is Reset.FROZEN
        assert window.clear(Reset.FROZEN) is None

    def test_after_clear_holds_nothing_old(self):
        window = CellWindow(SPEC)
        for number in range(5):
            push(window, number, number * CELL_S)
        window.clear(Reset.RESTART)
        for number in range(10, 15):
            push(window, number, number * CELL_S)
        np.testing.assert_allclose(
            window.view(), np.stack([unit_median([f]) for f in FRAMES[10:14]], axis=1), rtol=1e-6
        )

    def test_nothing_that_comes_later_changes_a_view(self):
        window, views, kept = CellWindow(SPEC), [], []
        for number in range(120):
            if push(window, number, number * 0.03).complete:
                views.append(window.view())
                kept.append(views[-1].copy())
        np.testing.assert_array_equal(views, kept)

    def test_follows_the_kind_of_the_majority(self):
        window = CellWindow(SPEC)
        for number in range(5):
            push(window, number, number * CELL_S)
        told = [push(window, number, number * CELL_S, "b") for number in range(5, 8)]
        assert [pushed.dropped for pushed in told] == [Drop.OTHER_KIND, Drop.OTHER_KIND, None]
        assert (told[2].reset, window.kind, len(window)) == (Reset.WIDTH, "b", 0)


class TestANode:
    def test_picks_the_window_by_its_spec(self):
        node = Node("a/1", [SPEC, WindowSpec("ht56", 4, 0.0, 0.5)], LinkLimits(), believe_simulated=False)
        assert [type(window) for window in node.windows.values()] == [CellWindow, Window]
        complete = []
        for number in range(40):
            iq = lltf(number % 100 + 1)
            taken = node.take(make_frame(iq, time_s=100 + number * 0.0101, sequence=number))
            complete.append(len(taken.complete))
        assert complete.count(2) == 4  # a column each 0.05 s, from the fifth on
        assert complete[3:].count(1) == 37 - 4

    def test_tells_a_frozen_link_and_starts_anew(self):
        node = Node("a/1", [SPEC], LinkLimits(frozen_after=3), believe_simulated=False)
        for number in range(8):
            node.take(make_frame(lltf(number + 1), time_s=100.01 + number * CELL_S, sequence=number))
        told = [node.take(make_frame(lltf(50), time_s=100.41 + n * CELL_S, sequence=8 + n)) for n in range(3)]
        assert told[2].link is LinkState.FROZEN
        assert told[2].resets == ((SPEC, Reset.FROZEN),)
        assert not node.windows[SPEC].complete

    def test_does_not_believe_what_is_simulated(self):
        node = Node("a/1", [SPEC], LinkLimits(), believe_simulated=False)
        for number in range(9):
            frame = make_frame(
                ht128(number + 1), time_s=100 + number * CELL_S, sequence=number, origin=Origin.SIMULATED
            )
            assert node.take(frame).complete == ()


STEPS_S = st.lists(
    st.sampled_from([0.0, 0.001, 0.0066, 0.01, 0.02, 0.05, 0.1, 0.16, 0.3, 0.31, 1.0, -0.01, -0.2]), max_size=90
)


@given(
    steps_s=STEPS_S,
    start_s=st.sampled_from([0.0, 0.049, 1_790_000_000.03]),
    cell_s=st.sampled_from([0.05, 0.04, 0.1, 1 / 30]),
    frames=st.integers(1, 6),
)
def test_computing_at_once_is_pushing_frame_by_frame(steps_s, start_s, cell_s, frames):
    times_s = np.asarray(start_s + np.cumsum(steps_s, dtype=np.float64), np.float64)
    window, resets = CellWindow(WindowSpec("ht56", frames, 0.0, 0.3, cell_s)), 0
    for number, time_s in enumerate(times_s.tolist()):
        before = len(cell_columns(times_s[:number], FRAMES[:number], cell_s, 0.3).columns)
        pushed = push(window, number, time_s)
        resets += pushed.reset is Reset.GAP
        columns, end_s, segment = cell_columns(times_s[: number + 1], FRAMES[: number + 1], cell_s, 0.3)
        own = columns[segment == resets]
        assert len(window) == min(len(own), frames)
        assert pushed.complete == (len(columns) > before and len(own) >= frames)
        assert (np.diff(end_s) > 0).all()
        assert (end_s <= max(times_s[: number + 1]) + 1e-6).all()
        if window.complete:
            np.testing.assert_allclose(window.view(), own[-frames:].T, rtol=1e-6)


def test_of_nothing_is_nothing():
    made = cell_columns(np.empty(0), np.empty((0, 56), np.float32), CELL_S, 0.5)
    assert [part.shape for part in made] == [(0, 56), (0,), (0,)]
