"""`cogd-train keygen`: an Ed25519 key pair."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cogd.bundle import keys
from cogd.errors import KeyFileError

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to."""
    parser.add_argument(
        "--out", type=Path, required=True, metavar="NAME", help="writes NAME.pem (secret, 0600) and NAME.pub"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write both files; neither must exist."""
    secret, public = Path(f"{arguments.out}.pem"), Path(f"{arguments.out}.pub")
    if public.exists():
        raise KeyFileError(f"{public} is there already", hint="choose another name: a key must not be overwritten")
    key = keys.generate()
    keys.save_private(secret, key)
    keys.save_public(public, key.public)
    print(f"key id {key.public.key_id}")
    print(f"secret {secret}: keep it off the devices; it signs bundles")
    print(f"public {public}: on a device, `cogd trust add {public.name}`")
    return 0
