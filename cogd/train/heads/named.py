"""Objects by `MODULE:NAME`, so that a head's heavy parts are imported only when they are used."""

from __future__ import annotations

import importlib
from typing import Any


def load_named(target: str) -> Any:  # noqa: ANN401  # whatever `MODULE:NAME` names
    """Return what `MODULE:NAME` names; the module is imported only now."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
