"""`cogd-train report`: a page and a picture of a run or a kept evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cogd.errors import TrainError
from cogd.train.rundir import PAGE, PICTURE

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to draw, and where to."""
    parser.add_argument(
        "folder", type=Path, nargs="+", help="run directory of a finished training, or `evaluate --out`'s folder"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help=f"folder for {PAGE} and {PICTURE} (the one that is drawn)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Draw each folder."""
    from cogd.train.report.page import render_html, render_png
    from cogd.train.report.source import read_source

    if arguments.out is not None and len(arguments.folder) > 1:
        raise TrainError("--out takes the report of one folder", hint="draw them one by one, or leave --out away")
    for folder in arguments.folder:
        source = read_source(folder)
        out: Path = arguments.out or folder
        try:
            out.mkdir(parents=True, exist_ok=True)
            (out / PAGE).write_text(render_html(source), encoding="utf-8")
            (out / PICTURE).write_bytes(render_png(source))
        except OSError as error:
            raise TrainError(f"{out} can't be written: {error.strerror}") from error
        print(f"{out / PAGE} and {out / PICTURE}")
    return 0
