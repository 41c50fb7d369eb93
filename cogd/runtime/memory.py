"""Python's garbage collector in a process that runs for months."""

from __future__ import annotations

import gc
from typing import Final

YOUNG_OBJECTS: Final = 10_000
"""So many more containers than before, and the young ones are looked through. An event has some 20; almost all that the
daemon makes is freed without the collector."""


def settle() -> None:
    """Leave what is loaded by now out of every later collection, and look through the rest more seldom.

    Modules, settings and models stay for good, some hundred thousand objects; to look through them for garbage stops
    everything for 15 to 50 ms, which is a missed deadline. What comes later is collected as ever, but not with every
    fiftieth event, as Python's own threshold of 700 has it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
