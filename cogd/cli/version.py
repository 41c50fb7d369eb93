"""`cogd version`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cogd

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def run(_arguments: argparse.Namespace) -> int:
    """Print it."""
    print(f"cogd {cogd.__version__}")
    return 0
