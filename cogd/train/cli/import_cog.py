"""`cogd-train import-cog`: a published cog's weights as a signed bundle."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cogd.train import rundir
from cogd.train.cli.bundle import add_signing_arguments, write_bundle
from cogd.train.import_cog import import_cog
from cogd.train.package import Naming

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The weights, and a recording for what was never published."""
    parser.add_argument("weights", type=Path, help="pose_v1.safetensors or count_v1.safetensors")
    parser.add_argument(
        "--recording",
        type=Path,
        metavar="FILE",
        help="CSI recording: the count model's normaliser is measured on it",
    )
    add_signing_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Import and pack; the bundle bears the cog's own id and version."""
    with tempfile.TemporaryDirectory() as folder:
        cog, edge = import_cog(arguments.weights, arguments.recording, Path(folder))
        write_bundle(Path(folder) / rundir.MODEL, Naming(cog.app_id, cog.version), arguments)
    print(f"graph: {edge.graph}")
    return 0
