"""`cogd-train proof`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cogd.errors import ConfigError, ProofError

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many threads, and what is expected."""
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="threads that share the sums; bits depend on it (1)"
    )
    parser.add_argument(
        "--expected", type=Path, metavar="FILE", help="expectations to judge by, or to write; else the packaged ones"
    )
    parser.add_argument(
        "--generate",
        action="store_true",
        help="judge nothing: print what came out here, or put it into the file of --expected",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, and judge or print what came out."""
    if arguments.threads < 1:
        raise ConfigError("--threads must be 1 or more", hint="--threads 1")
    import torch

    from cogd.train.proof import judge, prove, read_expected, with_entry

    torch.set_num_threads(arguments.threads)
    expected = read_expected(arguments.expected)
    found, falls = prove()
    for name, fall in falls.items():
        told = f"{name}: loss {fall.first:.4f} to {fall.last:.4f}, {fall.share:.0%} less; weights {found.weights[name]}"
        print(told, file=sys.stderr if arguments.generate else sys.stdout)
    if not arguments.generate:
        judge(found, expected)
        print("proven: the weights are those expected on this platform")
        return 0
    if arguments.expected is None:
        print(with_entry([], found).decode(), end="")
        return 0
    try:
        arguments.expected.write_bytes(with_entry(expected, found))
    except OSError as error:
        raise ProofError(f"{arguments.expected} can't be written: {error.strerror}") from error
    print(f"{arguments.expected} has the entry of this platform")
    return 0
