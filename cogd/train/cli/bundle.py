"""`cogd-train bundle`: a signed bundle of a run directory's model."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from cogd.bundle import keys
from cogd.errors import TrainError
from cogd.train.package import Naming, package

if TYPE_CHECKING:
    import argparse

    from cogd.bundle.keys import PrivateKey


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, its name, and who signs."""
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="model.onnx of a run directory")
    parser.add_argument("--id", required=True, metavar="ID", help="the app's id: a-z, 0-9 and -, 2 to 32 of them")
    parser.add_argument("--version", required=True, metavar="X.Y.Z", help="the app's version")
    parser.add_argument(
        "--expires", metavar="TIME", help="it may not be installed after this time: 2027-01-31T00:00:00Z (never)"
    )
    add_signing_arguments(parser)


def add_signing_arguments(parser: argparse.ArgumentParser) -> None:
    """Who signs, and where to."""
    parser.add_argument(
        "--key",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="secret key; may be given several times",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the bundle to write")


def run(arguments: argparse.Namespace) -> int:
    """Pack, sign, verify and write."""
    write_bundle(arguments.model, Naming(arguments.id, arguments.version, arguments.expires), arguments)
    return 0


def write_bundle(model: Path, naming: Naming, arguments: argparse.Namespace) -> None:
    """Write the bundle as one whole file, or none."""
    signers: list[PrivateKey] = [keys.load_private(path) for path in arguments.key]
    archive = package(model, naming, signers)
    partial = arguments.out.with_name(arguments.out.name + ".partial")
    try:
        partial.write_bytes(archive)
        partial.replace(arguments.out)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise TrainError(f"{arguments.out} can't be written: {error.strerror}") from error
    print(f"{arguments.out}: {naming.app_id} {naming.version}, {len(archive)} bytes, {len(signers)} signature(s)")
