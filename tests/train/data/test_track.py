from dataclasses import fields

import numpy as np
import pytest

from cogd.train.data.track import Track
from cogd.train.data.windows import Windows


@pytest.mark.parametrize("kind", [Track, Windows])
def test_the_columns_are_all_fields_that_hold_an_array(kind):
    assert tuple(field.name for field in fields(kind) if "NDArray" in str(field.type)) == kind.COLUMNS


def test_taking_rows_takes_those_of_every_column_that_is_there():
    track = Track(
        time_s=np.arange(4.0),
        amplitude=np.arange(8, dtype=np.float32).reshape(4, 2),
        kind=np.zeros(4, np.int16),
        kinds=("ht",),
        segment=np.zeros(4, np.int32),
        persons=np.asarray([0, 1, 2, 3]),
        left_out={"malformed": 2},
    )
    taken = track.take(np.asarray([3, 1]))
    assert (taken.time_s.tolist(), taken.persons.tolist()) == ([3, 1], [3, 1])
    assert taken.amplitude.tolist() == [[6, 7], [2, 3]]
    assert (len(taken), taken.phase, taken.moving, taken.left_out) == (2, None, None, {"malformed": 2})
