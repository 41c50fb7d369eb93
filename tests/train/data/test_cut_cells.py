from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.csi.cells import CellWindow
from cogd.csi.window import Reset, WindowSpec
from cogd.train.data.cut import TrackWindows, cut_windows
from cogd.train.data.track import Dataset, Recording, Timing, Track

pytestmark = pytest.mark.train

CELL_S = 16 / 256


def make_track(steps, kinds, begins, moving):
    generator = np.random.default_rng(len(steps))
    return Track(
        time_s=1e6 + np.cumsum(np.asarray(steps, dtype=np.float64)) / 256,
        amplitude=generator.uniform(1, 50, (len(steps), 56)).astype(np.float32),
        kind=np.asarray(kinds, dtype=np.int16),
        kinds=("a", "b"),
        segment=np.cumsum(begins).astype(np.int32),
        moving=np.asarray(moving, dtype=np.int8),
        persons=np.arange(len(steps)),
    )


def recording_of(track):
    return Recording("a", "a", None, None, None, 1, None, Timing.MEASURED, (), lambda: track)


def streamed(track, spec):
    """The windows that the daemon's `CellWindow` has each time that it is complete, by the end of their newest cell."""
    window, windows = CellWindow(spec), {}
    for row in range(len(track)):
        if row and track.segment[row] != track.segment[row - 1]:
            window.clear(Reset.RESTART)
        time_s = float(track.time_s[row])
        pushed = window.push(track.amplitude[row], track.kinds[track.kind[row]], 56, time_s)
        if pushed.complete:
            windows[np.floor(time_s / CELL_S) * CELL_S] = window.view().copy()
    return windows


@given(
    frames=st.lists(
        st.tuples(
            st.sampled_from([0, 1, 2, 5, 15, 16, 17, 40, 64, 65, 100]),  # 256ths of a second since the one before
            st.sampled_from([0, 0, 0, 0, 0, 1]),  # kind
            st.sampled_from([0] * 12 + [1]),  # whether a new segment begins
            st.sampled_from([0, 1, -1]),  # moving
        ),
        max_size=150,
    ),
    columns=st.integers(1, 6),
)
def test_windows_of_cells_are_those_that_the_daemon_has(frames, columns):
    track = make_track(*np.asarray(frames, dtype=np.int64).reshape(-1, 4).T)
    spec = WindowSpec("ht56", columns, 0.0, 64 / 256, CELL_S)

    windows = TrackWindows(recording_of(track), track, spec, stride=1)
    csi = np.empty((len(windows), 56, columns), dtype=np.float32)
    windows.fill(csi)

    mine = dict(zip(windows.end_s.tolist(), csi, strict=True))
    for end_s, window in streamed(track, spec).items():
        np.testing.assert_array_equal(mine[end_s], window)


def test_a_window_has_its_span_and_the_labels_of_its_newest_frame():
    track = make_track([16] * 40, [0] * 40, [0] * 40, [0] * 20 + [1] * 20)
    dataset = Dataset("a", "b", "ht56", (recording_of(track),), Path())
    spec = WindowSpec("ht56", 10, 0.0, 0.25, CELL_S)

    windows = cut_windows(dataset, spec, stride=1, transitions="unknown")

    np.testing.assert_allclose(windows.end_s - windows.start_s, 10 * CELL_S)
    newest = [int(np.flatnonzero(track.time_s < end_s)[-1]) for end_s in windows.end_s]
    assert windows.persons.tolist() == newest
    assert windows.moving.tolist() == [0 if row < 20 else 1 if row >= 29 else -1 for row in newest]
    assert (windows.rate_hz, windows.cell_s) == (16.0, CELL_S)


def test_a_cell_whose_frames_disagree_is_neither_moving_nor_quiet():
    track = make_track([8] * 8, [0] * 8, [0] * 8, [0, 0, 1, 1, 1, 1, 1, 1])
    spec = WindowSpec("ht56", 1, 0.0, 0.25, CELL_S)

    windows = TrackWindows(recording_of(track), track, spec, stride=1)

    assert sorted(set(windows.moving.tolist())) == [-1, 0, 1]
