import gc
import weakref

import pytest

from cogd.runtime.memory import YOUNG_OBJECTS, settle


class Knot:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def thawed():
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_is_loaded_is_not_looked_at_again():
    settle()
    assert gc.get_freeze_count() > 1000
    assert len(gc.get_objects()) < gc.get_freeze_count()


def test_garbage_from_before_is_not_kept_and_later_garbage_is_collected():
    before = weakref.ref(Knot())
    settle()
    assert before() is None
    after = weakref.ref(Knot())
    kept = [[] for _ in range(2 * YOUNG_OBJECTS)]
    assert after() is None
    assert kept
