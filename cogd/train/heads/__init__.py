"""What depends on the head, one file each: labels, usable windows, task, evaluation, the bundle's description.

A new head is a file here that holds a `HEAD`, its loss's keys in `cogd.train.config`, its defaults in
`cogd.train.recipe` and a verb in `cogd.train.cli`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from cogd.train.heads.base import Head


def head_of(name: str) -> Head:
    """The head of that name, which a checked configuration holds."""
    return cast("Head", importlib.import_module(f"cogd.train.heads.{name}").HEAD)
