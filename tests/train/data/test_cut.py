import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.csi.window import Reset, Window, WindowSpec
from cogd.train.data.cut import cut

pytestmark = pytest.mark.train


def pushed_one_by_one(time_s, kind, segment, spec, stride):
    """The windows that the daemon's `Window` makes of these frames, told by the numbers of their frames."""
    window, windows, run = Window(spec), [], 0
    for row in range(len(time_s)):
        if row and segment[row] != segment[row - 1]:
            window.clear(Reset.RESTART)
        held = len(window)
        values = np.full(56, row, dtype=np.float32)
        pushed = window.push(values, str(kind[row]), 56, float(time_s[row]))
        if pushed.dropped is not None:
            continue
        run = run + 1 if held and pushed.reset is None else 1
        if pushed.complete and (run - spec.frames) % stride == 0:
            windows.append(window.view()[0].astype(int).tolist())
    return windows


@given(
    frames=st.lists(
        st.tuples(
            st.sampled_from([0, 1, 2, 5, 13, 64, 65, 100]),  # 256ths of a second since the one before, exact in binary
            st.sampled_from([0, 0, 0, 0, 1, 2]),  # kind
            st.sampled_from([0] * 12 + [1]),  # whether a new segment begins
        ),
        max_size=200,
    ),
    length=st.integers(1, 8),
    stride=st.integers(1, 5),
    min_gap=st.sampled_from([0, 2, 5]),
)
def test_the_windows_are_those_that_frame_by_frame_pushing_makes(frames, length, stride, min_gap):
    gaps, kinds, begins = np.asarray(frames, dtype=np.float64).reshape(-1, 3).T
    time_s, kind, segment = 1e6 + np.cumsum(gaps) / 256, kinds.astype(np.int16), np.cumsum(begins).astype(np.int32)
    spec = WindowSpec("ht56", length, min_gap / 256, 64 / 256)

    found = cut(time_s, kind, segment, spec, stride)

    windows = [found.kept[end - length + 1 : end + 1].tolist() for end in found.ends]
    assert windows == pushed_one_by_one(time_s, kind, segment, spec, stride)


def test_even_frames_of_one_kind_are_all_kept():
    spec = WindowSpec("ht56", 20, 0.0, 0.25)

    found = cut(np.arange(100) * 0.01, np.zeros(100, np.int16), np.zeros(100, np.int32), spec, stride=5)

    assert found.kept.tolist() == list(range(100))
    assert found.ends.tolist() == list(range(19, 100, 5))


def test_no_frames_make_no_windows():
    found = cut(np.empty(0), np.empty(0, np.int16), np.empty(0, np.int32), WindowSpec("ht56", 2, 0.0, 1.0), 1)

    assert len(found.kept) == len(found.ends) == 0


@pytest.mark.parametrize(("times", "kept"), [([0, 64, 128], [0, 1, 2]), ([0, 1, 64, 128], [0, 2, 3])])
def test_the_longest_gap_itself_is_no_interruption_whether_frames_are_thinned_or_not(times, kept):
    time_s = np.asarray(times) / 256
    spec = WindowSpec("ht56", 3, 2 / 256, 64 / 256)

    found = cut(time_s, np.zeros(len(times), np.int16), np.zeros(len(times), np.int32), spec, 1)

    assert found.kept.tolist() == kept
    assert found.ends.tolist() == [2]
