"""`cogd-train rotate`: the statement that a new key takes the place of an old one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from cogd.bundle import keys
from cogd.bundle.rotation import make_rotation
from cogd.bundle.utc import utc_text

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Both secrets, and where to."""
    parser.add_argument("--old", type=Path, required=True, metavar="FILE", help="secret key that is given up")
    parser.add_argument("--new", type=Path, required=True, metavar="FILE", help="secret key that takes its place")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the statement to write; a new file")


def run(arguments: argparse.Namespace) -> int:
    """Write the statement, signed by both."""
    old, new = keys.load_private(arguments.old), keys.load_private(arguments.new)
    statement = make_rotation(old, new, utc_text(time.time()))
    keys.write_new(arguments.out, statement.decode("ascii"), mode=0o644)
    print(f"old {old.public.key_id}")
    print(f"new {new.public.key_id}")
    print(
        f"statement {arguments.out}: give it to each device, `cogd trust rotate STATEMENT`; sign with the new key now"
    )
    return 0
