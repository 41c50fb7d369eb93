"""`cogd-train count`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogd.train.cli.training import add_training_arguments, run_training
from cogd.train.recipe import COUNT

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Data and recipe."""
    add_training_arguments(parser, COUNT, persons=(0, 1, 2, 3))


def run(arguments: argparse.Namespace) -> int:
    """Train."""
    return run_training(arguments, COUNT)
