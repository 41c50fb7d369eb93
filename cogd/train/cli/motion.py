"""`cogd-train motion`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogd.train.cli.training import add_training_arguments, run_training

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Data and recipe."""
    add_training_arguments(parser, "motion")


def run(arguments: argparse.Namespace) -> int:
    """Train."""
    return run_training(arguments, "motion")
