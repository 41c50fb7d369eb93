"""Python's garbage collector in a process that runs for months."""

from __future__ import annotations

import gc


def settle() -> None:
    """Leave what is loaded by now out of every later collection.

    Modules, settings and models stay for good, some hundred thousand objects; to look through them for garbage stops
    everything for 15 to 50 ms, which is a missed deadline. What comes later is collected as ever.
    """
    gc.collect()
    gc.freeze()
