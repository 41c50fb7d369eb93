import numpy as np
import pytest

from cogd.train.heads.motion.training_rows import STANDS_OUT_BY, links_of, spread, training_rows
from tests.train.factory import make_config, make_windows


def windows_of(loud: list[float], **columns: object):
    """Windows whose columns swing over the tones, so strongly."""
    tone, column = np.arange(56), np.arange(20)
    swing = np.cos(np.pi * 2 * (tone + 0.5) / 56)[:, None] * np.cos(2 * np.pi * column / 20)
    csi = 10 * (1 + np.asarray(loud)[:, None, None] * swing)
    return make_windows(len(loud), csi=csi.astype(np.float32), **columns)


def test_the_spread_is_that_of_the_cosines():
    """A cosine of amplitude a has the coefficient a sqrt(56 / 2); half its square varies. The median lowers peaks."""
    (found,) = spread(windows_of([0.1]).csi)

    assert found == pytest.approx(np.log(0.1**2 * 56 / 2 / 2), abs=0.2)
    assert spread(windows_of([0.1]).csi * 7) == pytest.approx([found], abs=1e-5)
    assert spread(windows_of([0.2]).csi) == pytest.approx([found + 2 * np.log(2)], abs=0.02)


def test_quiet_is_the_empty_room_and_motion_what_stands_out_of_it():
    loud = [0.01] * 20 + [0.01, 0.0125, 0.013, 0.2] + [0.05]
    windows = windows_of(
        loud,
        persons=np.asarray([0] * 20 + [1] * 5),
        moving=np.asarray([0] * 20 + [1] * 4 + [0], dtype=np.int8),
        room=np.zeros(25, dtype=np.int64),
    )
    rows = np.arange(25)

    assert np.exp(STANDS_OUT_BY / 2) == pytest.approx(1.284, abs=1e-3)  # of amplitudes
    assert training_rows(windows, rows, make_config("motion")).tolist() == [*range(20), 22, 23]
    assert training_rows(windows, rows[15:], make_config("motion")).tolist() == [*range(15, 20), 22, 23]
    assert training_rows(windows, rows, make_config("motion", **{"loss.learn_from": "all"})).tolist() == rows.tolist()
    assert training_rows(windows, rows, make_config("count")).tolist() == rows.tolist()


def test_a_node_that_never_heard_the_room_empty_is_left_out_but_not_of_data_without_empty_rooms():
    windows = windows_of(
        [0.01, 0.2, 0.2, 0.2],
        persons=np.asarray([0, 1, 1, -1]),
        moving=np.asarray([0, 1, 1, 0], dtype=np.int8),
        room=np.zeros(4, dtype=np.int64),
        node=np.asarray([1, 1, 2, 2]),
    )

    assert training_rows(windows, np.arange(4), make_config("motion")).tolist() == [0, 1]
    assert training_rows(windows, np.arange(2, 4), make_config("motion")).tolist() == [2, 3]


def test_a_link_is_a_node_in_a_room_or_else_in_a_session():
    windows = make_windows(
        6,
        room=np.asarray([0, 0, 1, -1, -1, -1]),
        session=np.asarray([0, 1, 2, 3, 3, 4]),
        node=np.asarray([1, 1, 1, 1, 2, 1]),
    )
    links = links_of(windows, np.arange(6))

    assert links[0] == links[1]
    assert len(set(links.tolist())) == 5
